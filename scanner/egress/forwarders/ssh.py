"""ssh as a relay: -D is a proxy to wherever the other end reaches, -L a fixed place as the other end sees it. Source: ssh(1).

Who else than its own host reaches it depends on the address that it binds: loopback unless one is given, or -g.
"""

import re

from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run, target
from scanner.model.egress import Permit


def read(run: Run) -> Forwarder | None:
    open_to_all = run.flag("-g")
    listens: list[tuple[str, int]] = []
    permits: list[Permit] = []
    resolves = False
    words: list[str] = []
    glued = [(w[:2], w[2:]) for w in run.words if re.match(r"-[DL].", w)]
    for option, value in [*(("-D", v) for v in run.options("-D")), *(("-L", v) for v in run.options("-L")), *glued]:
        found = re.fullmatch(
            r"(?:(\[[^\]]*\]|[^:\[\]]*):)?(\d{1,5})"
            if option == "-D"
            else r"(?:(\[[^\]]*\]|[^:\[\]]*):)?(\d{1,5}):(\[[^\]]*\]|[^:\[\]]+):(\d{1,5})",
            value,
        )
        if found is None:
            return run.untold(f"what {option} {value[:60]} opens cannot be read")
        bound = found[1]
        if not (open_to_all or (bound is not None and bound not in ("localhost", "127.0.0.1", "[::1]"))):
            continue
        listens.append(("tcp", int(found[2])))
        if option == "-D":
            permits += ANYWHERE
            resolves = True
            words.append(f"-D {value} is a proxy to wherever the other end reaches")
        else:
            one = target(f"{found[3]}:{found[4]}")
            permits += [one] if one else []
            words.append(f"-L {value} leads to {found[3]}:{found[4]} from the other end")
    if not permits:
        return run.nothing("ssh opens nothing to others")
    return run.result(
        "proxy" if resolves else "relay", dict.fromkeys(permits), "; ".join(words), listens=listens, resolves=resolves
    )


PLUGIN = Program("ssh", images=(), commands=("ssh", "autossh"), read=read)
