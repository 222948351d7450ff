"""sandbox-runtime (`srt`): its settings file.

The README and src/sandbox/sandbox-config.ts of anthropic-experimental/sandbox-runtime. Nothing is let out but what
`allowedDomains` names (`deniedDomains` comes first), through proxies on the machine: the process has no network of its own
(Linux) or may speak to the proxies alone (macOS). An entry may end in a port; without one all ports count, by SOCKS too.
`allowUnixSockets` and `allowLocalBinding` mean something on macOS only; `allowAllUnixSockets` on both.
"""

from collections.abc import Sequence
from dataclasses import replace

from scanner.launch.document import Node
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.requests import documents, either, flag, mentions, required, rule, texts, unique, wrong
from scanner.model import (
    Confinement,
    Default,
    Enforcement,
    Hosted,
    Launch,
    Level,
    Missing,
    Mount,
    MountKind,
    Notification,
    Said,
)

RUNNER = Default("runner sandbox-runtime")
_LISTS = ("allowedDomains", "deniedDomains")
_NETWORK = frozenset(
    (
        *_LISTS,
        "allowUnixSockets",
        "allowAllUnixSockets",
        "allowLocalBinding",
        "allowMachLookup",
        "httpProxyPort",
        "socksProxyPort",
        "mitmProxy",
        "parentProxy",
        "tlsTerminate",
        "strictAllowlist",
        "deniedDomainReasons",
        "injectHeaders",
    )
)
_FILES = frozenset(("denyRead", "allowRead", "allowWrite", "denyWrite", "allowGitConfig"))
_TOP = frozenset(
    (
        "$schema",
        "network",
        "filesystem",
        "credentials",
        "ignoreViolations",
        "enabled",
        "enableWeakerNestedSandbox",
        "enableWeakerNetworkIsolation",
        "allowAppleEvents",
        "allowPty",
        "ripgrep",
        "mandatoryDenySearchDepth",
        "seccomp",
        "bwrapPath",
        "socatPath",
        "windows",
    )
)


def _is_settings(node: Node) -> bool:
    network, files = node.get("network"), node.get("filesystem")
    if network is not None and network.is_map:
        keys = {key for key, _, _ in network.items()}
        lists = any((value := network.get(key)) is not None and value.is_list for key in _LISTS)
        if lists or (keys and keys <= _NETWORK):
            return True
    if files is None or not files.is_map:
        return False
    keys = {key for key, _, _ in files.items()}
    return bool(keys & _FILES) and {key for key, _, _ in node.items()} <= _TOP


def _recognises(given: Input) -> bool:
    found = documents(given)
    if not found:
        return mentions(given, _LISTS)
    return len(found) == 1 and _is_settings(found[0])


def _read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
    del options  # nothing of the environment goes into the settings
    hosted: list[Hosted] = []
    notes: list[Notification] = []
    for given in inputs:
        for node in required(given):
            hosted.append(sandbox(node))
            notes += _notes(node)
    names = unique(one.name for one in hosted)
    named = tuple(replace(one, name=name) for one, name in zip(hosted, names, strict=True))
    return Launch(
        "sandbox-runtime", tuple(i.name for i in inputs), "sandbox-runtime", hosted=named, notifications=tuple(notes)
    )


def sandbox(node: Node) -> Hosted:
    """The settings. Raises ParseError for values of a kind that srt refuses."""
    network = either(node, "network")
    if network is not None and not network.is_map:
        raise wrong(network, "a mapping is meant")
    if network is None:
        network = node
    allowed, denied = (texts(either(network, key)) for key in _LISTS)
    own = either(network, "httpProxyPort", "socksProxyPort")
    missing: tuple[Missing, ...] = ()
    if own is not None:
        why = "srt is pointed at a proxy of one's own, which has to hold the list itself"
        missing = (Missing("proxy.filters", why, own.place),)
    local = flag(either(network, "allowLocalBinding"))
    lists = either(network, "allowedDomains")
    return Hosted(
        "sandbox",
        "sandbox-runtime",
        node.place,
        Said(False, lists.place if lists is not None else RUNNER),
        (*(rule(True, one, "tcp") for one in allowed), *(rule(False, one, "tcp") for one in denied)),
        Said(Enforcement.PROXY, RUNNER),
        confinement=Confinement(mounts=_sockets(network)),
        missing=missing,
        private_closed=Said(False, RUNNER),
        host_closed=Said(True, RUNNER) if local is None or not local.value else None,
        engine_closed=Said(True, RUNNER) if not _all_sockets(network) else None,
    )


def _all_sockets(network: Node) -> bool:
    switch = flag(either(network, "allowAllUnixSockets"))
    return switch is not None and switch.value


def _sockets(network: Node) -> tuple[Mount, ...]:
    """The sockets that a list opens on macOS, as what they are: files of the machine in the sandbox's sight."""
    return tuple(
        Mount(MountKind.BIND, one.value, one.value, False, one.origin)
        for one in texts(either(network, "allowUnixSockets"))
    )


def _notes(node: Node) -> list[Notification]:
    network = node.get("network")
    notes = []
    if network is not None and texts(either(network, "allowUnixSockets")):
        place = network.get("allowUnixSockets") or network
        notes.append(f"{place.place}: allowUnixSockets is counted as macOS does; on Linux srt ignores it")
    if network is not None and network.get("mitmProxy") is not None:
        notes.append(f"{network.place}: what mitmProxy makes of its requests is not known")
    return [Notification("launch", Level.NOTE, text) for text in notes]


FORMAT = Format("sandbox-runtime", "sandbox-runtime (srt): network.{allowedDomains,deniedDomains}", _recognises, _read)
