"""What each OpenSSH release knows: sshd's keywords, their defaults, and the algorithms (release notes, sshd_config(5), ssh -Q).

Debian's patches are taken to be there (DebianBanner, GSSAPIKeyExchange and its relatives): elsewhere such a keyword would
be unknown, and sshd would say so.
"""

from dataclasses import dataclass
from functools import lru_cache

from scanner.ssh.source import Version

ASSUMED = Version(9, 2)
"""The semantics used where the installed version is not known."""

OLDEST = Version(0, 0)
ARGV_SPLIT = Version(8, 7)
"""From here on lines are split with argv_split, and comments may follow the arguments."""
MATCH_ARGV = Version(9, 9)
"""From here on Match lines are split so too."""
STRICT_LISTS = Version(9, 9)
"""From here on a list with nothing in it is an error, and "any" or "none" must stand alone in it."""
SUBSYSTEM_IN_MATCH = Version(9, 5)
"""From here on Subsystem may stand in a Match block, and the first of two with the same name wins instead of ending sshd."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword: how its arguments are read, whether a Match block may hold it, and which releases know it."""

    name: str
    reader: str
    match: Version | None = None
    since: Version = OLDEST
    alias_of: str = ""

    @property
    def canonical(self) -> str:
        return self.alias_of or self.name


def _keywords(reader: str, names: str) -> list[Keyword]:
    """NAME, NAME* (Match blocks may hold it), NAME*8.3 (from 8.3 on), NAME@9.2 (known from 9.2 on)."""
    found = []
    for word in names.split():
        rest, _, since = word.partition("@")
        name, star, match = rest.partition("*")
        found.append(
            Keyword(
                name,
                reader,
                (_version(match) if match else OLDEST) if star else None,
                _version(since) if since else OLDEST,
            )
        )
    return found


def _version(text: str) -> Version:
    major, _, minor = text.partition(".")
    return Version(int(major), int(minor))


