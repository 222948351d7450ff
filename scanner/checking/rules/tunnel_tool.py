"""Tools that tunnel out, installed or fetched by a build."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from scanner.checking.builds import Order
from scanner.checking.rules.commands import SSH_SERVERS, Package, installs, is_url, urls
from scanner.checking.rules.plugin import Check, Hit, Seen, Sign
from scanner.credentials import mask
from scanner.detectors.tunnelling import catalogue
from scanner.detectors.tunnelling.catalogue import Sort, Tool
from scanner.model import Confidence, Rule, Severity, printable

RULE = Rule(
    id="build/tunnel-tool",
    name="Tunnel or proxy tool installed by a build",
    severity=Severity.HIGH,
    description="A package manager of a distribution or of a language that installs a tunnel, or an address that one is fetched from. "
    "What is installed under another name is seen only in the image itself.",
    help="Whoever runs in the sandbox can reach, through it, what the launch meant to close, as long as one path out is open. "
    "Take it out of the Dockerfile if the work does not need it; if it does, allow only the one peer it needs.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://attack.mitre.org/techniques/T1090/"),
    attack=("T1572", "T1090"),
)

_HOSTS = {
    "ngrok-agent.s3.amazonaws.com": "ngrok",
    "bin.equinox.io": "ngrok",
    "bin.ngrok.com": "ngrok",
    "pkg.cloudflare.com": "cloudflared",
    "pkg.cloudflareclient.com": "cloudflared",
    "tailscale.com": "tailscale",
    "pkgs.tailscale.com": "tailscale",
    "install.zerotier.com": "zerotier",
    "gsocket.io": "gsocket",
    "deb.torproject.org": "tor",
    "dist.torproject.org": "tor",
    "playit.gg": "playit",
    "downloads.rclone.org": "rclone",
}
"""Hosts that one tool is fetched from, by the tool's name in the catalogue; of others the path says which it is."""
_OTHERS = re.compile(r"cloudflare-warp|warp-cli")
_BUILT = re.compile(
    r"(?i)(?:linux|darwin|windows|amd64|x86_64|arm64|aarch64|386|musl|gnu)|\.(?:deb|rpm|apk|tgz|tar\.\w+|zip|gz)\Z"
)
_SERVED = frozenset({Sort.PROXY, Sort.RELAY, Sort.SYNC, Sort.CLIENT, Sort.SSH, Sort.PROXY_CLIENT})


@dataclass(frozen=True, slots=True)
class _Found:
    tool: Tool
    kind: str
    shown: str
    file: str
    line: int
    via: str


def judge(seen: Seen) -> Iterator[Hit]:
    found: dict[str, list[_Found]] = {}
    for order in seen.orders:
        for one in _of_order(seen, order):
            found.setdefault(one.tool.name, []).append(one)
    for copy in seen.stage.copies:
        for source in copy.sources:
            if copy.keyword == "ADD" and is_url(source) and (tool := of_url(source)) is not None:
                shown = printable(mask(source), 200)
                found.setdefault(tool.name, []).append(
                    _Found(tool, "address", shown, seen.build.file, copy.line, "ADD")
                )
    for name, some in found.items():
        first = some[0]
        tool = first.tool
        if tool.severity is Severity.NOTE:
            continue  # what every image has
        kinds = {one.kind for one in some}
        message = f"{first.via} brings {name} into the image, {tool.sort.value} ({first.shown})."
        signs = tuple(Sign(one.kind, one.shown, one.file, one.line) for one in some[:10])
        confidence = Confidence.HIGH if "package" in kinds or len(kinds) > 1 else Confidence.MEDIUM
        yield Hit(tool.severity, confidence, message, signs, (name,), {"tool": name, "sort": tool.sort.value})


def _of_order(seen: Seen, order: Order) -> Iterator[_Found]:
    if order.command.remote:
        return
    for package in installs(order.command):
        tool = of_package(package)
        if tool is not None:
            line = seen.line_of(order, package.word)
            yield _Found(tool, "package", f"package {printable(package.word, 80)}", order.file, line, order.via)
    for url in urls(order.command):
        if (tool := of_url(url)) is not None:
            yield _Found(tool, "address", printable(mask(url), 200), order.file, seen.line_of(order, url), order.via)


def of_package(package: Package) -> Tool | None:
    """The tool that a package manager knows by the name."""
    name = package.name
    match package.manager:
        case "pip":
            return catalogue.by_pip().get(catalogue.pip_name(name))
        case "npm":
            return catalogue.by_npm().get(name)
        case "go":
            return catalogue.of_module(name)
        case "cargo" | "gem":
            return catalogue.by_name().get(name) or catalogue.by_program().get(name)
        case "system" if name not in SSH_SERVERS:  # those have a rule of their own
            return catalogue.by_package().get(name.rsplit("/", 1)[-1].removeprefix("conda-forge::"))
    return None


def of_url(url: str) -> Tool | None:
    """The tool that an address is a download, a repository or an installer of."""
    try:
        parts = urlsplit(re.sub(r"^git@([\w.-]+):", r"https://\1/", url.removeprefix("git+")))
        host, path = (parts.hostname or "").lower(), parts.path
    except ValueError:
        return None
    if _OTHERS.search(url):
        return None
    named = catalogue.by_name().get(_HOSTS.get(host, ""))
    if named is not None:
        return named
    segments = [s for s in path.split("/") if s]
    if len(segments) >= 2:
        owned = "/".join((host.removeprefix("www."), *segments[:2])).removesuffix(".git")
        tool = catalogue.of_module(owned)
        if tool is not None:
            return tool
    for name in [*segments[1:2], *segments[-1:]]:
        bare = re.split(
            r"[_.]|-(?=v?\d|linux|darwin|windows|amd64|x86|arm|aarch|musl)", name.removesuffix(".git"), maxsplit=1
        )[0].lower()
        tool = catalogue.by_program().get(bare) or catalogue.by_name().get(bare)
        is_it = len(bare) > 3 or host in ("github.com", "gitlab.com", "codeload.github.com")
        if (
            tool is not None
            and is_it
            and tool.sort not in _SERVED
            and (_BUILT.search(segments[-1]) or "releases" in segments)
        ):
            return tool
    return None


PLUGIN = Check(RULE, judge)
