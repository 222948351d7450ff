"""Tools whose whole purpose is a way in or around, known by the hosts that only they call.

ngrok, "Running behind firewalls"; cloudflared, "Tunnel with firewall" (its TLS names and ALPN: supervisor and connection packages);
Tailscale, "What firewall ports should I open"; Microsoft, "Dev tunnels security"; the rest by their own front pages. Sites that
people read, such as ngrok.com, are none of these.
"""

import re

_HOSTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?:.+\.)?(?:{hosts})"), family)
    for hosts, family in (
        (r"ngrok-agent\.com|tunnel\.(?:\w{2}\.)?ngrok\.com", "ngrok"),
        (r"argotunnel\.com|cftunnel\.com|api\.trycloudflare\.com", "cloudflared"),
        (r"a\.pinggy\.io|(?:free\.)?pinggy\.(?:io|online)", "pinggy"),
        (r"localtunnel\.me|loca\.lt", "localtunnel"),
        (r"serveo\.net", "serveo"),
        (r"ssh\.tmate\.io", "tmate"),
        (r"bore\.pub", "bore"),
        (r"(?:controlplane|log|derp\w{1,4})\.tailscale\.com", "tailscale"),
        (r"devtunnels\.ms|tunnels\.api\.visualstudio\.com", "devtunnel"),
    )
)


def of_host(name: str) -> str | None:
    """The tool that calls this host (a port behind it may be), None for none."""
    host = name[:255].lower().partition(":")[0].rstrip(".")
    return next((family for shape, family in _HOSTS if shape.fullmatch(host)), None)