_ALL = [
    *_keywords(
        "flag",
        """usepam ignoreuserknownhosts printmotd printlastlog strictmodes tcpkeepalive usedns
        kerberosorlocalpasswd kerberosticketcleanup gssapicleanupcredentials gssapistrictacceptorcheck
        gssapikeyexchange gssapistorecredentialsonrekey debianbanner
        hostbasedauthentication* hostbasedusesnamefrompacketonly* pubkeyauthentication* kerberosauthentication*
        gssapiauthentication* passwordauthentication* kbdinteractiveauthentication* x11forwarding* x11uselocalhost*
        permitemptypasswords* allowagentforwarding* permittty*@6.4 permituserrc*@6.7 streamlocalbindunlink*@6.7
        disableforwarding*@7.4 exposeauthinfo*@7.6 refuseconnection*@9.9""",
    ),
    *_keywords("addressfamily", "addressfamily"),
    *_keywords("permitrootlogin", "permitrootlogin*"),
    *_keywords("ignorerhosts", "ignorerhosts*8.3"),
    *_keywords("compression", "compression"),
    *_keywords("gatewayports", "gatewayports*"),
    *_keywords("forwarding", "allowtcpforwarding* allowstreamlocalforwarding*@6.7"),
    *_keywords("tunnel", "permittunnel*"),
    *_keywords("facility", "syslogfacility"),
    *_keywords("level", "loglevel*"),
    *_keywords("digest", "fingerprinthash@6.8"),
    *_keywords("integer", "x11displayoffset* maxauthtries* maxsessions* clientalivecountmax* requiredrsasize*@9.1"),
    *_keywords("time", "logingracetime clientaliveinterval*"),
    *_keywords("timeornone", "unusedconnectiontimeout*@9.2"),
    *_keywords("port", "port"),
    *_keywords("listenaddress", "listenaddress"),
    *_keywords(
        "path",
        """hostkey hostcertificate pidfile modulifile@8.5 xauthlocation banner* trustedusercakeys* revokedkeys*
        sshdsessionpath@9.8 sshdauthpath@10.0""",
    ),
    *_keywords("agent", "hostkeyagent@6.3"),
    *_keywords("provider", "securitykeyprovider@8.2"),
    *_keywords("tilde", "authorizedprincipalsfile*"),
    *_keywords(
        "word",
        """chrootdirectory* authorizedkeyscommanduser*@6.2 authorizedprincipalscommanduser*@6.9
        pamservicename*@9.8""",
    ),
    *_keywords("command", "authorizedkeyscommand*@6.2 authorizedprincipalscommand*@6.9"),
    *_keywords("rest", "forcecommand*"),
    *_keywords("addendum", "versionaddendum@6.1"),
    *_keywords("environment", "permituserenvironment"),
    *_keywords("rekey", "rekeylimit*"),
    *_keywords("verbose", "logverbose*@8.5"),
    *_keywords("users", "allowusers* denyusers*"),
    *_keywords("groups", "allowgroups* denygroups*"),
    *_keywords("ciphers", "ciphers"),
    *_keywords("macs", "macs"),
    *_keywords("kex", "kexalgorithms"),
    *_keywords("gsskex", "gssapikexalgorithms"),
    *_keywords(
        "keyalgorithms",
        """hostkeyalgorithms@7.0 hostbasedacceptedalgorithms*@8.5 pubkeyacceptedalgorithms*@8.5
        casignaturealgorithms*@7.9""",
    ),
    *_keywords("subsystem", "subsystem*9.5"),
    *_keywords("startups", "maxstartups"),
    *_keywords("persource", "persourcemaxstartups@8.5"),
    *_keywords("netblock", "persourcenetblocksize@8.5"),
    *_keywords("penalties", "persourcepenalties@9.8"),
    *_keywords("exempt", "persourcepenaltyexemptlist@9.8"),
    *_keywords("keysfile", "authorizedkeysfile*"),
    *_keywords("acceptenv", "acceptenv*"),
    *_keywords("setenv", "setenv*@7.8"),
    *_keywords("permitopen", "permitopen*"),
    *_keywords("permitlisten", "permitlisten*@7.8"),
    *_keywords("ipqos", "ipqos*"),
    *_keywords("methods", "authenticationmethods*@6.2"),
    *_keywords("mask", "streamlocalbindmask*@6.7"),
    *_keywords("keyoptions", "pubkeyauthoptions*@8.2"),
    *_keywords("rdomain", "rdomain*@7.7"),
    *_keywords("timeouts", "channeltimeout*@9.2"),
    *_keywords("include", "include*@8.2"),
    *_keywords("match", "match*"),
    *_keywords(
        "ignored",
        """pamauthenticationviakbdint serverkeybits keyregenerationinterval rhostsauthentication
        rhostsrsaauthentication* rsaauthentication* kerberosgetafstoken kerberostgtpassing afstokenpassing
        gssusesessionccache gssapiusesessioncredcache checkmail permitblacklistedkeys uselogin protocol
        verifyreversemapping reversemappingcheck authorizedkeysfile2* useprivilegeseparation""",
    ),
]
_ALIASES = {
    "hostdsakey": "hostkey",
    "dsaauthentication": "pubkeyauthentication",
    "keepalive": "tcpkeepalive",
    "gssapicleanupcreds": "gssapicleanupcredentials",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
}


@lru_cache(maxsize=64)
def keywords(version: Version) -> dict[str, Keyword]:
    """Every keyword the release knows, in lower case, aliases with it."""
    by_name = {keyword.name: keyword for keyword in _ALL}
    for name, canonical in _ALIASES.items():
        known = by_name[canonical]
        since = Version(6, 8) if name.endswith("keytypes") else OLDEST
        match = None if name == "dsaauthentication" else known.match
        by_name[name] = Keyword(name, known.reader, match, since, canonical)
    if version >= ARGV_SPLIT:
        for name in ("challengeresponseauthentication", "skeyauthentication"):
            by_name[name] = Keyword(name, "flag", OLDEST, OLDEST, "kbdinteractiveauthentication")
    else:  # until 8.6 a setting of its own, which turns the other on
        by_name["challengeresponseauthentication"] = Keyword("challengeresponseauthentication", "flag")
        by_name["skeyauthentication"] = Keyword("skeyauthentication", "ignored")
    return {name: keyword for name, keyword in by_name.items() if keyword.since <= version}


