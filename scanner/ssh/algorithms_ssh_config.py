"""The algorithms that Debian's OpenSSH 9.2 client knows and offers (ssh -Q, ssh -G), and how a list is put together (kex.c)."""

from scanner.ssh.lexing import fold
from scanner.ssh.patterns import list_matches

CIPHERS = tuple(
    "3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com "
    "aes256-gcm@openssh.com chacha20-poly1305@openssh.com".split()
)
MACS = tuple(
    "hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 umac-64@openssh.com umac-128@openssh.com "
    "hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com "
    "hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com umac-64-etm@openssh.com umac-128-etm@openssh.com".split()
)
KEX = tuple(
    "diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256 diffie-hellman-group16-sha512 "
    "diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1 diffie-hellman-group-exchange-sha256 "
    "ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 curve25519-sha256 curve25519-sha256@libssh.org "
    "sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com".split()
)
GSS_KEX = tuple(
    "gss-gex-sha1- gss-group1-sha1- gss-group14-sha1- gss-group14-sha256- gss-group16-sha512- gss-nistp256-sha256- "
    "gss-curve25519-sha256-".split()
)
KEYS = tuple(
    "ssh-ed25519 ssh-ed25519-cert-v01@openssh.com sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com "
    "ecdsa-sha2-nistp256 ecdsa-sha2-nistp256-cert-v01@openssh.com ecdsa-sha2-nistp384 "
    "ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521 ecdsa-sha2-nistp521-cert-v01@openssh.com "
    "sk-ecdsa-sha2-nistp256@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com "
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com ssh-dss ssh-dss-cert-v01@openssh.com ssh-rsa "
    "ssh-rsa-cert-v01@openssh.com rsa-sha2-256 rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512 "
    "rsa-sha2-512-cert-v01@openssh.com".split()
)
SIGNATURES = tuple(key for key in KEYS if "-cert-" not in key)

DEFAULT_CIPHERS = (
    "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
)
DEFAULT_MACS = (
    "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
    "hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"
)
DEFAULT_KEX = (
    "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,"
    "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,"
    "diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256"
)
DEFAULT_GSS_KEX = "gss-group14-sha256-,gss-group16-sha512-,gss-nistp256-sha256-,gss-curve25519-sha256-,gss-group14-sha1-,gss-gex-sha1-"
DEFAULT_SIGNATURES = (
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,sk-ssh-ed25519@openssh.com,"
    "sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"
)
DEFAULT_KEYS = (
    "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,ecdsa-sha2-nistp384-cert-v01@openssh.com,"
    "ecdsa-sha2-nistp521-cert-v01@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com,"
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com,"
    + DEFAULT_SIGNATURES
)

LISTS = {
    "ciphers": (DEFAULT_CIPHERS, CIPHERS),
    "macs": (DEFAULT_MACS, MACS),
    "kexalgorithms": (DEFAULT_KEX, KEX),
    "hostbasedacceptedalgorithms": (DEFAULT_KEYS, KEYS),
    "pubkeyacceptedalgorithms": (DEFAULT_KEYS, KEYS),
    "casignaturealgorithms": (DEFAULT_SIGNATURES, SIGNATURES),
    "hostkeyalgorithms": (DEFAULT_KEYS, KEYS),
}
"""For each keyword what is offered where nothing is said, and all there is."""

_SHORT = frozenset("ed25519 ed25519-sk ecdsa ecdsa-sk dsa rsa null".split())


def _names(text: str) -> list[str]:
    """Up to the first empty name: what follows is not looked at."""
    names = text.split(",")
    return names[: names.index("")] if "" in names else names


def _key(name: str) -> bool:
    if name in KEYS or name == "null" or fold(name) in _SHORT:
        return True
    return any(list_matches(key, name) for key in (*KEYS, "null"))


def _kex(name: str) -> bool:
    return name in KEX or name.startswith(GSS_KEX)


def _gss_kex(name: str) -> bool:
    return name.startswith(GSS_KEX)


_KNOWN = {
    "ciphers": CIPHERS.__contains__,
    "macs": MACS.__contains__,
    "kexalgorithms": _kex,
    "gssapikexalgorithms": _gss_kex,
}


def valid(keyword: str, text: str) -> bool:
    """Whether ssh takes the list as it reads it. What is taken off (`-`) may be anything."""
    if keyword != "gssapikexalgorithms":
        if text.startswith("-"):
            return True
        if text.startswith(("+", "^")):
            text = text[1:]
    known = _KNOWN.get(keyword, _key)
    return text != "" and all(map(known, dict.fromkeys(_names(text))))


def assembled(keyword: str, text: str) -> str | None:
    """The list with its `+`, `-` or `^` and its wildcards resolved, None where ssh refuses what is left of it."""
    default, known = LISTS[keyword]
    if not text:
        return default
    if text.startswith("-"):
        return ",".join(name for name in default.split(",") if list_matches(name, text[1:]) != 1)
    if text.startswith("+"):
        patterns = [*default.split(","), *_names(text[1:])]
    elif text.startswith("^"):
        patterns = [*text[1:].split(","), *default.split(",")]
    else:
        patterns = text.split(",")
    found: dict[str, None] = {}
    for pattern in dict.fromkeys(patterns):
        if pattern.startswith("!"):
            return None
        found.update(dict.fromkeys(name for name in known if list_matches(name, pattern) == 1))
    return ",".join(found) or None
