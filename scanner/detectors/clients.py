"""Programs that can connect, or be told in three lines to: clients and interpreters. Means for the egress graph, no findings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Evidence, FileLocation, Json, Kind, Means, MeansKind, State
from scanner.oci.view import ImageView

if TYPE_CHECKING:
    from scanner.content.elffile import Header

NAME = "clients"


@dataclass(frozen=True, slots=True)
class Program:
    """`files` is a regular expression for the file's own name, `speaks` what it can be made to speak."""

    name: str
    kind: MeansKind
    files: bytes
    speaks: tuple[str, ...]


_TCP, _HTTP = ("tcp",), ("http",)

PROGRAMS = (
    Program("ssh", MeansKind.CLIENT, rb"ssh|slogin", ("ssh",)),
    Program("scp", MeansKind.CLIENT, rb"scp", ("ssh",)),
    Program("sftp", MeansKind.CLIENT, rb"sftp", ("ssh",)),
    Program("curl", MeansKind.CLIENT, rb"curl", ("http", "ftp", "socks", "smtp")),
    Program("wget", MeansKind.CLIENT, rb"wget2?", ("http", "ftp")),
    Program("aria2", MeansKind.CLIENT, rb"aria2c", ("http", "ftp", "bittorrent")),
    Program("lynx", MeansKind.CLIENT, rb"lynx|links2?|w3m|elinks", _HTTP),
    Program("nc", MeansKind.CLIENT, rb"nc|netcat|nc\.openbsd|nc\.traditional", ("tcp", "udp")),
    Program("telnet", MeansKind.CLIENT, rb"telnet|telnet\.netkit|inetutils-telnet", _TCP),
    Program("ftp", MeansKind.CLIENT, rb"ftp|tnftp|lftp|ncftp", ("ftp",)),
    Program("rsync", MeansKind.CLIENT, rb"rsync", ("rsync", "ssh")),
    Program("git", MeansKind.CLIENT, rb"git|git-remote-https?", ("http", "ssh", "git")),
    Program("openssl", MeansKind.CLIENT, rb"openssl|gnutls-cli", ("tls", "tcp")),
    Program("busybox", MeansKind.CLIENT, rb"busybox(?:\.static)?|toybox", ("tcp", "http", "telnet")),
    Program("dig", MeansKind.CLIENT, rb"dig|nslookup|host|drill|kdig", ("dns",)),
    Program("psql", MeansKind.CLIENT, rb"psql|mysql|mariadb|redis-cli|mongosh?", _TCP),
    Program("docker", MeansKind.CLIENT, rb"docker|podman|nerdctl|ctr|crictl|kubectl|helm", ("http", "tcp")),
    Program("cloud", MeansKind.CLIENT, rb"aws|gcloud|gsutil|az|s3cmd|mc", _HTTP),
    Program("bash", MeansKind.INTERPRETER, rb"bash|ksh93?|zsh", ("tcp", "udp")),
    Program("gawk", MeansKind.INTERPRETER, rb"gawk", ("tcp", "udp")),
    Program("python", MeansKind.INTERPRETER, rb"(?:python|pypy)(?:[23](?:\.\d{1,2})?)?", ("any",)),
    Program("perl", MeansKind.INTERPRETER, rb"perl(?:5(?:\.\d{1,3}){1,2})?(?:-x86_64-linux-gnu)?", ("any",)),
    Program("ruby", MeansKind.INTERPRETER, rb"j?ruby(?:\d\.\d)?", ("any",)),
    Program("node", MeansKind.INTERPRETER, rb"node|nodejs|deno|bun", ("any",)),
    Program("php", MeansKind.INTERPRETER, rb"php(?:-cli)?(?:\d(?:\.\d)?)?", ("any",)),
    Program("lua", MeansKind.INTERPRETER, rb"lua(?:jit)?(?:5\.\d)?(?:-[\d.]+)?", ("any",)),
    Program("tcl", MeansKind.INTERPRETER, rb"tclsh(?:\d\.\d)?|expect", _TCP),
    Program("java", MeansKind.INTERPRETER, rb"java", ("any",)),
    Program("compiler", MeansKind.INTERPRETER, rb"gcc(?:-\d+)?|x86_64-linux-gnu-gcc(?:-\d+)?|clang(?:-\d+)?|tcc|go|rustc", ("any",)),
)  # fmt: skip