@lru_cache(maxsize=64)
def defaults(version: Version) -> dict[str, tuple[str, ...]]:
    """The values of what nothing sets, as sshd -T prints them; a keyword that is not here has none."""
    values = {
        "usepam": "no",
        "addressfamily": "any",
        "port": "22",
        "logingracetime": "120",
        "x11displayoffset": "10",
        "maxauthtries": "6",
        "maxsessions": "10",
        "clientaliveinterval": "0",
        "clientalivecountmax": "3",
        "requiredrsasize": "1024",
        "streamlocalbindmask": "0177",
        "unusedconnectiontimeout": "none",
        "permitrootlogin": "without-password" if version >= Version(7, 0) else "yes",
        "ignorerhosts": "yes",
        "ignoreuserknownhosts": "no",
        "hostbasedauthentication": "no",
        "hostbasedusesnamefrompacketonly": "no",
        "pubkeyauthentication": "yes",
        "kerberosauthentication": "no",
        "kerberosorlocalpasswd": "yes",
        "kerberosticketcleanup": "yes",
        "gssapiauthentication": "no",
        "gssapicleanupcredentials": "yes",
        "gssapikeyexchange": "no",
        "gssapistrictacceptorcheck": "yes",
        "gssapistorecredentialsonrekey": "no",
        "passwordauthentication": "yes",
        "kbdinteractiveauthentication": "yes",
        "challengeresponseauthentication": "yes",
        "printmotd": "yes",
        "printlastlog": "yes",
        "x11forwarding": "no",
        "x11uselocalhost": "yes",
        "permittty": "yes",
        "permituserrc": "yes",
        "strictmodes": "yes",
        "tcpkeepalive": "yes",
        "permitemptypasswords": "no",
        "compression": "yes" if version >= Version(7, 4) else "delayed",
        "gatewayports": "no",
        "usedns": "no" if version >= Version(6, 8) else "yes",
        "allowtcpforwarding": "yes",
        "allowagentforwarding": "yes",
        "disableforwarding": "no",
        "allowstreamlocalforwarding": "yes",
        "streamlocalbindunlink": "no",
        "fingerprinthash": "SHA256",
        "exposeauthinfo": "no",
        "refuseconnection": "no",
        "debianbanner": "yes",
        "pidfile": "/run/sshd.pid",
        "modulifile": "/etc/ssh/moduli",
        "xauthlocation": "/usr/bin/xauth",
        "banner": "none",
        "forcecommand": "none",
        "chrootdirectory": "none",
        "trustedusercakeys": "none",
        "revokedkeys": "none",
        "securitykeyprovider": "internal",
        "authorizedprincipalsfile": "none",
        "versionaddendum": "none",
        "authorizedkeyscommand": "none",
        "authorizedkeyscommanduser": "none",
        "authorizedprincipalscommand": "none",
        "authorizedprincipalscommanduser": "none",
        "hostkeyagent": "none",
        "pamservicename": "sshd",
        "sshdsessionpath": "/usr/lib/openssh/sshd-session",
        "sshdauthpath": "/usr/lib/openssh/sshd-auth",
        "persourcepenaltyexemptlist": "none",
        "loglevel": "INFO",
        "syslogfacility": "AUTH",
        "authorizedkeysfile": ".ssh/authorized_keys .ssh/authorized_keys2",
        "hostkey": "/etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_ecdsa_key /etc/ssh/ssh_host_ed25519_key",
        "authenticationmethods": "any",
        "maxstartups": "10 30 100",
        "persourcemaxstartups": "none",
        "persourcenetblocksize": "32 128",
        "persourcepenalties": "crash:90 authfail:5 noauth:1 grace-exceeded:10 refuseconnection:10 max:600 min:15"
        " max-sources4:65536 max-sources6:65536 overflow:permissive overflow6:permissive",
        "permittunnel": "no",
        "ipqos": "ef cs1" if version >= Version(10, 0) else "lowdelay throughput",
        "rekeylimit": "0 0",
        "permitopen": "any",
        "permitlisten": "any",
        "permituserenvironment": "no",
        "pubkeyauthoptions": "none",
        "rdomain": "none",
    }
    known = keywords(version)
    found = {name: tuple(value.split()) for name, value in values.items() if name in known}
    for name, kind in ALGORITHM_KINDS.items():
        if name in known:
            found[name] = default_algorithms(kind, version)
    return found


