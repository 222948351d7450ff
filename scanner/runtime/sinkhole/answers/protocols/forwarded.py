"""The PROXY protocol (haproxy, doc/proxy-protocol.txt): a line, or a header, before the stream that is meant."""

import re
import socket

from scanner.model import Json
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk, shown
from scanner.runtime.sinkhole.answers.values import Heard

_ONE = re.compile(rb"PROXY (?:TCP[46] (\S{1,45}) (\S{1,45}) (\d{1,5}) (\d{1,5})|UNKNOWN[^\r]{0,80})\r\n")
_TWO = b"\r\n\r\n\0\r\nQUIT\n"


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    if found := _ONE.match(first):
        facts: dict[str, Json] = {"version": 1}
        if found[1]:
            facts |= {"source": shown(found[1]), "target": f"{shown(found[2])}:{shown(found[4])}"}
        return Heard("proxy-protocol", {"proxy_protocol": facts})
    if first.startswith(_TWO) and len(first) >= 16:
        facts = {"version": 2}
        if first[13] >> 4 == 1 and len(first) >= 28:
            facts |= {"source": socket.inet_ntoa(first[16:20])}
            facts |= {"target": f"{socket.inet_ntoa(first[20:24])}:{int.from_bytes(first[26:28], 'big')}"}
        return Heard("proxy-protocol", {"proxy_protocol": facts})
    return None


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Raises Over."""
    if await talk.stream.look(1) == b"P":
        await talk.stream.line(200)
    else:
        head = await talk.stream.take(16)
        await talk.stream.skip(int.from_bytes(head[14:16], "big"))
    await talk.inside(talk.stream)


PLUGIN = Speaker("forwarded", recognise=recognise, converse={"proxy-protocol": converse})
