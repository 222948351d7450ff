"""DNS on other ports than its own: over TCP (RFC 7766), inside of TLS (RFC 7858), and in datagrams to any port."""

from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk
from scanner.runtime.sinkhole.answers.question import Question, answer, question
from scanner.runtime.sinkhole.answers.values import Heard

_MESSAGE = 4096
_NAMES = 200
"""Questions of one connection that are looked at."""


def recognise(first: bytes, port: int) -> Heard | None:
    size = int.from_bytes(first[:2], "big")
    if not 17 <= size <= _MESSAGE or len(first) < 2 + 17:
        return None
    asked = question(first[2 : 2 + size])
    return None if asked is None else _heard(asked, "tls" if port == 853 else "tcp")


def datagram(data: bytes, port: int) -> tuple[Heard, bytes | None] | None:  # noqa: ARG001 -- of any port
    asked = question(data)
    return None if asked is None else (_heard(asked, "udp"), answer(data, asked))


def _heard(asked: Question, transport: str) -> Heard:
    return Heard("dns", {"dns": {"name": asked.name, "type": asked.type, "transport": transport}})


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Answer question by question; the first is told as `name`, all as `names`. Raises Over."""
    transport = "tls" if "tls" in talk.layers else "tcp"
    for number in range(_NAMES):
        size = int.from_bytes(await talk.stream.take(2), "big")
        message = await talk.stream.take(size)
        asked = question(message)
        if asked is None:
            return
        if number == 0:
            talk.tell("dns", name=asked.name, type=asked.type, transport=transport)
        talk.listed("dns", "names", asked.name)
        reply = answer(message, asked, talk.context.resolve)
        await talk.stream.write(len(reply).to_bytes(2, "big") + reply)


PLUGIN = Speaker("dns", recognise=recognise, converse={"dns": converse}, datagram=datagram, weak=True)