ALGORITHM_KINDS = {
    "ciphers": "ciphers",
    "macs": "macs",
    "kexalgorithms": "kex",
    "gssapikexalgorithms": "gsskex",
    "hostkeyalgorithms": "keys",
    "hostbasedacceptedalgorithms": "keys",
    "pubkeyacceptedalgorithms": "keys",
    "casignaturealgorithms": "signatures",
}


def _list(names: str) -> list[tuple[str, Version, Version | None]]:
    """NAME, NAME@6.5 (from 6.5 on), NAME~7.6 (gone from 7.6 on)."""
    found = []
    for word in names.split():
        rest, _, until = word.partition("~")
        name, at, since = rest.rpartition("@")
        if not at or not since[:1].isdigit():
            name, since = rest, ""
        found.append((name, _version(since) if since else OLDEST, _version(until) if until else None))
    return found


_SUPPORTED = {
    "ciphers": _list(
        """3des-cbc blowfish-cbc~7.6 cast128-cbc~7.6 arcfour~7.6 arcfour128~7.6 arcfour256~7.6
        aes128-cbc aes192-cbc aes256-cbc rijndael-cbc@lysator.liu.se~8.5 aes128-ctr aes192-ctr aes256-ctr
        aes128-gcm@openssh.com@6.2 aes256-gcm@openssh.com@6.2 chacha20-poly1305@openssh.com@6.5"""
    ),
    "macs": _list(
        """hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 hmac-ripemd160~7.6
        hmac-ripemd160@openssh.com~7.6 umac-64@openssh.com umac-128@openssh.com@6.2
        hmac-sha1-etm@openssh.com@6.2 hmac-sha1-96-etm@openssh.com@6.2 hmac-sha2-256-etm@openssh.com@6.2
        hmac-sha2-512-etm@openssh.com@6.2 hmac-md5-etm@openssh.com@6.2 hmac-md5-96-etm@openssh.com@6.2
        hmac-ripemd160-etm@openssh.com@6.2~7.6 umac-64-etm@openssh.com@6.2 umac-128-etm@openssh.com@6.2"""
    ),
    "kex": _list(
        """diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256@7.3
        diffie-hellman-group16-sha512@7.3 diffie-hellman-group18-sha512@7.3 diffie-hellman-group-exchange-sha1
        diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
        curve25519-sha256@7.4 curve25519-sha256@libssh.org@6.5 sntrup4591761x25519-sha512@tinyssh.org@8.0~8.5
        sntrup761x25519-sha512@9.2 sntrup761x25519-sha512@openssh.com@8.5 mlkem768x25519-sha256@9.9"""
    ),
    "gsskex": _list(
        """gss-gex-sha1- gss-group1-sha1- gss-group14-sha1- gss-group14-sha256- gss-group16-sha512-
        gss-nistp256-sha256- gss-curve25519-sha256-"""
    ),
    "keys": _list(
        """ssh-ed25519@6.5 ssh-ed25519-cert-v01@openssh.com@6.5 sk-ssh-ed25519@openssh.com@8.2
        sk-ssh-ed25519-cert-v01@openssh.com@8.2 ecdsa-sha2-nistp256 ecdsa-sha2-nistp256-cert-v01@openssh.com
        ecdsa-sha2-nistp384 ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521
        ecdsa-sha2-nistp521-cert-v01@openssh.com sk-ecdsa-sha2-nistp256@openssh.com@8.2
        sk-ecdsa-sha2-nistp256-cert-v01@openssh.com@8.2 webauthn-sk-ecdsa-sha2-nistp256@openssh.com@8.4
        ssh-dss~10.0 ssh-dss-cert-v01@openssh.com~10.0 ssh-rsa ssh-rsa-cert-v01@openssh.com
        rsa-sha2-256@7.2 rsa-sha2-256-cert-v01@openssh.com@7.8 rsa-sha2-512@7.2
        rsa-sha2-512-cert-v01@openssh.com@7.8"""
    ),
}
SHORT_KEY_NAMES = ("ed25519", "ed25519-sk", "ecdsa", "ecdsa-sk", "dsa", "rsa", "null")
"""Names of key types that are taken as valid, and then match no algorithm (sshkey_type_from_name)."""

