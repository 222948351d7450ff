"""Keys by their structure: what ssh-keygen says of a real key, we say; what is no key, however it is framed, is none."""

import base64
import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures import keys as made
from scanner.ssh.keys import DERIVED, PrivateKey, read_private, read_public
from tests.engine_fixture import program

KINDS = [("rsa", 2048), ("dsa", 1024), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("ed25519", 256)]
PEM_TOO = [kind for kind in KINDS if kind[0] != "ed25519"]


def one(data: bytes | str) -> PrivateKey:
    [key] = read_private(data.encode() if isinstance(data, str) else data)
    return key


def run(*arguments: str | Path, given: bytes = b"") -> bytes:
    done = subprocess.run([str(a) for a in arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def generated(folder: Path, kind: str, bits: int, passphrase: str, form: str) -> tuple[bytes, str, str]:
    """A private key, its public line, and its fingerprint as ssh-keygen prints it."""
    keygen, path = program("ssh-keygen"), folder / "key"
    form_option = ("-m", form) if form != "OPENSSH" else ()
    run(keygen, "-q", "-t", kind, "-b", str(bits), "-N", passphrase, "-C", "some body", *form_option, "-f", path)
    printed = run(keygen, "-lf", f"{path}.pub").decode().split()
    assert printed[0] == str(bits)
    return path.read_bytes(), Path(f"{path}.pub").read_text(), printed[1]


@pytest.mark.parametrize("passphrase", ["", "open sesame"])
@pytest.mark.parametrize(
    ("kind", "bits", "form"),
    [(*k, "OPENSSH") for k in KINDS]
    + [(*k, "RFC4716") for k in KINDS]
    + [(*k, f) for k in PEM_TOO for f in ("PEM", "PKCS8")],
)
def test_what_ssh_keygen_says_of_a_key_is_what_we_say(tmp_path, kind, bits, form, passphrase):
    private, public, fingerprint = generated(tmp_path, kind, bits, passphrase, form)
    name = f"ecdsa-nistp{bits}" if kind == "ecdsa" else kind

    half = read_public(public)
    assert half is not None
    assert (half.type, half.bits, half.fingerprint, half.comment) == (name, bits, fingerprint, "some body")

    key = one(private)
    assert key.valid, key.reason
    assert key.encrypted is bool(passphrase)
    assert key.format == {"PEM": "pem", "PKCS8": "pkcs8"}.get(form, "openssh")
    if not passphrase or key.format == "openssh":  # elsewhere encryption hides the public half too
        assert (key.type, key.bits, key.fingerprint) == (name, bits, fingerprint)
    if key.format == "openssh":
        assert key.comment == ("" if passphrase else "some body")
    if passphrase:
        assert "aes" in key.cipher


@pytest.mark.parametrize("form", ["OPENSSH", "PEM", "PKCS8"])
@pytest.mark.parametrize(("kind", "bits"), PEM_TOO[:3])
def test_no_field_holds_key_material(tmp_path, kind, bits, form):
    private, _, fingerprint = generated(tmp_path, kind, bits, "", form)
    shown = repr(one(private)).replace(fingerprint, "")
    body = b"".join(private.split(b"\n")[1:-2]).decode()
    assert not [body[at : at + 6] for at in range(len(body) - 6) if body[at : at + 6] in shown]


@pytest.mark.parametrize("name", ["ed25519", "P-256", "P-384", "P-521"])
def test_a_key_without_its_public_half_gets_it_computed(name):
    openssl = program("openssl")
    algorithm = ("ed25519",) if name == "ed25519" else ("EC", "-pkeyopt", f"ec_paramgen_curve:{name}")
    whole = run(openssl, "genpkey", "-algorithm", *algorithm)
    if name == "ed25519":
        raw = run(openssl, "pkey", "-pubout", "-outform", "DER", given=whole)[-32:]
        line = "ssh-ed25519 " + base64.b64encode(made.string(b"ssh-ed25519") + made.string(raw)).decode()
        assert one(whole).fingerprint == read_public(line).fingerprint
        return
    alone = run(openssl, "ec", "-no_public", given=whole)
    pressed = run(openssl, "ec", "-conv_form", "compressed", given=whole)
    assert {(k.valid, k.fingerprint) for k in map(one, (whole, alone, pressed))} == {(True, one(whole).fingerprint)}
    assert one(whole).fingerprint


def test_a_made_up_key_is_what_ssh_keygen_reads_too(tmp_path):
    keygen = program("ssh-keygen")
    path = tmp_path / "key"
    path.write_text(made.openssh("me", "a comment"))
    path.chmod(0o600)
    assert run(keygen, "-y", "-f", path).decode().split()[:2] == made.public_line("me").split()


FORMS = {
    "openssh": made.openssh("me", "a comment"),
    "pkcs8": made.pkcs8("me"),
    "putty 3": made.putty("me", "a comment"),
    "putty 2": made.putty("me", "a comment", 2),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_format_leads_to_the_same_public_half(form):
    key = one(FORMS[form])
    expected = read_public(made.public_line("me"))
    assert (key.valid, key.encrypted, key.type, key.bits) == (True, False, "ed25519", 256), key.reason
    assert key.fingerprint == expected.fingerprint
    assert key.comment == ("" if form == "pkcs8" else "a comment")


def test_a_host_key_of_dropbear_is_a_key_at_the_begin_of_its_file_alone():
    data = made.dropbear("me")
    key = one(data)
    assert (key.format, key.valid, key.type, key.fingerprint) == (
        "dropbear",
        True,
        "ed25519",
        read_public(made.public_line("me")).fingerprint,
    )
    assert not one(data + b"x").valid
    assert not list(read_private(b"x" + data))


@pytest.mark.parametrize("cipher", ["aes256-ctr", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"])
def test_an_encrypted_key_tells_its_public_half_and_no_comment(cipher):
    key = one(made.openssh("me", "a comment", cipher))
    assert (key.valid, key.encrypted, key.cipher, key.comment) == (True, True, cipher, "")
    assert key.fingerprint == read_public(made.public_line("me")).fingerprint


KEY = made.openssh("me")
AROUND = {
    "yaml": "ssh:\n  key: |\n" + "".join(f"    {line}\n" for line in KEY.splitlines()),
    "json": json.dumps({"a": 1, "key": KEY}),
    "json in json": json.dumps({"a": json.dumps({"key": KEY})}),
    "python": "KEY = (\n" + "".join(f'    "{line}\\n"\n' for line in KEY.splitlines()) + ")\n",
    "javascript": "const key =\n" + " +\n".join(f"  '{line}\\n'" for line in KEY.splitlines()) + ";\n",
    "shell": f"cat > ~/.ssh/id <<'EOF'\n{KEY}EOF\n",
    "crlf": KEY.replace("\n", "\r\n"),
    "one line": "key: " + KEY.replace("\n", " "),
    "comment": "".join(f"# {line}\n" for line in KEY.splitlines()),
    "base64": "SSH_KEY=" + base64.b64encode(KEY.encode()).decode() + "\n",
    "base64 in lines": base64.encodebytes(KEY.encode()).decode(),
}


@pytest.mark.parametrize("around", AROUND)
def test_a_key_is_read_whatever_stands_around_it(around):
    key = one(f"first\n\n{AROUND[around]}")
    assert key.valid, key.reason
    assert key.fingerprint == read_public(made.public_line("me")).fingerprint
    assert key.wrapped is around.startswith("base64")


def test_every_block_has_its_place():
    text = f"one\n{made.pkcs8('a')}two\n{made.putty('b')}{KEY}"
    found = list(read_private(text.encode()))
    assert [k.format for k in found] == ["pkcs8", "putty", "openssh"]
    starts = [text.index(begin) for begin in ("-----BEGIN PRIVATE", "PuTTY", "-----BEGIN OPENSSH")]
    assert [k.offset for k in found] == starts
    assert [k.line for k in found] == [text.count("\n", 0, at) + 1 for at in starts]


NO_KEYS = {
    "dots": "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----\n",
    "words": "-----BEGIN OPENSSH PRIVATE KEY-----\nYOUR KEY HERE\n-----END OPENSSH PRIVATE KEY-----\n",
    "nothing": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "base64 of prose": made.armoured("PRIVATE KEY", b"this is no key at all, only text in base64"),
    "no end": KEY.replace("-----END OPENSSH PRIVATE KEY-----", ""),
    "another end": KEY.replace("END OPENSSH", "END RSA"),
    "another begin": KEY.replace("OPENSSH", "RSA"),
    "only the marker": 'if line == "-----BEGIN RSA PRIVATE KEY-----":',
    "locked without a word on it": made.armoured("RSA PRIVATE KEY", b"\0" * 64),
    "locked of a wrong length": made.armoured("RSA PRIVATE KEY", b"\0" * 65).replace(
        "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n", 1
    ),
    "magic alone": made.armoured("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"),
    "changed MAC": re.sub("MAC: .", lambda m: "MAC: 0" if m[0][-1] != "0" else "MAC: 1", made.putty("me")),
    "putty cut off": made.putty("me")[:200],
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_a_frame_without_a_key_is_not_valid_and_says_why(what):
    key = one(NO_KEYS[what])
    assert not key.valid
    assert key.reason


@pytest.mark.parametrize("form", FORMS)
def test_a_part_of_a_key_is_no_key(form):
    lines = FORMS[form].splitlines()
    for missing in range(1, len(lines)):
        kept = lines[:missing] + lines[missing + 1 :]
        if not lines[missing].startswith(("Comment", "-----")) and len(lines) > 3:
            assert not one("\n".join(kept)).valid, lines[missing]


def test_halves_that_do_not_belong_together_are_no_key():
    mine, other = made.public_blob("me"), made.public_blob("other")
    body = base64.b64decode("".join(KEY.splitlines()[1:-1]))
    assert body.count(mine[15:]) >= 2
    assert not one(made.armoured("OPENSSH PRIVATE KEY", body.replace(mine, other, 1))).valid


def test_primes_that_do_not_make_the_modulus_are_no_key(tmp_path):
    private, _, _ = generated(tmp_path, "rsa", 2048, "", "PEM")
    body = bytearray(base64.b64decode(b"".join(private.split(b"\n")[1:-2])))
    body[40] ^= 1  # within the modulus
    assert one(private).valid
    assert not one(made.armoured("RSA PRIVATE KEY", bytes(body))).valid


LINE = made.public_line("me", "a b")


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace("ssh-ed25519", "ssh-rsa"),
        LINE.replace("ssh-ed25519", "SSH-ED25519"),
        LINE.replace("ssh-ed25519", "ed25519"),
        LINE[:40],
        LINE.split()[1],
        "ssh-ed25519",
        "",
        "ssh-ed25519 ====",
        "ssh-ed25519 \xe4\xf6",
        "no-pty " + LINE,
    ],
)
def test_what_is_no_public_key_is_none(line):
    assert read_public(line) is None
    assert read_public(line.encode("utf-8")) is None


def test_the_name_of_an_rsa_signature_stands_for_its_key(tmp_path):
    _, public, fingerprint = generated(tmp_path, "rsa", 2048, "", "PEM")
    line = "rsa-sha2-256 " + public.split()[1]
    path = tmp_path / "signature.pub"
    path.write_text(line)
    assert run(program("ssh-keygen"), "-lf", path).decode().split()[1] == fingerprint == read_public(line).fingerprint


def test_a_certificate_has_the_fingerprint_of_its_key(tmp_path):
    keygen = program("ssh-keygen")
    for name in ("ca", "key"):
        run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name)
    run(keygen, "-q", "-s", tmp_path / "ca", "-I", "id", "-n", "a,b", "-V", "+1d", tmp_path / "key.pub")
    certificate = read_public((tmp_path / "key-cert.pub").read_text())
    assert certificate is not None
    assert certificate.certificate
    assert certificate.type == "ed25519"
    assert certificate.fingerprint == read_public((tmp_path / "key.pub").read_text()).fingerprint


def test_public_halves_are_computed_for_so_many_only():
    keys = list(read_private("".join(made.pkcs8(str(n)) for n in range(DERIVED + 2)).encode()))
    assert all(k.valid for k in keys)
    assert [bool(k.fingerprint) for k in keys] == [True] * DERIVED + [False] * 2


@given(st.binary(max_size=400))
@example(b"-----BEGIN OPENSSH PRIVATE KEY-----")
def test_no_bytes_stop_it(data):
    for frame in ("RSA PRIVATE KEY", "DSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY"):
        framed = list(read_private(made.armoured(frame, data).encode()))
        # the body may be a key's armour itself, Base64 in Base64, and is then told too
        assert framed
        assert not any(k.valid for k in framed)
    assert not any(k.valid for k in read_private(data))
    read_public(data)


@given(st.sampled_from(sorted(FORMS)), st.integers(0, 10_000), st.integers(1, 255))
def test_no_flipped_bit_stops_it(form, place, flip):
    data = bytearray(FORMS[form].encode())
    data[place % len(data)] ^= flip
    list(read_private(bytes(data)))


@given(st.data())
def test_a_changed_body_never_stops_it(data):
    label = data.draw(st.sampled_from(["OPENSSH PRIVATE KEY", "PRIVATE KEY"]))
    text = made.openssh("me") if label.startswith("O") else made.pkcs8("me")
    body = bytearray(base64.b64decode("".join(text.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    list(read_private(made.armoured(label, bytes(body)).encode()))
    list(read_private(bytes(body)))


@pytest.mark.parametrize(
    "piece",
    [
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
        b"LS0tLS1CRUdJTiB",
        b"PuTTY-User-Key-File-2: a\n",
        b"-----BEGIN PRIVATE KEY-----" + b"\\n" * 500,
        b"-----BEGIN PRIVATE KEY-----" + b"\\" * 90_000,
        b"PuTTY-User-Key-File-2: \\n" + b"\\" * 90_000,
        b"PuTTY-User-Key-File-2: \\n" + b"\\r" * 40_000,
        b"-----BEGIN PRIVATE KEY-----" + b"A: b" * 20_000,
        b"-----BEGIN PRIVATE KEY-----" + b"'" * 80_000,
        b"-",
        b"\0\0\0\x07ssh-rsa",
    ],
)
def test_time_is_linear(piece):
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece) + 1))[:size]
        begin = time.process_time()
        for _ in read_private(data):
            pass
        return time.process_time() - begin

    assert seconds(1_000_000) < max(12 * seconds(200_000), 1)


@settings(max_examples=20)
@given(st.text(alphabet="ab \t\n\\\"'+/=", max_size=300))
def test_a_frame_around_anything_is_no_key(text):
    assert not one(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n").valid
