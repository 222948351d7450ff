"""Configurations of sshd made at random: every keyword, with good, odd and bad values, in every dress a line can wear."""

import random
from dataclasses import dataclass
from pathlib import Path

WORDS = ("alpha", "b*", "*", "c?d", "root", "nobody", "!root", "x-y_z", "user@10.0.0.0/8", "a@host*", "ünï")
PATHS = ("/etc/x", "/a b/c", "none", "NONE", "rel/path", "~/here", "~", "%h/.ssh/k", "/p/%u", "~//two")
FLAGS = ("yes", "no", "YES", "No")
BAD_FLAGS = ("true", "1", "on", "maybe", '""', "yes no")
CIPHERS = "3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com chacha20-poly1305@openssh.com"
MACS = "hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-md5 umac-64@openssh.com hmac-sha2-512-etm@openssh.com umac-128-etm@openssh.com"
KEX = """diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group16-sha512 ecdh-sha2-nistp256
    curve25519-sha256 curve25519-sha256@libssh.org sntrup761x25519-sha512@openssh.com gss-gex-sha1-abc="""
KEYS = """ssh-ed25519 ssh-rsa ssh-dss rsa-sha2-256 rsa-sha2-512 ecdsa-sha2-nistp256 ssh-ed25519-cert-v01@openssh.com
    sk-ssh-ed25519@openssh.com webauthn-sk-ecdsa-sha2-nistp256@openssh.com ecdsa-* *-cert-v01@openssh.com *rsa* RSA
    ed25519 null ssh-??? !ssh-rsa"""
GSS = "gss-gex-sha1- gss-group14-sha256- gss-curve25519-sha256-xyz gss-group1-sha1-"
TIMES = ("0", "1", "90", "1h30m", "2D", "1w", "10s5", "+5", "1h 30m", "2147483647", "-0")
BAD_TIMES = ("", "x", "1y", "-5", "99999999999999999999", "3550w", "1h-5", "1hh")
NUMBERS = ("0", "1", "6", "10", "2147483647", "+7", "007")
BAD_NUMBERS = ("-1", "x", "2147483648", "6x", "99999999999999999999999", '""', "0x10", "1.5")

FLAG_KEYWORDS = """UsePAM IgnoreUserKnownHosts PrintMotd PrintLastLog StrictModes TCPKeepAlive UseDNS
    KerberosOrLocalPasswd KerberosTicketCleanup GSSAPICleanupCredentials GSSAPIStrictAcceptorCheck GSSAPIKeyExchange
    GSSAPIStoreCredentialsOnRekey DebianBanner KeepAlive DSAAuthentication GSSAPICleanupCreds""".split()
FLAG_MATCH = """HostbasedAuthentication HostbasedUsesNameFromPacketOnly PubkeyAuthentication KerberosAuthentication
    GSSAPIAuthentication PasswordAuthentication KbdInteractiveAuthentication X11Forwarding X11UseLocalhost
    PermitEmptyPasswords AllowAgentForwarding PermitTTY PermitUserRC StreamLocalBindUnlink DisableForwarding
    ExposeAuthInfo ChallengeResponseAuthentication SkeyAuthentication""".split()
IGNORED = """Protocol UsePrivilegeSeparation KeyRegenerationInterval ServerKeyBits RhostsAuthentication UseLogin
    KerberosGetAFSToken PermitBlacklistedKeys VerifyReverseMapping AFSTokenPassing CheckMail
    GSSAPIUseSessionCredCache GSSUseSessionCCache KerberosTGTPassing PAMAuthenticationViaKBDInt ReverseMappingCheck""".split()
IGNORED_MATCH = ["RSAAuthentication", "RhostsRSAAuthentication", "AuthorizedKeysFile2"]
PATH_KEYWORDS = (
    "HostKey HostCertificate PidFile ModuliFile XAuthLocation HostDSAKey HostKeyAgent SecurityKeyProvider".split()
)
PATH_MATCH = "Banner TrustedUserCAKeys RevokedKeys AuthorizedPrincipalsFile ChrootDirectory".split()