_CIPHERS = "aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com aes256-gcm@openssh.com"
_ECDH = "ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521"
_CURVE = f"curve25519-sha256 curve25519-sha256@libssh.org {_ECDH}"
_DH = """diffie-hellman-group-exchange-sha256 diffie-hellman-group16-sha512 diffie-hellman-group18-sha512
    diffie-hellman-group14-sha256"""
_SNTRUP = "sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com"
_CERTIFICATES = """ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com
    ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
    sk-ssh-ed25519-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
    rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com"""
_PLAIN = """ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 sk-ssh-ed25519@openssh.com
    sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-512 rsa-sha2-256"""
_GSS = """gss-group14-sha256- gss-group16-sha512- gss-nistp256-sha256- gss-curve25519-sha256- gss-group14-sha1-
    gss-gex-sha1-"""
_MACS = """umac-64-etm@openssh.com umac-128-etm@openssh.com hmac-sha2-256-etm@openssh.com
    hmac-sha2-512-etm@openssh.com hmac-sha1-etm@openssh.com umac-64@openssh.com umac-128@openssh.com hmac-sha2-256
    hmac-sha2-512 hmac-sha1"""

_DEFAULTS: dict[str, list[tuple[Version, str]]] = {
    "ciphers": [
        (
            Version(10, 0),
            """chacha20-poly1305@openssh.com aes128-gcm@openssh.com aes256-gcm@openssh.com aes128-ctr aes192-ctr
            aes256-ctr""",
        ),
        (Version(6, 7), f"chacha20-poly1305@openssh.com {_CIPHERS}"),
        (
            OLDEST,
            f"""{_CIPHERS} arcfour256 arcfour128 chacha20-poly1305@openssh.com aes128-cbc 3des-cbc blowfish-cbc
            cast128-cbc aes192-cbc aes256-cbc arcfour""",
        ),
    ],
    "macs": [
        (Version(6, 7), _MACS),
        (OLDEST, f"{_MACS} hmac-md5-etm@openssh.com hmac-ripemd160-etm@openssh.com hmac-md5 hmac-ripemd160"),
    ],
    "kex": [
        (Version(10, 0), f"mlkem768x25519-sha256 {_SNTRUP} {_CURVE}"),
        (Version(9, 9), f"{_SNTRUP} mlkem768x25519-sha256 {_CURVE} {_DH}"),
        (Version(9, 0), f"{_SNTRUP} {_CURVE} {_DH}"),
        (Version(8, 5), f"{_CURVE} sntrup761x25519-sha512@openssh.com {_DH}"),
        (Version(8, 2), f"{_CURVE} {_DH}"),
        (Version(7, 3), f"{_CURVE} {_DH} diffie-hellman-group14-sha1"),
        (Version(6, 7), f"{_CURVE} diffie-hellman-group-exchange-sha256 diffie-hellman-group14-sha1"),
        (
            OLDEST,
            f"""{_CURVE} diffie-hellman-group-exchange-sha256 diffie-hellman-group14-sha1
            diffie-hellman-group-exchange-sha1 diffie-hellman-group1-sha1""",
        ),
    ],
    "gsskex": [(OLDEST, _GSS)],
    "keys": [
        (Version(8, 8), f"{_CERTIFICATES} {_PLAIN}"),
        (Version(7, 0), f"{_CERTIFICATES} ssh-rsa-cert-v01@openssh.com {_PLAIN} ssh-rsa"),
        (
            OLDEST,
            f"""{_CERTIFICATES} ssh-rsa-cert-v01@openssh.com ssh-dss-cert-v01@openssh.com {_PLAIN} ssh-rsa
            ssh-dss""",
        ),
    ],
    "signatures": [(Version(8, 2), _PLAIN), (OLDEST, f"{_PLAIN} ssh-rsa")],
}


