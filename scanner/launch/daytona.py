"""Daytona: a request for a sandbox, as JSON, YAML or TOML files hold it.

Daytona's documentation ("Network limits", "Isolation") and its public runner (apps/runner/pkg/netrules): open by default,
`networkBlockAll` wins, lists let out nothing else. The hosted service says that what runs in a sandbox does not get at the
machine below; whoever runs Daytona himself starts privileged containers (pkg/docker/container_configs.go) and may assume
`provider.engine=open`. What becomes of private addresses and of that machine's services, a request does not tell.
"""

from scanner.launch.document import Node
from scanner.launch.requests import either, flag, request_format, rule, text, texts
from scanner.model import Default, Enforcement, Hosted, Said

RUNNER = Default("runner daytona")
_BLOCK = ("networkBlockAll", "network_block_all")
_CIDRS = ("networkAllowList", "network_allow_list")
_DOMAINS = ("domainAllowList", "domain_allow_list")


def _wanted(node: Node) -> bool:
    block = either(node, *_BLOCK)
    if block is not None and block.flag() is not None:
        return True
    return any(node.get(key) is not None for key in (*_CIDRS, *_DOMAINS))


def sandbox(key: str | None, node: Node) -> Hosted:
    """One request. Raises ParseError for values of a kind that the API refuses."""
    cidrs, domains = either(node, *_CIDRS), either(node, *_DOMAINS)
    rules = tuple(rule(True, one) for list_ in (cidrs, domains) for one in texts(list_, commas=True))
    # an empty text is no list: the API treats it as if nothing had been said
    listed = next((one for one in (cidrs, domains) if one is not None and (one.is_list or one.text)), None)
    named = text(either(node, "name"))
    return Hosted(
        named.value if named is not None else key or "sandbox",
        "daytona",
        node.place,
        Said(False, listed.place) if listed is not None else Said(True, RUNNER),
        rules,
        Said(Enforcement.SNI if domains is not None else Enforcement.PACKET, RUNNER),
        image=text(either(node, "image")),
        blocked=flag(either(node, *_BLOCK)),
        engine_closed=Said(True, RUNNER),
    )


FORMAT = request_format(
    "daytona",
    "Daytona: networkBlockAll, networkAllowList, domainAllowList",
    (*_BLOCK, *_CIDRS, *_DOMAINS),
    _wanted,
    sandbox,
)
