"""3proxy: `allow` and `deny` lines are read in order up to the service that follows them; `flush` empties them.

Source: 3proxy.cfg(3): without a line everything is allowed, with lines what none matches is denied.
"""

from scanner.egress.forwarders.lists import Hosts, ListRule, decide
from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run, target
from scanner.model.egress import Permit
from scanner.model.launch import Place

_SERVICES = {"proxy": 3128, "socks": 1080, "tcppm": 0, "udppm": 0, "admin": 80, "ftppr": 21, "pop3p": 110, "dnspr": 53}


def read(run: Run) -> Forwarder | None:
    path = next((w for w in run.words if w.startswith("/")), "/etc/3proxy/3proxy.cfg")
    config = run.file(path) or run.file("/etc/3proxy/cfg/3proxy.cfg")
    if config is None:
        if run.official and run.arguments is None and run.covered(path) is None:
            return run.result(
                "proxy", ANYWHERE, "3proxy connects to anywhere", listens=[("tcp", 3128), ("tcp", 1080)], resolves=True
            )
        return run.untold(f"its configuration {path} is not among the mounted files that can be read")
    rules: list[ListRule] = []
    listens: list[tuple[str, int]] = []
    permits: list[Permit] = []
    unclear: list[Permit] = []
    place: Place | None = None
    resolves = said = asks = False
    for number, raw in config.lines():
        words = raw.partition("#")[0].split()
        if not words:
            continue
        match words[0]:
            case "allow" | "deny":
                said = True
                rules.append(_rule(words))
            case "flush":
                rules, said = [], False
            case "auth" if len(words) > 1:
                asks = words[1] in ("strong", "cache")
            case "parent":
                return run.untold("it hands requests on to another proxy", listens=listens, origin=config.place(number))
            case "proxy" | "socks":
                port = next((w[2:] for w in words if w.startswith("-p")), "")
                listens.append(("tcp", int(port) if port.isdigit() and len(port) < 6 else _SERVICES[words[0]]))
                allowed = decide(rules, not said)
                (unclear if asks else permits).extend(allowed.permits)
                unclear += allowed.unclear
                place, resolves = place or config.place(number), True
            case "tcppm" if len(words) >= 4:
                one = target(f"{words[-2]}:{words[-1]}")
                if one is not None:
                    permits.append(one)
                if words[-3].isdigit():
                    listens.append(("tcp", int(words[-3][:5])))
                place = place or config.place(number)
    if unclear:
        return run.untold(
            "it asks for a user, or has rules that cannot be judged here", unclear, listens=listens, origin=place
        )
    kind = "proxy" if resolves else "relay" if permits else "none"
    return run.result(
        kind,
        dict.fromkeys(permits),
        "3proxy connects to what its rules allow",
        place,
        listens=listens,
        resolves=resolves,
    )


def _rule(words: list[str]) -> ListRule:
    """`allow users sources targets ports commands …`"""
    fields = [*words[1:], *["*"] * 5][:5]
    hosts = () if fields[2] == "*" else (Hosts(tuple(fields[2].lower().split(","))),)
    ports = None
    if fields[3] != "*":
        found = [p.partition("-") for p in fields[3].split(",")]
        ports = (
            tuple(
                (int(a), int(b or a))
                for a, _, b in found
                if a.isdigit() and len(a) < 6 and (not b or (b.isdigit() and len(b) < 6))
            )
            or None
        )
    return ListRule(words[0] == "allow", hosts, ports, unsure=fields[0] != "*" or fields[1] != "*")


PLUGIN = Program("3proxy", images=("3proxy",), commands=("3proxy",), read=read, official=("3proxy/3proxy",))
