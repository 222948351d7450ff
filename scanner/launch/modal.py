"""Modal: the settings of a sandbox, as JSON, YAML or TOML files hold them.

Modal's documentation ("Networking and security" of sandboxes; modal.Sandbox.create): open by default, `block_network` ends it,
a list of CIDRs or of domains lets out nothing else. A sandbox runs under gVisor. What Modal does with private addresses, its
own machines and names on no list, it does not say.
"""

from scanner.launch.document import Node
from scanner.launch.requests import either, flag, request_format, rule, text, texts
from scanner.model import Default, Enforcement, Hosted, Said

RUNNER = Default("runner modal")
_BLOCK = ("block_network", "blockNetwork")
_CIDRS = ("outbound_cidr_allowlist", "outboundCidrAllowlist", "cidr_allowlist", "cidrAllowlist")
_DOMAINS = ("outbound_domain_allowlist", "outboundDomainAllowlist")


def _wanted(node: Node) -> bool:
    block = either(node, *_BLOCK)
    if block is not None and block.flag() is not None:
        return True
    return any(node.get(key) is not None for key in (*_CIDRS, *_DOMAINS))


def sandbox(key: str | None, node: Node) -> Hosted:
    """One sandbox. Raises ParseError for values of a kind that the API refuses."""
    block = flag(either(node, *_BLOCK))
    cidrs, domains = either(node, *_CIDRS), either(node, *_DOMAINS)
    rules = (*(rule(True, one) for one in texts(cidrs)), *(rule(True, one) for one in texts(domains)))
    listed = cidrs or domains
    named = text(either(node, "name"))
    return Hosted(
        named.value if named is not None else key or "sandbox",
        "modal",
        node.place,
        Said(False, listed.place) if listed is not None else Said(True, RUNNER),
        rules,
        Said(Enforcement.SNI if domains is not None else Enforcement.PACKET, RUNNER),
        image=text(either(node, "image")),
        blocked=block,
        host_closed=Said(True, block.origin) if block is not None and block.value else None,
        engine_closed=Said(True, RUNNER),
    )


FORMAT = request_format(
    "modal",
    "Modal: block_network, outbound_cidr_allowlist, outbound_domain_allowlist",
    (*_BLOCK, *_CIDRS, *_DOMAINS),
    _wanted,
    sandbox,
)
