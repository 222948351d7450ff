"""Names that carry data: many long, disorderly labels below one domain; and servers that were asked past the sandbox's own.

What tunnels' names look like: the manuals of iodine, dnscat2 and dnstt (Base32 or hexadecimal labels of up to 63 bytes, TXT, NULL
and CNAME questions, each name asked once).
"""

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.egress import Destination
from scanner.model.run import Attempt, Endpoint, Query
from scanner.runtime.attempts.plugin import Watch, Watched, by, listed, said, spoke, target, times

DNS_TUNNEL = Rule(
    id="observed/dns-tunnel",
    name="Names that carry data out",
    severity=Severity.HIGH,
    description="Many different names below one domain, whose labels are long and without order: data is in them, and answers carry data "
    "back.",
    help="It works wherever a resolver forwards names. Give the sandbox a resolver that answers only what it needs, and find the process "
    "named here.",
    references=("https://attack.mitre.org/techniques/T1071/004/",),
    attack=("T1071.004", "T1048.003"),
)
FOREIGN_RESOLVER = Rule(
    id="observed/foreign-resolver",
    name="Names asked past the sandbox's resolver",
    severity=Severity.MEDIUM,
    description="A process of the sandbox asked a name server of its own choice, by plain DNS, over TLS (port 853) or over HTTPS.",
    help="A resolver that filters names is passed by. Drop port 53 and 853 but for the sandbox's own resolver, and the known addresses of "
    "DNS over HTTPS.",
    references=("https://www.rfc-editor.org/rfc/rfc8484", "https://www.rfc-editor.org/rfc/rfc7858"),
    attack=("T1071.004", "T1572"),
)

PACKED = 1 << 20
NAMES = 32
"""Different names below one domain from which on they are counted as a stream."""
LONG = 24
"""Characters below the domain that carry data: fewer hold too little to be worth it."""
DISORDER = 4.2
"""Bits in a character that all names together hold once what repeats is packed away (DEFLATE): numbered hosts lie near 1, words of
a language below 4, hexadecimal at 4.5 and Base32 above 5."""


def takes(attempt: Attempt, watched: Watched) -> bool:
    """DNS over TLS and HTTPS; plain questions are the run's queries."""
    if watched.destination(attempt) is not Destination.INTERNET:
        return False
    return attempt.target.port == 853 or spoke(attempt, "dns") or bool(said(attempt, "http").get("doh"))


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    yield from _streams(watched)
    wrapped = {a.target for a in attempts if _is_wrapped(a)}
    # the others are told by their questions
    plain = {q.server for q in watched.run.queries} - wrapped if _own(watched) else set()
    attempts = [a for a in attempts if a.target not in plain]
    if attempts:
        told = [str(n) for a in attempts if (n := said(a, "http").get("doh") or said(a, "dns").get("name"))]
        servers = {a.target for a in attempts}
        names = list(dict.fromkeys((*told, *(q.name for q in watched.run.queries if q.server in servers))))
        yield watched.finding(
            FOREIGN_RESOLVER,
            attempts,
            f"{listed(target(a) for a in attempts)} was asked for names over an encrypted or odd way{by(watched.who(attempts))}, "
            f"{times(attempts)}" + (f": {printable(listed(names), 200)}." if names else "."),
            identity=("encrypted", *sorted({a.name or a.target.address for a in attempts})[:20]),
            confidence=Confidence.HIGH if names else Confidence.MEDIUM,
            details={"names": [printable(name) for name in names[:50]]},
        )
    yield from _foreign(watched, wrapped)


def _is_wrapped(attempt: Attempt) -> bool:
    """Whether questions went inside of something else, TLS or HTTP."""
    return attempt.target.port == 853 or spoke(attempt, "tls", "http", "quic")


def _foreign(watched: Watched, wrapped: Collection[Endpoint]) -> Iterator[Finding]:
    """Plain questions to servers that the sandbox was not given; multicast ones stay on the link."""
    own = _own(watched)
    asked: dict[str, list[Query]] = {}
    for query in watched.run.queries:
        if query.server in wrapped or query.server.address in own:
            continue
        if watched.destination(_attempt(query)) not in (None, Destination.SIBLINGS):
            asked.setdefault(query.server.address, []).append(query)
    for server, some in asked.items() if own else ():
        queries = [_attempt(q) for q in some]
        yield watched.finding(
            FOREIGN_RESOLVER,
            queries,
            f"The name server {some[0].server.display} was asked past the sandbox's own{by(watched.who(queries))}, {times(queries)}: "
            f"{printable(listed(q.name for q in some), 200)}.",
            identity=(server,),
            confidence=Confidence.HIGH,
            details={"names": [printable(q.name) for q in some[:50]]},
        )


def _own(watched: Watched) -> set[str]:
    """The addresses of the sandbox's own resolvers; none where they are not known."""
    given = watched.run.namespace.resolvers if watched.run.namespace is not None else ()
    return {*watched.gateways, *given}


def _attempt(query: Query) -> Attempt:
    return Attempt(query.time, query.transport, query.server, pid=query.pid, service="dns", count=query.count)


def _streams(watched: Watched) -> Iterator[Finding]:
    below: dict[str, dict[str, Query]] = {}
    for query in watched.run.queries:
        labels = query.name.rstrip(".").lower().split(".")
        if len(labels) < 3 or labels[-1] == "arpa":
            continue
        for depth in (2, 3):  # the domain that answers may be a registered one, or one below it
            if len(labels) > depth:
                below.setdefault(".".join(labels[-depth:]), {})[".".join(labels[:-depth])] = query
    found: list[str] = []
    for domain, names in sorted(below.items(), key=lambda item: (item[0].count("."), item[0])):
        if any(domain.endswith("." + one) for one in found):
            continue
        signs = _signs(names)
        if signs is None:
            continue
        found.append(domain)
        queries = sorted(names.values(), key=lambda q: q.time)
        attempts = [_attempt(q) for q in queries]
        carried = sum(len(n) for n in names)
        yield watched.finding(
            DNS_TUNNEL,
            attempts,
            f"{len(names):,} different names below {printable(domain)} were asked for{by(watched.who(attempts))}, {carried:,} characters in "
            f"all ({signs}), such as {printable(queries[0].name, 80)}.",
            identity=(domain,),
            confidence=Confidence.HIGH if len(names) >= 2 * NAMES else Confidence.MEDIUM,
            details={"domain": printable(domain), "names": len(names), "characters": carried},
        )


def _signs(names: dict[str, Query]) -> str | None:
    """Why the names are data, None if they are not."""
    if len(names) < NAMES:
        return None
    lengths = sorted(map(len, names))
    disorder = _disorder(names)
    if lengths[len(lengths) // 2] < LONG or disorder < DISORDER:
        return None
    words = [f"half of them {lengths[len(lengths) // 2]} characters or more", f"{disorder:.1f} bits in each"]
    kinds = Counter(q.type for q in names.values())
    rare = [k for k in ("TXT", "NULL", "PRIVATE", "CNAME", "MX") if kinds.get(k, 0) * 2 > len(names)]
    return ", ".join(words + ([f"asked as {listed(rare)}"] if rare else []))


def _disorder(names: Iterable[str]) -> float:
    text = "\n".join(names).encode("utf-8", "surrogatepass")[:PACKED]
    return 8 * len(zlib.compress(text, 9)) / len(text) if text else 0.0


PLUGIN = Watch("dns_tunnel", (DNS_TUNNEL, FOREIGN_RESOLVER), takes, judge, order=35)
