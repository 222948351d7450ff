"""What Dev Container Features ask of the container that they are added to: a table, since a registry is never asked.

Each line is what the feature's devcontainer-feature.json says (privileged, capAdd, securityOpt, mounts); a feature that is
listed without anything only installs software. Sources: devcontainers/features, devcontainers-extra/features,
tailscale/codespace, stuartleeks/dev-container-features, anthropics/devcontainer-features (src/*/devcontainer-feature.json).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effect:
    """`mounts` are (type, source, target)."""

    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str, str], ...] = ()


PLAIN = Effect()
_DEBUGGER = Effect(cap_add=("SYS_PTRACE",), security=("seccomp=unconfined",))
_HOST_ENGINE = Effect(mounts=(("bind", "/var/run/docker.sock", "/var/run/docker-host.sock"),))
_OWN_ENGINE = Effect(privileged=True, mounts=(("volume", "dind-var-lib-docker", "/var/lib/docker"),))

_OFFICIAL = "ghcr.io/devcontainers/features/"
_KNOWN: dict[str, Effect] = {
    **{
        _OFFICIAL + name: PLAIN
        for name in (
            "anaconda aws-cli azure-cli bun common-utils conda copilot-cli desktop-lite dotnet git git-lfs github-cli hugo "
            "java jupyterlab mise node nvidia-cuda oryx php powershell python ruby sshd terraform"
        ).split()
    },
    _OFFICIAL + "docker-in-docker": _OWN_ENGINE,
    _OFFICIAL + "docker-outside-of-docker": _HOST_ENGINE,
    _OFFICIAL + "docker-from-docker": _HOST_ENGINE,
    _OFFICIAL + "go": _DEBUGGER,
    _OFFICIAL + "rust": _DEBUGGER,
    _OFFICIAL + "kubectl-helm-minikube": Effect(mounts=(("volume", "minikube-config", "/home/vscode/.minikube"),)),
    _OFFICIAL + "nix": Effect(mounts=(("volume", "nix-store", "/nix"),)),
    # tailscaled makes its device itself where it is not given one
    "ghcr.io/tailscale/codespace/tailscale": Effect(cap_add=("NET_ADMIN", "NET_RAW")),
    "ghcr.io/stuartleeks/dev-container-features/shell-history": Effect(
        mounts=(("volume", "shellhistory", "/dc/shellhistory"),)
    ),
    "ghcr.io/anthropics/devcontainer-features/claude-code": PLAIN,
    "ghcr.io/devcontainers-extra/features/mount-aws-credentials": Effect(mounts=(("bind", "~/.aws", "/.aws"),)),
}
_INSTALLERS = ("ghcr.io/devcontainers-extra/features/", "ghcr.io/devcontainers-contrib/features/")
"""Collections whose features install one tool each and ask for nothing, those above apart."""

_IMAGES = {
    "mcr.microsoft.com/devcontainers/universal": Effect(
        privileged=True, cap_add=_DEBUGGER.cap_add, security=_DEBUGGER.security, mounts=_OWN_ENGINE.mounts
    ),
    "mcr.microsoft.com/devcontainers/go": _DEBUGGER,
    "mcr.microsoft.com/devcontainers/rust": _DEBUGGER,
    "mcr.microsoft.com/devcontainers/cpp": _DEBUGGER,
}
"""Images that ask for as much in their label devcontainer.metadata. Source: devcontainers/images, src/*."""


def effect(reference: str) -> Effect | None:
    """What the feature `ghcr.io/OWNER/REPOSITORY/NAME[:VERSION]` (or the old short `NAME`) asks for; None: not known."""
    name = _without_version(reference.lower())
    if "/" not in name:
        name = _OFFICIAL + name
    known = _KNOWN.get(name)
    if known is None and name.startswith(_INSTALLERS):
        return _KNOWN.get("ghcr.io/devcontainers-extra/features/" + name.rpartition("/")[2], PLAIN)
    return known


def image_effect(reference: str) -> Effect:
    """What the image's own label asks for, where it is one of the table's."""
    return _IMAGES.get(_without_version(reference.lower()), PLAIN)


def _without_version(reference: str) -> str:
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
