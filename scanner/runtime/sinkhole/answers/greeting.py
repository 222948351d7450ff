"""What a server says that speaks first, for a client that waits to hear it."""

from scanner.runtime.sinkhole.answers.protocol import Talk

SSH_VERSION = "OpenSSH_9.6"
SSH_BANNER = f"SSH-2.0-{SSH_VERSION}\r\n".encode()


async def greet(talk: Talk, port: int) -> None:
    """Say what a server of that port says first, and wait for the client's first bytes. Raises Over."""
    await talk.stream.write(_GREETINGS.get(port, SSH_BANNER))
    await talk.stream.more()


_GREETINGS: dict[int, bytes] = {}
