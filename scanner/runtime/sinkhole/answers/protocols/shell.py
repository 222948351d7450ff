"""A shell that was connected to somebody: it shows its prompt, or complains about our greeting as of a command that it lacks.

`bash -i >& /dev/tcp/…`, `nc -e`, `socat EXEC` and their like send no protocol at all. Nothing is typed into it.
"""

import re

from scanner.runtime.sinkhole.answers.greeting import SSH_BANNER
from scanner.runtime.sinkhole.answers.protocol import Speaker, shown
from scanner.runtime.sinkhole.answers.values import Heard

_PROMPT = re.compile(rb"(?:[\w.@:~/()\[\]-]{0,200} ?[$#>]|>>>) ")
_COLOURS = re.compile(rb"\x1b\[[\d;?]{0,20}[a-zA-Z]|\x1b\][^\x07]{0,200}\x07")
_COMPLAINT = re.compile(
    rb"(?:ba|da|z|k|a|c)?sh: (?:0: )?(?:can't access tty|cannot set terminal process group|no job control)|: not found|command not found"
    rb"|Microsoft Windows \[Version|PS [A-Z]:\\[^>]{0,200}> $"
)


def recognise(first: bytes, port: int) -> Heard | None:  # noqa: ARG001 -- of any port
    begin = first[:1024]
    banner = SSH_BANNER.strip() in begin and not begin.startswith(b"SSH-")
    if _PROMPT.fullmatch(_COLOURS.sub(b"", begin[:400])) or (
        _COMPLAINT.search(begin) and (banner or b"sh: " in begin or b"> " in begin)
    ):
        return Heard("shell", {"shell": {"text": shown(begin)}})
    return None


PLUGIN = Speaker("shell", recognise=recognise, weak=True)