_PATH = rb"(?:^|/)(?:" + b"|".join(b"(?:" + p.files + b")" for p in PROGRAMS) + rb")$"
_RUN = re.compile(rb"(?:^|/)(?:s?bin|shims|libexec)/[^/]+$")
"""Where scripts lie that are called by name; the one of etc/init.d only starts a program."""
_APPLETS = (b"nc", b"wget", b"telnet", b"ftpget", b"tftp", b"nslookup", b"ssl_client", b"httpd", b"tcpsvd")
_LIBRARIES = re.compile(rb"\0lib(?:curl|python[\d.]+|ruby|perl|node|php|lua|ssl|gnutls|jli|tcl[\d.]+)[^\0/]*\.so")
_CALLS = re.compile(rb"\0(?:connect|socket|getaddrinfo)\0")
_STATIC = re.compile(rb"/etc/resolv\.conf|net\.\(\*netFD\)\.connect")
"""What a program linked statically keeps of its resolver: libc's file, Go's own name for a connection."""
_OWN_WAY = re.compile(rb"/dev/(?:tcp|udp)/|/inet[46]?/|ztcp")
_BUILT = 4 << 20
_WHOLE = 24 << 20
_CONSTANT_TABLE = 8 << 20


def inspect(content: Content) -> Iterator[Evidence]:
    """One Evidence for a program of a known name that is a program: ELF, or a script with an interpreter."""
    name = content.name.rpartition(b"/")[2]
    program = next((p for p in PROGRAMS if re.fullmatch(p.files, name)), None)
    if program is None or content.inner or not content.mode & 0o111:
        return
    from scanner.content import elffile

    if content.head.startswith(b"#!") and _RUN.search(content.path):
        facts: dict[str, Json] = {"program": program.name, "form": "script", "sockets": None}
    elif (header := elffile.header(content.head)) is not None:
        sockets, static = _sockets(content, header)
        facts = {"program": program.name, "form": "static" if static else "dynamic", "sockets": sockets}
    else:
        return
    yield Evidence(NAME, program.kind.value, content.path, excerpt=program.name, facts=facts)


def _sockets(content: Content, header: "Header") -> tuple[bool | None, bool]:
    """Whether an ELF program can open sockets (None: it does not say), and whether it is linked statically.

    A dynamic one names what it calls in the strings of its dynamic symbols, and so the libraries that do it for it; a
    static one that can look up a name can connect.
    """
    from scanner.content import elffile

    data = content.data
    sections = elffile.sections(header, data)
    names = next((s for s in sections if s.name == b".dynstr"), None)
    if names is None:
        segments = elffile.segments(header, data)
        dynamic = any(s.type == elffile.DYNAMIC for s in segments)
        if dynamic:  # without section headers
            start = bytes(data[:_CONSTANT_TABLE])
            return bool(_CALLS.search(start) or _LIBRARIES.search(start)) or None, False
        return _STATIC.search(data[:_WHOLE]) is not None or None, True
    table = bytes(data[names.offset : names.offset + min(names.size, _CONSTANT_TABLE)])
    if _CALLS.search(table) or _LIBRARIES.search(table):
        return True, False
    if any(s.name in (b".gopclntab", b".go.buildinfo") for s in sections):  # Go calls the kernel itself
        return _STATIC.search(data[:_WHOLE]) is not None or None, False
    constants = next((s for s in sections if s.name == b".rodata"), None)
    if constants is None:
        return None, False
    own = data[constants.offset : constants.offset + min(constants.size, _BUILT)]
    return bool(_OWN_WAY.search(own)), False


def judge(view: ImageView) -> Iterator[Means]:
    """The programs that a container sees, with the names that links give them."""
    programs = {p.name: p for p in PROGRAMS}
    for sighting in view.of(NAME):
        if sighting.state is not State.VISIBLE:
            continue
        e = sighting.evidence
        program = programs[str(e.facts["program"])]
        owner = view.owner(e.path)
        details: dict[str, Json] = {
            "path": e.path.decode("utf-8", "replace"),
            "sockets": e.facts["sockets"],
            "form": e.facts["form"],
            "speaks": list(program.speaks),
        }
        place = FileLocation(e.path, sighting.layer)
        version = view.packages.version(owner) if owner else None
        yield Means(program.kind, program.name, place, version, owner, details)
        if program.name == "busybox":
            yield from _applets(view, e.path, place, version, owner)


def _applets(
    view: ImageView, path: bytes, place: FileLocation, version: str | None, owner: str | None
) -> Iterator[Means]:
    """Clients that are links to busybox."""
    for applet in _APPLETS:
        for folder in (b"bin/", b"usr/bin/", b"sbin/", b"usr/sbin/"):
            entry = view.files.stat(folder + applet)
            same = entry is not None and (
                entry.path == path or (entry.kind is Kind.HARDLINK and entry.link_target == path)
            )
            if same:
                details: dict[str, Json] = {
                    "path": (folder + applet).decode(),
                    "sockets": True,
                    "form": "applet of busybox",
                    "speaks": ["tcp"],
                }
                yield Means(MeansKind.CLIENT, applet.decode(), place, version, owner, details)
                break


PLUGIN = Detector(NAME, version=1, rules=(), wants=Wants(paths=(_PATH,)), inspect=inspect, judge=judge)
