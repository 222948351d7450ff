"""Containers that route: rules of iptables in their command that masquerade, or send on what comes to a port.

A router passes packets on only for who can set a route to it (NET_ADMIN); a DNAT is a relay for everybody. Sources: iptables(8),
iptables-extensions(8).
"""

import re

from scanner.egress.forwarders.plugin import EVERYWHERE, Forwarder, Program, Run, target


def read(run: Run) -> Forwarder | None:
    words = run.words
    if "DNAT" in words:
        there = run.option("--to-destination", "--to")
        number = run.option("--dport") or ""
        listens = [("tcp", int(number))] if number.isdigit() and len(number) < 6 else []
        one = target(there or "", listens[0][1] if listens else None)
        if one is None:
            return run.untold(
                "where its DNAT leads cannot be read", EVERYWHERE, kind="relay", listens=listens, resolves=False
            )
        return run.relay([one], f"its DNAT sends on to {there}", listens=listens)
    if "MASQUERADE" in words or "SNAT" in words or ("FORWARD" in words and "ACCEPT" in words):
        return run.result("router", EVERYWHERE, "it forwards packets (its command sets up masquerading)")
    return run.nothing("its rules forward nothing")


def read_nft(run: Run) -> Forwarder | None:
    text = " ".join(run.words)
    if re.search(r"\bmasquerade\b|\bsnat\b", text):
        return run.result("router", EVERYWHERE, "it forwards packets (its command sets up masquerading)")
    if "-f" in run.words or "dnat" in text:
        return run.untold("what its nft rules forward is not read", EVERYWHERE, kind="router", resolves=False)
    return run.nothing("its rules forward nothing")


PLUGIN = Program(
    "iptables",
    images=(),
    commands=("iptables", "iptables-legacy", "iptables-nft", "ip6tables", "iptables-restore"),
    read=read,
)
