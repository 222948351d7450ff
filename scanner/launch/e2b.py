"""E2B: a request for a sandbox, as JSON, YAML or TOML files hold it.

E2B's documentation ("Internet access") and its public infrastructure code (packages/orchestrator: sandbox/network/firewall.go,
tcpfirewall; packages/shared: sandbox-network/firewall.go). What an allow rule names passes whatever is denied. Names are read
from TLS SNI on 443 and HTTP Host on 80 alone; with a name on the list the resolver 8.8.8.8 is let through. Private, shared and
link-local ranges are dropped before any rule. A sandbox is a Firecracker virtual machine.
"""

import ipaddress
from dataclasses import replace

from scanner.launch.document import Node
from scanner.launch.requests import either, flag, request_format, rule, text, texts, wrong
from scanner.model import Default, Enforcement, Hosted, HostRule, Missing, Said

RUNNER = Default("runner e2b")
_INTERNET = ("allowInternetAccess", "allow_internet_access")
_ALLOW = ("allowOut", "allow_out")
_DENY = ("denyOut", "deny_out")
_PROXY = ("egressProxy", "egress_proxy")
_EVERYWHERE = frozenset(("0.0.0.0/0", "::/0", "ALL_TRAFFIC", "*"))
_WEB = ((80, 80), (443, 443))


def _wanted(node: Node) -> bool:
    switch = either(node, *_INTERNET)
    network = node.get("network")
    listed = network is not None and any(network.get(key) is not None for key in (*_ALLOW, *_DENY))
    return listed or (switch is not None and switch.flag() is not None)


def sandbox(key: str | None, node: Node) -> Hosted:
    """One request. Raises ParseError for values of a kind that the API refuses."""
    network = either(node, "network")
    if network is not None and not network.is_map:
        raise wrong(network, "a mapping is meant")
    internet = flag(either(node, *_INTERNET))
    allowed = texts(either(network, *_ALLOW)) if network is not None else ()
    denied = texts(either(network, *_DENY)) if network is not None else ()
    everything = next((d for d in denied if d.value in _EVERYWHERE), None)
    default: Said[bool] = Said(True, RUNNER)
    if internet is not None:
        default = internet
    if everything is not None:
        default = Said(False, everything.origin)
    rules = (
        *(_allow(one) for one in allowed),
        *(rule(False, one) for one in denied if one.value not in _EVERYWHERE),
    )
    proxy = either(network, *_PROXY) if network is not None else None
    missing: tuple[Missing, ...] = ()
    if proxy is not None:
        why = "TCP goes to a proxy of one's own, which decides for itself"
        missing = (Missing("proxy.filters", why, proxy.place),)
    named = text(either(node, "name"))
    template = text(either(node, "image"))
    return Hosted(
        named.value if named is not None else key or "sandbox",
        "e2b",
        node.place,
        default,
        rules,
        Said(Enforcement.SNI, RUNNER),
        deny_first=False,
        image=template,
        missing=missing,
        private_closed=Said(True, RUNNER),
        engine_closed=Said(True, RUNNER),
    )


def _allow(said: Said[str]) -> HostRule:
    if said.value in _EVERYWHERE:
        return HostRule(True, "*" if said.value == "ALL_TRAFFIC" else said.value, said.origin)
    try:
        ipaddress.ip_network(said.value, strict=False)
    except ValueError:
        return replace(rule(True, said, "tcp"), ports=_WEB)
    return rule(True, said)


FORMAT = request_format(
    "e2b",
    "E2B: a request with allowInternetAccess or network.{allowOut,denyOut}",
    (*_INTERNET, *_ALLOW, *_DENY),
    _wanted,
    sandbox,
)
