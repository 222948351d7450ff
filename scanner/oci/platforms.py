"""Platforms as `os/architecture[/variant]`, spelled as Go and the image spec spell them (image-index.md, `platform`)."""

import platform as machine

from scanner.errors import TargetError
from scanner.model import printable

UNKNOWN = "unknown/unknown"
"""How BuildKit marks what is no image: attestations."""

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm/v7",
    "armv7l": "arm/v7",
    "armel": "arm/v6",
    "armv6l": "arm/v6",
    "i386": "386",
    "i686": "386",
}
_BASE_VARIANTS = {"amd64": "v1", "arm64": "v8", "arm": "v7"}


def host() -> str:
    """This machine's platform, with the system that its engine runs."""
    name = machine.machine().lower()
    return "linux/" + _ARCHITECTURES.get(name, name)


def wanted(text: str) -> str:
    """What a user asked for, in the usual spelling: `arm64` and `linux/aarch64` both mean linux/arm64. Raises TargetError."""
    parts = text.strip().lower().split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if not 2 <= len(parts) <= 3 or not all(
        p.replace("_", "").replace("-", "").replace(".", "").isalnum() for p in parts
    ):
        raise TargetError(f"{printable(text)!r} is no platform; write OS/ARCHITECTURE[/VARIANT], such as linux/arm64")
    os, architecture, *variant = parts
    architecture, slash, usual = _ARCHITECTURES.get(architecture, architecture).partition("/")
    return "/".join([os, architecture, *(variant or ([usual] if slash else []))])


def matches(asked: str, offered: str) -> bool:
    """Whether an image for `offered` is what was asked for; a variant counts only if it was asked for."""
    ask, offer = _split(asked), _split(offered)
    return ask[:2] == offer[:2] and (not ask[2] or _variant(ask) == _variant(offer))


def is_base(offered: str) -> bool:
    """Whether it is the variant that every machine of its architecture runs."""
    offer = _split(offered)
    return _variant(offer) == _BASE_VARIANTS.get(offer[1], "")


def _split(platform: str) -> tuple[str, str, str]:
    os, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return os, architecture, variant


def _variant(platform: tuple[str, str, str]) -> str:
    return platform[2] or _BASE_VARIANTS.get(platform[1], "")