@lru_cache(maxsize=512)
def supported_algorithms(kind: str, version: Version) -> tuple[str, ...]:
    """Every algorithm of a kind that the release can do, in the order of ssh -Q."""
    if kind == "signatures":
        return tuple(name for name in supported_algorithms("keys", version) if "-cert-" not in name)
    return tuple(
        name for name, since, until in _SUPPORTED[kind] if since <= version and (until is None or version < until)
    )


@lru_cache(maxsize=512)
def default_algorithms(kind: str, version: Version) -> tuple[str, ...]:
    """Those that are used where nothing is said, best first."""
    known = supported_algorithms(kind, version)
    names = next(names for since, names in _DEFAULTS[kind] if since <= version)
    return tuple(name for name in names.split() if name in known)


_PRINTED = """port addressfamily listenaddress usepam pamservicename logingracetime x11displayoffset maxauthtries
    maxsessions clientaliveinterval clientalivecountmax requiredrsasize streamlocalbindmask unusedconnectiontimeout
    permitrootlogin ignorerhosts ignoreuserknownhosts hostbasedauthentication hostbasedusesnamefrompacketonly
    pubkeyauthentication kerberosauthentication kerberosorlocalpasswd kerberosticketcleanup gssapiauthentication
    gssapicleanupcredentials gssapikeyexchange gssapistrictacceptorcheck gssapistorecredentialsonrekey
    gssapikexalgorithms passwordauthentication kbdinteractiveauthentication challengeresponseauthentication printmotd
    printlastlog x11forwarding x11uselocalhost permittty permituserrc strictmodes tcpkeepalive permitemptypasswords
    compression gatewayports usedns allowtcpforwarding allowagentforwarding disableforwarding
    allowstreamlocalforwarding streamlocalbindunlink fingerprinthash exposeauthinfo refuseconnection debianbanner
    pidfile modulifile xauthlocation ciphers macs banner forcecommand chrootdirectory trustedusercakeys revokedkeys
    securitykeyprovider authorizedprincipalsfile versionaddendum authorizedkeyscommand authorizedkeyscommanduser
    authorizedprincipalscommand authorizedprincipalscommanduser hostkeyagent kexalgorithms casignaturealgorithms
    hostbasedacceptedalgorithms hostkeyalgorithms pubkeyacceptedalgorithms sshdsessionpath sshdauthpath
    persourcepenaltyexemptlist loglevel syslogfacility authorizedkeysfile hostkey hostcertificate allowusers denyusers
    allowgroups denygroups acceptenv setenv authenticationmethods logverbose channeltimeout subsystem maxstartups
    persourcemaxstartups persourcenetblocksize permittunnel ipqos rekeylimit permitopen permitlisten
    permituserenvironment pubkeyauthoptions persourcepenalties"""


@lru_cache(maxsize=64)
def printed(version: Version) -> tuple[str, ...]:
    """The keywords in the order in which sshd -T prints them; it says DebianBanner from 9.6 on alone."""
    known = {name for name, keyword in keywords(version).items() if name == keyword.canonical}
    if version < Version(9, 6):
        known.discard("debianbanner")
    return tuple(name for name in _PRINTED.split() if name in known)
