"""Stratum: JSON lines between a miner and a pool. What they say is read and answered in `answers.mining`."""

import json

from scanner.runtime.sinkhole.answers import mining
from scanner.runtime.sinkhole.answers.protocol import Speaker, Talk
from scanner.runtime.sinkhole.answers.stream import ALL_THE_TIME
from scanner.runtime.sinkhole.answers.values import Heard

_LINE = 16 << 10
_BEGINS = b'"method"'


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- pools use any port
    line = first.lstrip()[:_LINE].partition(b"\n")[0]
    if not line.startswith(b"{"):
        return None
    asked = mining.message(line)
    if asked is not None:
        name = mining.method(asked)
        return None if name is None else Heard("stratum", {"stratum": mining.facts(asked, name)})
    # cut short, as a long login may be
    if _BEGINS in line and (b'"mining.' in line or (b'"login"' in line and b'"agent"' in line)):
        return Heard("stratum", {})
    return None


async def converse(talk: Talk, heard: Heard) -> None:  # noqa: ARG001
    """Take every login, give work that cannot be done, accept what is submitted, until the miner goes. Raises Over."""
    while True:
        asked = mining.message(await talk.stream.line(_LINE, ALL_THE_TIME))
        if asked is None:
            continue
        name = mining.method(asked)
        if name is None:
            replies: list[mining.Message] = [{"id": None, "result": True, "error": None}]
        else:
            mining.tell(talk, asked, name)
            replies = mining.answers(asked, name)
        await talk.stream.write(b"".join(json.dumps(reply).encode() + b"\n" for reply in replies))


PLUGIN = Speaker("stratum", recognise=recognise, converse={"stratum": converse})
