"""Protocols of text lines, most of whose servers speak first: mail, files, chat, terminals.

RFC 5321 (SMTP), RFC 959 (FTP), RFC 1939 (POP3), RFC 9051 (IMAP), RFC 2812 (IRC), RFC 854 (telnet). Passwords are taken and told
to nobody; STARTTLS leads into TLS.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scanner.model import Json
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.stream import ALL_THE_TIME
from scanner.runtime.sinkhole.answers.values import Heard

_LINE = 4096
_FIRST = (
    (re.compile(rb"(?:EHLO|HELO|LHLO) [\x21-\x7e]", re.IGNORECASE), "smtp"),
    (re.compile(rb"(?:CAP (?:LS|REQ)|NICK \S|USER \S+ \S+ \S+ )", re.IGNORECASE), "irc"),
    (re.compile(rb"[A-Za-z0-9.]{1,10} (?:CAPABILITY|LOGIN|AUTHENTICATE|STARTTLS|ID|NOOP)\b", re.IGNORECASE), "imap"),
    (re.compile(rb"(?:CAPA|APOP \S|STLS)\b", re.IGNORECASE), "pop3"),
    (re.compile(rb"(?:AUTH TLS|AUTH SSL|FEAT|SYST|USER \S)", re.IGNORECASE), "ftp"),
)
_TELNET = re.compile(rb"\xff[\xfb-\xfe][\x00-\x32]")


@dataclass(frozen=True, slots=True)
class _Manners:
    """What a server says: `replies` by the command's word (IMAP: behind its tag, `{tag}`), `other` to all else.

    After a reply that begins with one of `secret` the client's next line is a secret; after one with `more` a text follows up to a
    line with a single dot. `secrets` are commands whose arguments are.
    """

    replies: Mapping[str, str]
    other: str
    secrets: frozenset[str]
    secret: tuple[str, ...] = ()
    more: str = "\0"
    tagged: bool = False


_MANNERS = {
    "smtp": _Manners(
        {
            "EHLO": "250-mail\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
            "DATA": "354 go on",
            "QUIT": "221 bye",
            "AUTH": "235 ok",
            "AUTH PLAIN": "334 ",
            "AUTH LOGIN": "334 VXNlcm5hbWU6",
            "STARTTLS": "220 go on",
        },
        "250 ok",
        frozenset(("AUTH",)),
        ("334",),
        "354",
    ),
    "ftp": _Manners(
        {
            "USER": "331 password",
            "PASS": "230 ok",
            "SYST": "215 UNIX Type: L8",
            "PWD": '257 "/"',
            "FEAT": "211 none",
            "QUIT": "221 bye",
            "AUTH": "234 go on",
            "PASV": "425 no",
            "EPSV": "425 no",
            "STOR": "425 no",
            "RETR": "425 no",
            "LIST": "425 no",
        },
        "200 ok",
        frozenset(("PASS",)),
    ),
    "pop3": _Manners(
        {"CAPA": "+OK\r\nUSER\r\nSTLS\r\n.", "STAT": "+OK 0 0", "LIST": "+OK\r\n.", "AUTH": "+ "},
        "+OK",
        frozenset(("PASS", "APOP", "AUTH")),
        ("+ ",),
    ),
    "imap": _Manners(
        {"CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done", "AUTHENTICATE": "+ "},
        "{tag} OK done",
        frozenset(("LOGIN", "AUTHENTICATE")),
        ("+ ",),
        tagged=True,
    ),
    "irc": _Manners(
        {"PING": "PONG :x", "NICK": ":irc 001 guest :hello", "CAP": "CAP * LS :"}, "", frozenset(("PASS", "OPER"))
    ),
}
_STARTS_TLS = {"smtp": "STARTTLS", "imap": "STARTTLS", "pop3": "STLS", "ftp": "AUTH"}


def recognise(first: bytes, port: int) -> Heard | None:
    if _TELNET.match(first):
        return Heard("telnet", {"telnet": {}})
    service = next((name for shape, name in _FIRST if shape.match(first)), None)
    if service == "ftp" and port in (110, 995):
        service = "pop3"
    return None if service is None else Heard(service, {service: {}})


async def converse(talk: Talk, heard: Heard) -> None:
    """Answer line by line; what is told are the commands, never a password or a letter. Raises Over."""
    service, manners = heard.service, _MANNERS[heard.service]
    while True:
        line = await talk.stream.line(_LINE, ALL_THE_TIME if service == "irc" else None)  # bots wait for orders
        tag, words = [*line.split(b" ", 1), b""][:2] if manners.tagged else (b"", line)
        command = words.split(b" ", 1)[0].decode("ascii", "replace").upper()[:20]
        both = b" ".join(words.split()[:2]).decode("ascii", "replace").upper()[:40]
        secret = command in manners.secrets
        talk.listed(service, "lines", f"{command} ***" if secret else shown(words))
        if secret and b"LOGIN" in words.upper()[:5]:
            talk.tell(service, user=shown(words.split()[1].strip(b'"'), 100) if len(words.split()) > 1 else None)
        reply = manners.replies.get(both, manners.replies.get(command, manners.other))
        if reply:
            await talk.stream.write(reply.replace("{tag}", shown(tag, 20)).encode() + b"\r\n")
        if command == _STARTS_TLS.get(service):
            await talk.inside(talk.stream)
            return
        if reply.startswith(manners.secret or ("\0",)):
            await talk.stream.line(_LINE)
            await talk.stream.write(
                {"smtp": b"235 ok\r\n", "pop3": b"+OK\r\n"}.get(service, tag[:20] + b" OK done\r\n")
            )
        if reply.startswith(manners.more):
            while await talk.stream.line(_LINE) != b".":
                pass
            await talk.stream.write(b"250 ok\r\n")
        if command in ("QUIT", "LOGOUT"):
            return


async def telnet(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Ask for a login; the line after it is a password. Raises Over."""
    said: list[Json] = []
    while True:
        line = re.sub(rb"\xff[\xfb-\xfe].|\xff[\xf0-\xfa]|\0", b"", await talk.stream.line(_LINE)).strip()
        if line:
            said.append(shown(line, 100) if len(said) != 1 else "***")
            talk.tell("telnet", lines=said[:20])
            del said[20:]
        await talk.stream.write((b"login: ", b"Password: ")[len(said)] if len(said) < 2 else b"\r\n$ ")


PLUGIN = Speaker("lines", recognise=recognise, converse={**dict.fromkeys(_MANNERS, converse), "telnet": telnet})
