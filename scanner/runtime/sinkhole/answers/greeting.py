"""What a server says that speaks first, for a client that waits to hear it.

RFC 5321 (SMTP), RFC 959 (FTP), RFC 1939 (POP3), RFC 9051 (IMAP), RFC 854 (telnet), MySQL's handshake (Protocol::HandshakeV10),
RFC 6143 (VNC). On a port of no such protocol it is SSH's version, for an SSH client may wait as well.
"""

from scanner.runtime.sinkhole.answers.protocol import Talk

SSH_VERSION = "OpenSSH_9.6"
SSH_BANNER = f"SSH-2.0-{SSH_VERSION}\r\n".encode()


def _mysql() -> bytes:
    """A greeting of a server that knows native passwords, with a challenge that is always the same."""
    body = (
        b"\x0a8.0.36\0\1\0\0\0"
        b"aaaaaaaa\0"
        b"\xff\xf7"
        b"\x21\2\0"
        b"\xff\x81"
        b"\x15" + b"\0" * 10 + b"bbbbbbbbbbbb\0" + b"mysql_native_password\0"
    )
    return len(body).to_bytes(3, "little") + b"\0" + body


_SMTP = b"220 mail ESMTP ready\r\n"
_GREETINGS: dict[int, bytes] = {
    21: b"220 FTP server ready\r\n",
    23: b"\xff\xfb\x01\xff\xfb\x03\r\nlogin: ",
    25: _SMTP,
    465: _SMTP,
    587: _SMTP,
    2525: _SMTP,
    110: b"+OK POP3 ready\r\n",
    995: b"+OK POP3 ready\r\n",
    143: b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n",
    993: b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n",
    119: b"200 ready\r\n",
    2323: b"\xff\xfb\x01\xff\xfb\x03\r\nlogin: ",
    3306: _mysql(),
    5900: b"RFB 003.008\n",
    5901: b"RFB 003.008\n",
    873: b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n",
}


async def greet(talk: Talk, port: int) -> None:
    """Say what a server of that port says first, and wait for the client's first bytes. Raises Over."""
    if talk.layers[-1:] != ("websocket",):
        talk.greeted = _GREETINGS.get(port, SSH_BANNER)
        await talk.stream.write(talk.greeted)
    await talk.stream.more()
