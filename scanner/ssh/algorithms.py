"""Algorithms that a configuration should not switch on: broken ones, and ones past their time.

Sources: RFC 9142 (key exchange with SHA-1), RFC 8758 (RC4), RFC 8332 (ssh-rsa signs with SHA-1), RFC 4253 section 6.4
and RFC 6151 (MD5), "Sweet32" (64-bit blocks), the plaintext recovery of CPNI-957037 (CBC); OpenSSH's release notes
7.0, 7.4, 7.6, 8.2, 8.8 for what was switched off when.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scanner.ssh.patterns import matches


@dataclass(frozen=True, slots=True)
class Weak:
    """`broken`: an attack on it is practical, or it protects nothing; `dated`: better has been there for years."""

    name: str
    grade: Literal["broken", "dated"]
    why: str


_SHA1 = "it hashes with SHA-1"
_GROUP1 = "its 1024-bit group can be computed in advance, and it hashes with SHA-1"
_RC4 = "RC4's keystream is biased"
_BLOCK64 = "its 64-bit blocks repeat after some gigabytes, and give plaintext away"
_CBC = "CBC with encrypt-and-MAC gives plaintext away"
_MD5 = "MD5 is broken"
_SHORT = "its tag is short"
_RSA_SHA1 = "it signs with SHA-1, for which collisions can be bought"
_DSS = "DSA is fixed to 1024 bits and SHA-1"


def _weak(grade: Literal["broken", "dated"], why: str, names: str) -> dict[str, Weak]:
    return {name: Weak(name, grade, why) for name in names.split()}


def _with_etm(names: str) -> str:
    return " ".join(f"{name} {name}-etm@openssh.com" for name in names.split())


_CIPHERS = {
    **_weak("broken", "it does not encrypt", "none"),
    **_weak("broken", _RC4, "arcfour arcfour128 arcfour256"),
    **_weak("broken", "its key has 56 bits", "des des-cbc des-cbc@ssh.com"),
    **_weak(
        "broken", _BLOCK64, "3des 3des-cbc 3des-ctr blowfish blowfish-cbc blowfish-ctr cast128-cbc cast128-ctr idea-cbc"
    ),
    **_weak("dated", _CBC, "aes128-cbc aes192-cbc aes256-cbc rijndael-cbc@lysator.liu.se"),
    **_weak("dated", _CBC, "rijndael128-cbc rijndael192-cbc rijndael256-cbc"),
    **_weak("dated", _CBC, "twofish-cbc twofish128-cbc twofish192-cbc twofish256-cbc"),
    **_weak("dated", _CBC, "serpent128-cbc serpent192-cbc serpent256-cbc"),
}
_MACS = {
    **_weak("broken", "it does not authenticate", "none"),
    **_weak("broken", _MD5, _with_etm("hmac-md5 hmac-md5-96")),
    **_weak(
        "dated",
        _SHORT,
        _with_etm("hmac-sha1-96") + " umac-64@openssh.com umac-64-etm@openssh.com",
    ),
    **_weak(
        "dated",
        "its hash is no longer looked after",
        "hmac-ripemd160 hmac-ripemd160@openssh.com hmac-ripemd160-etm@openssh.com",
    ),
}
_KEX = {
    **_weak("broken", _GROUP1, "diffie-hellman-group1-sha1 gss-group1-sha1- rsa1024-sha1"),
    **_weak("dated", _SHA1, "diffie-hellman-group14-sha1 diffie-hellman-group-exchange-sha1"),
    **_weak("dated", _SHA1, "gss-gex-sha1- gss-group14-sha1-"),
}
_SIGNATURES = {
    **_weak("broken", _RSA_SHA1, "ssh-rsa ssh-rsa-cert-v01@openssh.com ssh-rsa-cert-v00@openssh.com"),
    **_weak("broken", _DSS, "ssh-dss ssh-dss-cert-v01@openssh.com ssh-dss-cert-v00@openssh.com"),
}
_KINDS: Mapping[str, Mapping[str, Weak]] = {
    "cipher": _CIPHERS,
    "ciphers": _CIPHERS,
    "macs": _MACS,
    "kexalgorithms": _KEX,
    "gssapikexalgorithms": _KEX,
    "hostkeyalgorithms": _SIGNATURES,
    "pubkeyacceptedalgorithms": _SIGNATURES,
    "pubkeyacceptedkeytypes": _SIGNATURES,
    "hostbasedacceptedalgorithms": _SIGNATURES,
    "hostbasedacceptedkeytypes": _SIGNATURES,
    "hostbasedkeytypes": _SIGNATURES,
    "casignaturealgorithms": _SIGNATURES,
}
PATTERNS = 100
"""In one list. One with more is taken to mean everything: nobody writes it, and it would cost time."""


def weak(kind: str, value: str) -> tuple[Weak, ...]:
    """What the value of this keyword (any case, old names too) switches on, each once, in its order.

    A list that takes away (`-`) switches nothing on; `+` and `^` add. A pattern stands for all it matches. An unknown
    keyword has no weak algorithms; names that nobody knows are not judged.
    """
    table = _KINDS.get(kind.lower())
    value = value.strip().strip('"')
    if table is None or value.startswith("-"):
        return ()
    found: dict[str, Weak] = {}
    patterns: set[str] = set()
    for name in value.removeprefix("+").removeprefix("^").split(","):
        wanted = name.strip().lower()
        if wanted in table:
            found[wanted] = table[wanted]
        elif "*" in wanted or "?" in wanted:
            pattern = re.sub(r"\*+", "*", wanted)
            if len(patterns) < PATTERNS and pattern not in patterns and len(pattern) <= 2 * _LONGEST:
                found |= {n: w for n, w in table.items() if n not in found and matches(n, pattern)}
            patterns.add(pattern)
    return tuple(table.values()) if len(patterns) > PATTERNS else tuple(found.values())


_LONGEST = max(len(name) for table in _KINDS.values() for name in table) + 1
