"""Small relays that name both ends on their command line: simpleproxy, redir, rinetd, tcp-proxy images. Sources: their manual pages."""

import re

from scanner.egress.forwarders.plugin import Forwarder, Program, Run, target


def read(run: Run) -> Forwarder | None:
    talk, listen = run.env("TALK"), run.env("LISTEN")
    if run.arguments is None and talk:
        # tecnativa/tcp-proxy
        listens = [("tcp", int(p)) for p in re.findall(r":(\d{1,5})\b", listen or ":100")]
        permits = [p for t in talk.split() if (p := target(t)) is not None]
        unclear = "" if permits else f"where {talk} leads cannot be read"
        return run.relay(
            permits, f"it hands on to TALK={talk}", run.env_origin("TALK"), listens=listens, unclear=unclear
        )
    there = run.option("-R", "--caddr")
    number = run.option("-L", "--lport") or ""
    port = number.rpartition(":")[2]
    listens = [("tcp", int(port))] if port.isdigit() and len(port) < 6 else []
    if there is None:
        return run.untold("where it hands on to cannot be read", kind="relay", listens=listens, resolves=False)
    goes = there if ":" in there else f"{there}:{run.option('--cport') or ''}"
    one = target(goes)
    if one is None:
        return run.untold(f"where {goes} leads cannot be read", kind="relay", listens=listens, resolves=False)
    return run.relay([one], f"it hands on to {goes}", listens=listens)


PLUGIN = Program(
    "tcp-proxy", images=("tcp-proxy", "docker-tcp-proxy", "simpleproxy"), commands=("simpleproxy", "redir"), read=read
)
