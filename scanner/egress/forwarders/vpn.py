"""VPN clients in containers: who shares their network leaves through the tunnel; who is beside them does only by a proxy they offer.

Sources: the documentation of qmcgaw/gluetun (HTTPPROXY, SHADOWSOCKS), tailscale/tailscale (TS_SOCKS5_SERVER,
TS_OUTBOUND_HTTP_PROXY_LISTEN), linuxserver/wireguard, haugene/transmission-openvpn (WEBPROXY_ENABLED).
"""

from scanner.egress.forwarders.plugin import ANYWHERE, EVERYWHERE, Forwarder, Program, Run

_ON = ("on", "true", "yes", "1")


def read(run: Run) -> Forwarder | None:
    image = run.container.image.value if run.container.image is not None else ""
    if run.arguments is not None and run.program == "vpn" and not image:
        return None
    listens: list[tuple[str, int]] = []
    if (run.env("HTTPPROXY") or "").lower() in _ON:
        listens.append(("tcp", _port(run.env("HTTPPROXY_LISTENING_ADDRESS"), 8888)))
    if (run.env("SHADOWSOCKS") or "").lower() in _ON:
        listens.append(("tcp", _port(run.env("SHADOWSOCKS_LISTENING_ADDRESS"), 8388)))
    if (run.env("WEBPROXY_ENABLED") or "").lower() in _ON:
        listens.append(("tcp", _port(run.env("WEBPROXY_PORT"), 8118)))
    for name in ("TS_SOCKS5_SERVER", "TS_OUTBOUND_HTTP_PROXY_LISTEN"):
        address = run.env(name)
        if address and not address.startswith(("localhost", "127.")):
            listens.append(("tcp", _port(address, 1055)))
    if listens:
        return run.result("proxy", ANYWHERE, "its proxy leads into the tunnel", listens=listens, resolves=True)
    if "wireguard" in image or "openvpn" in image:
        return run.result("router", EVERYWHERE, "it forwards packets into its tunnel")
    return run.nothing("its tunnel serves only who shares its network")


def _port(address: str | None, default: int) -> int:
    number = (address or "").rpartition(":")[2]
    return int(number) if number.isdigit() and len(number) < 6 else default


PLUGIN = Program(
    "vpn",
    images=(
        "gluetun", "tailscale", "wireguard", "openvpn-client", "openvpn", "transmission-openvpn", "docker-wireguard", "nordvpn",
        "nordlynx", "docker-transmission-openvpn",
    ),
    commands=("tailscaled", "containerboot", "gluetun-entrypoint", "openvpn", "wg-quick"),
    read=read,
)  # fmt: skip