@dataclass(frozen=True)
class Sample:
    """Files by path, the first one main; what is known of the connection, or None; -o options."""

    files: dict[Path, bytes]
    connection: dict[str, str] | None
    options: tuple[str, ...]

    @property
    def main(self) -> Path:
        return next(iter(self.files))


class Maker:
    """Makes samples in a folder. The same seed makes the same samples."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.tidy = True
        """Whether only good values are made: a sample with many bad lines tells no more than one with one."""

    def one(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def some(self, choices: tuple[str, ...] | list[str], low: int, high: int) -> list[str]:
        return [self.rng.choice(choices) for _ in range(self.rng.randint(low, high))]

    def value(self, good: tuple[str, ...], bad: tuple[str, ...]) -> str:
        return self.rng.choice(good if self.tidy or self.chance(0.7) else bad)

    def sample(self, number: int) -> Sample:
        self.tidy = self.chance(0.7)
        here = self.folder / str(number)
        files: dict[Path, bytes] = {here / "main": b""}
        self.files, self.here, self.count = files, here, 0
        files[here / "main"] = self.file(self.rng.randint(0, 24), depth=0, in_match=False)
        connection = None
        if self.chance(0.6):
            connection = {
                "user": self.one("root", "nobody", "daemon", "nosuchuser"),
                "host": self.one("host.example", "Other.Example", "alpha"),
                "addr": self.one("10.1.2.3", "192.168.0.9", "::1", "2001:db8::5", "127.0.0.1"),
                "laddr": self.one("127.0.0.1", "10.0.0.1", "fe80::1"),
                "lport": self.one("22", "2222", "443"),
            }
            for key in ("user", "host", "addr", "laddr"):
                if self.chance(0.1):
                    del connection[key]
        elif any(b"localport" in data.lower() for data in files.values()):
            connection = {"lport": "22"}  # without one, the test mode of 9.2 stops at Match LocalPort
        options = tuple(self.bare_line(in_match=False) for _ in range(self.rng.choice((0, 0, 0, 1, 2))))
        return Sample(files, connection, tuple(option for option in options if "\0" not in option))

    def file(self, count: int, depth: int, in_match: bool) -> bytes:
        lines: list[str] = []
        for _ in range(count):
            kind = self.rng.random()
            if kind < 0.1:
                lines.append(self.match_line())
                in_match = True
            elif kind < 0.16 and depth < 3:
                lines.append(self.include_line(depth, in_match))
            elif kind < 0.22:
                lines.append(self.one("", "# comment", "   ", "\t# x y", '#"open', "\f"[:0], "\r"))
            else:
                wrong = not self.tidy and self.chance(0.05)
                lines.append(self.dressed(self.bare_line(in_match and not wrong)))
        ending = self.one("\n", "\n", "\n", "\r\n")
        text = ending.join(lines) + self.one(ending, ending, "")
        data = text.encode("utf-8", "surrogateescape")
        if not self.tidy and self.chance(0.03) and b"listenaddress" not in data.lower():
            at = self.rng.randint(0, len(data))
            data = data[:at] + self.rng.choice((b"\0", b"\0\n", b"\xff", b"\x0b")) + data[at:]
        return data

    def dressed(self, line: str) -> str:
        """Case, blanks, quotes, comments: what changes nothing, or should not."""
        keyword, _, rest = line.partition(" ")
        keyword = self.one(keyword, keyword, keyword.lower(), keyword.upper())
        if keyword.lower() == "listenaddress":  # what is no address would be looked up in the network
            return f"{keyword}{self.one(' ', '=', ' = ')}{rest}{self.one('', ' ', ' # why')}"
        if self.chance(0.05):
            keyword = self.one(f'"{keyword}"', keyword[:2] + f'"{keyword[2:]}"')
        between = self.one(" ", " ", " ", "\t", "  ", "=", " = ", " =", "= ", " \t")
        if rest and " " not in rest and '"' not in rest and "'" not in rest and self.chance(0.1):
            rest = self.one(f'"{rest}"', f"'{rest}'", rest[:1] + f'"{rest[1:]}"')
        if not self.tidy and self.chance(0.04):
            rest = self.one(
                rest + " extra",
                rest + '"',
                rest + " 'x",
                "",
                rest + "#c",
                '""',
                rest + " ''",
                "\\" + rest,
                rest + " = x",
            )
        end = (
            self.one("", "", "", " ", "\t ", " # why", " #why", " \f", "\f", " \r")
            if keyword.lower()
            not in ("forcecommand", "versionaddendum", "authorizedkeyscommand", "authorizedprincipalscommand")
            else self.one("", " ", " # x")
        )
        return self.one("", "", "", " ", "\t", "\r ") + keyword + between + rest + end

    def bare_line(self, in_match: bool) -> str:
        makers = self.in_match if in_match else self.anywhere
        return self.rng.choice(makers)(self)

    def names(self, text: str, odd: tuple[str, ...] = ("nonsense", "", "*", "aes*", "!x")) -> str:
        known = text.split()
        if self.tidy:
            known = [name for name in known if not name.startswith("!")]
        chosen = self.some(known, 1, 4)
        if not self.tidy and self.chance(0.3):
            chosen.insert(self.rng.randint(0, len(chosen)), self.one(*odd))
        prefix = self.one("", "", "+", "-", "^")
        if prefix == "-" and self.chance(0.5):
            chosen = [self.one("*sha1*", "*", "aes*", "*cert*", "!aes128-ctr,*", "ssh-*", "diffie*,ecdh*")]
        return prefix + ",".join(chosen)

    def match_line(self) -> str:
        if self.chance(0.12):
            return self.dressed_match(self.one("Match all", "Match ALL", "match all # x", 'Match all ""'))
        if not self.tidy and self.chance(0.15):
            return self.one(
                "Match",
                "Match all user x",
                "Match user",
                "Match nothing x",
                "Match user # x",
                "Match user x all",
                "Match Address 10.0.0.1/8",
                "Match Address ,",
                "Match LocalPort x",
                'Match user x "" host y',
                "Match final",
                "Match canonical",
                "Match address 10.0.0.0/99",
                "Match LocalAddress !",
                "Match exec true",
                "Match user=",
                "Match 'user x'",
                "Match invalid-user",
                'Match user x # "',
                'Match user "a',
                'Match user a # "" b',
            )
        parts = []
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            parts.append(
                self.one(
                    f"User {self.one('root', 'nobody', '*', '!root,*', 'r*,d*', 'daemon,nobody', 'x?', '!nobody,r?ot', '*,!*')}",
                    f"Group {self.one('root', 'nogroup', '*', '!root,*', 'daemon', 'no*', 'wheel')}",
                    f"Host {self.one('*.example', 'HOST.example', '!host*,*', 'other.EXAMPLE', 'h?st.*')}",
                    f"Address {self.one('10.0.0.0/8', '*', '192.168.0.0/16,10.1.2.3', '!10.1.2.3,10.0.0.0/8', '::1', '2001:db8::/32', '10.*', '127.1', '0.0.0.0/0', 'nonsense')}",
                    f"LocalAddress {self.one('127.0.0.1', '10.0.0.0/24', '*', 'fe80::/10', '!127.0.0.0/8,*')}",
                    f"LocalPort {self.one('22', '2222', 'ssh', '0', '+443')}",
                    f"RDomain {self.one('*', 'vrf1', '!x,*')}",
                )
            )
        return self.dressed_match("Match " + " ".join(parts))

    def dressed_match(self, line: str) -> str:
        keyword, rest = line.split(" ", 1)
        words = rest.split(" ")
        words[0] = self.one(words[0], words[0].upper(), words[0].lower())
        joined = self.one(" ", " ", "\t", "  ").join(words)
        if self.chance(0.1) and len(words) > 1:
            joined = joined.replace(words[1], f'"{words[1]}"', 1)
        if self.chance(0.1):
            joined = self.one("=", " = ").join((words[0], " ".join(words[1:]))) if len(words) > 1 else joined
        return (
            self.one("", " ", "\t")
            + self.one(keyword, "MATCH", "match")
            + self.one(" ", "=", "\t")
            + joined
            + self.one("", "", " ", " # c", " #c", "\r")
        )

    def include_line(self, depth: int, in_match: bool) -> str:
        names = []
        for _ in range(self.rng.choice((1, 1, 2))):
            choice = self.rng.random()
            if choice < 0.2:
                names.append(self.one("/nonexistent/*.conf", "no-such-file", "~/x", str(self.here / "none*")))
            elif choice < 0.3 and len(self.files) > 1:
                names.append(str(self.rng.choice(list(self.files)[1:])))
            elif choice < 0.33 and not self.tidy:
                names.append(self.one('""', str(self.here / "main"), "# x"))
            else:
                self.count += 1
                stem = f"{self.count:03}"
                for part in range(self.rng.choice((1, 1, 2, 3))):
                    path = self.here / f"{stem}-{part}.conf"
                    self.files[path] = b""
                    self.files[path] = self.file(self.rng.randint(0, 6), depth + 1, in_match)
                names.append(str(self.here / f"{stem}-*.conf"))
        return self.one("Include ", "include\t", "INCLUDE=") + " ".join(names) + self.one("", " # c", " ")


def _flag(name: str):
    return lambda m: f"{name} {m.value(FLAGS, BAD_FLAGS)}"


def _from(name: str, good: tuple[str, ...], bad: tuple[str, ...] = ("nonsense", '""', "yes no")):
    return lambda m: f"{name} {m.value(good, bad)}"


def _list(name: str, good: tuple[str, ...], bad: tuple[str, ...], low: int = 1, high: int = 3):
    def make(m: Maker) -> str:
        words = m.some(good, low, high)
        if not m.tidy and m.chance(0.2):
            words.insert(m.rng.randint(0, len(words)), m.one(*bad))
        return f"{name} {' '.join(words)}"

    return make


MATCH = [
    *[_flag(name) for name in FLAG_MATCH],
    *[_from(name, ("x", "2,1", "yes", "no maybe")) for name in IGNORED_MATCH],
    *[
        _from(name, PATHS_QUOTED, ('""', "two words"))
        for name in PATH_MATCH
        for PATHS_QUOTED in [tuple(f'"{p}"' if " " in p else p for p in PATHS)]
    ],
    _from("PermitRootLogin", ("yes", "no", "prohibit-password", "without-password", "forced-commands-only", "Yes")),
    _from("IgnoreRhosts", ("yes", "no", "shosts-only")),
    _from("GatewayPorts", ("yes", "no", "clientspecified")),
    _from("AllowTcpForwarding", ("yes", "no", "all", "local", "remote", "LOCAL")),
    _from("AllowStreamLocalForwarding", ("yes", "no", "all", "local", "remote")),
    _from("PermitTunnel", ("yes", "no", "point-to-point", "ethernet"), ("YES", "Ethernet", "1")),
    _from(
        "LogLevel",
        ("QUIET", "FATAL", "error", "INFO", "VERBOSE", "DEBUG", "DEBUG1", "debug2", "DEBUG3", "SILENT"),
        ("DEBUG4", "nothing"),
    ),
    _list("LogVerbose", ("kex.c:*:1000", "*:f():*", "packet.c"), ('""', "none")),
    _from("LogVerbose", ("none", "None"), ("none x",)),
    *[
        _from(name, NUMBERS, BAD_NUMBERS)
        for name in ("X11DisplayOffset", "MaxAuthTries", "MaxSessions", "ClientAliveCountMax", "RequiredRSASize")
    ],
    _from("ClientAliveInterval", tuple(f'"{t}"' if " " in t else t for t in TIMES), BAD_TIMES),
    _from("UnusedConnectionTimeout", ("none", "None", "5m", "0", "1h30m"), ("never", "5y")),
    _list(
        "ChannelTimeout",
        ("session:*=5m", "*=0", "direct-tcpip=1h30m", "x11-connection=5"),
        ("none", "session", "=5", "x=y", "session:*=-1"),
    ),
    _from("ChannelTimeout", ("none", "NONE"), ("none a=1", "a=1 none")),
    _from(
        "RekeyLimit",
        ("default", "1G", "512k", "default none", "1.5G 1h", "default 30m", "16", "0", "0.5K", "1E 5", "1B", "20 0"),
        ("15", "x", "-5", "1Gx", "9E", "1G never", "1.2.3G", "1G 1h x", "none", '""', "1Q"),
    ),
    _list("AllowUsers", WORDS, ('""', "x@10.0.0.1/8", "y@,", "z@!")),
    _list("DenyUsers", WORDS, ('""', "x@10.0.0.1/8", "y@,")),
    _list("AllowGroups", WORDS, ('""',)),
    _list("DenyGroups", WORDS, ('""',)),
    _list("AcceptEnv", ("LANG", "LC_*", "X"), ('""', "A=B")),
    _list("SetEnv", ("A=1", "B=2", "A=3", '"C=x y"', "D="), ('""', "NAKED")),
    _list("AuthorizedKeysFile", ("none", ".ssh/keys", "/etc/keys/%u", "~/k", '"a b"'), ('""',)),
    _list(
        "PermitOpen",
        ("host:22", "*:*", "[::1]:80", "h:ssh", ":5", "10.0.0.1:*"),
        ("host", "h/1", "[x", "h:0", "any", "none", "h:99999"),
    ),
    _from("PermitOpen", ("any", "none"), ("any any", "none x", "ANY", '"" x')),
    _list("PermitListen", ("8080", "localhost:22", "*:*", "*", "[::]:80", "ssh"), ("host", "h:0", "any", "0", "[x")),
    _from("PermitListen", ("any", "none"), ("any any", '""')),
    _from(
        "IPQoS",
        (
            "af21 cs1",
            "lowdelay",
            "none",
            "ef 0x20",
            "0x10",
            "010 7",
            "cs0",
            "NONE af11",
            "le reliability",
            "255",
            "-0",
            "af43 cs7",
            "1 4",
            "8",
        ),
        ("256", "x", "-1", "af21 x", "1 2 3", "0x", "08", '""', '1 ""'),
    ),
    _list(
        "AuthenticationMethods",
        (
            "publickey",
            "password",
            "publickey,password",
            "keyboard-interactive:pam,none",
            "hostbased",
            "gssapi-with-mic,gssapi-keyex",
            "none",
        ),
        ("any", "nonsense", "publickey,", '""', "Password"),
        1,
        2,
    ),
    _from("AuthenticationMethods", ("any",), ("any any", "any publickey", "publickey any", "ANY")),
    _from(
        "StreamLocalBindMask",
        ("0177", "0", "777", "022", "0177x", "+7"),
        ("x", "1000", "-1", "8", "99999999999999999999999"),
    ),
    _list(
        "PubkeyAuthOptions", ("none", "touch-required", "verify-required", "Touch-Required"), ("nonsense", '""'), 1, 3
    ),
    lambda m: f"PubkeyAcceptedAlgorithms {m.names(KEYS)}",
    lambda m: f"PubkeyAcceptedKeyTypes {m.names(KEYS)}",
    lambda m: f"HostbasedAcceptedAlgorithms {m.names(KEYS)}",
    lambda m: f"HostbasedAcceptedKeyTypes {m.names(KEYS)}",
    lambda m: f"CASignatureAlgorithms {m.names(KEYS)}",
    _from(
        "ForceCommand",
        ("/bin/true", 'echo "a b" # c', "none", "None", "internal-sftp -d /x", "#x", '"quoted"'),
        ('echo "open', "echo 'x"),
    ),
    _from("AuthorizedKeysCommand", ("/bin/keys %u", "none", '/k "%f"', "/a  b"), ("relative", '"/quoted"')),
    _from("AuthorizedPrincipalsCommand", ("/bin/principals", "none", "/p %u"), ("relative",)),
    _from("AuthorizedKeysCommandUser", ("nobody", "root"), ('""', "a b")),
    _from("AuthorizedPrincipalsCommandUser", ("nobody", "root"), ('""', "a b")),
]
GLOBAL = [
    *[_flag(name) for name in FLAG_KEYWORDS],
    *[_from(name, ("x", "2,1", "yes", "no maybe")) for name in IGNORED],
    *[
        _from(
            name, tuple(f'"{p}"' if " " in p else p for p in (*PATHS, "internal", "SSH_AUTH_SOCK")), ('""', "two words")
        )
        for name in PATH_KEYWORDS
    ],
    _from("AddressFamily", ("any", "inet", "inet6", "ANY"), ("ipv4", '""')),
    _from("Compression", ("yes", "no", "delayed")),
    _from("SyslogFacility", ("AUTH", "daemon", "LOCAL7", "AUTHPRIV", "USER"), ("LOCAL8", "kern", '""')),
    _from("FingerprintHash", ("md5", "SHA256", "sha512", "SHA1"), ("sha3", '""')),
    _from("LoginGraceTime", tuple(f'"{t}"' if " " in t else t for t in TIMES), BAD_TIMES),
    _from(
        "Port",
        ("22", "2222", "ssh", "+80", "65535", "https"),
        ("0", "65536", "-1", "x", "22x", "nosuchservice", '""', "22 23"),
    ),
    _from(
        "ListenAddress",
        (
            "0.0.0.0",
            "10.0.0.1:22",
            "::1",
            "[::1]:2222",
            "[::1]",
            "127.1",
            "*",
            "*:80",
            "0x7f.1:ssh",
            "2001:db8::1",
            "::ffff:1.2.3.4",
            "[10.0.0.2]:5",
        ),
        ("[::1", "10.0.0.1:0", "1.2.3.4:x", "1.2.3.4 rdomain", "1.2.3.4 x y", "a/b", "[::1]x", "1.2.3.4:", ":22"),
    ),
    _from("VersionAddendum", ("none", "text", "two words", "None", "a # b", '"q"'), ('"open',)),
    _from("PermitUserEnvironment", ("yes", "no", "LANG,LC_*", "Yes", "A*"), ('""', "a b")),
    lambda m: f"Ciphers {m.names(CIPHERS)}",
    lambda m: f"MACs {m.names(MACS)}",
    lambda m: f"KexAlgorithms {m.names(KEX)}",
    lambda m: f"HostKeyAlgorithms {m.names(KEYS)}",
    lambda m: (
        f"GSSAPIKexAlgorithms {','.join(m.some(GSS.split(), 1, 3))}" + ("" if m.tidy else m.one("", "", ",x", ",,x"))
    ),
    lambda m: (
        f"Subsystem {m.one('sftp', 'a', 'b', 'c')}{m.rng.randint(0, 30 if m.tidy else 3)} {m.one('/usr/lib/sftp-server', 'internal-sftp -l INFO', 'x  y', chr(34) + 'a b' + chr(34) + ' c')}"
    ),
    _from(
        "MaxStartups",
        ("10", "10:30:100", "5:1:5", "1:100:1", "10:30:60x", "3:", "+4", "7x"),
        ("0", "10:30", "10:0:20", "20:30:10", "x", "10:101:20", "0:5:0", "-1", "4294967297", '""'),
    ),
    _from("PerSourceMaxStartups", ("none", "5", "0", "2147483647"), ("None", "-1", "x")),
    _from(
        "PerSourceNetBlockSize",
        ("24:64", "32:128", "0:0", "8:8:8", "24:64x"),
        ("33", "32:129", "x", "-1:5", '""', ":5"),
    ),
]
Maker.in_match = MATCH
Maker.anywhere = [*GLOBAL, *MATCH]
BAD_LINES = (
    "Unknown yes",
    "Port",
    "RDomain none",
    "UsePAM",
    "permitrootlogin",
    "Host *",
    "Include",
    "Banner",
    "\vPort 22",
    '"Port 22',
    "Port\f22",
    "=Port 24",
    "= PermitRootLogin yes",
)
Maker.anywhere.extend([lambda m: m.one(*BAD_LINES) if not m.tidy and m.chance(0.4) else "PermitRootLogin no"] * 3)
