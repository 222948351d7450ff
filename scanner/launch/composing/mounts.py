"""What of the host and of the project a service sees as files: volumes, tmpfs, configs, secrets, the engine's own socket."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scanner.launch.composing.files import OutsideError
from scanner.launch.composing.interpolation import Lookup
from scanner.launch.composing.loading import Session
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.launch.nearby import small_text
from scanner.model.launch import Default, Missing, Mount, MountKind, Place

SOCKET = "/var/run/docker.sock"
_KINDS = {
    "bind": MountKind.BIND,
    "volume": MountKind.VOLUME,
    "cluster": MountKind.VOLUME,
    "tmpfs": MountKind.TMPFS,
    "image": MountKind.IMAGE,
    "npipe": MountKind.OTHER,
}


@dataclass(slots=True)
class Mounts:
    """The project's volumes, configs and secrets, by name."""

    volumes: Mapping[str, Tree]
    configs: Mapping[str, Tree]
    secrets: Mapping[str, Tree]
    lookup: Lookup
    session: Session

    def of(self, name: str, service: Tree) -> tuple[tuple[Mount, ...], tuple[Missing, ...]]:
        """A service's mounts, and what of them an unset variable leaves open. Raises ParseError."""
        missing: dict[str, Missing] = {}
        found: list[Mount] = []
        for mount in (
            *self._volumes(name, service, missing),
            *self._tmpfs(service),
            *self._grants("configs", self.configs, name, service),
            *self._grants("secrets", self.secrets, name, service),
            *_engine(service),
        ):
            found.append(mount)
        self.session.budget.spend(len(found), service.place)
        return tuple(found), tuple(missing.values())

    def _volumes(self, name: str, service: Tree, missing: dict[str, Missing]) -> Iterator[Mount]:
        volumes = service.get("volumes")
        for one in volumes.items or () if volumes is not None else ():
            kind, source, target, read_only = (one.get(k) for k in ("type", "source", "target", "read_only"))
            if kind is None or kind.string() not in _KINDS:
                raise broken(
                    kind or one, f"{shown(kind.string()) if kind is not None else 'nothing'} is no type of a mount"
                )
            if target is None and kind.string() != "npipe":
                raise broken(one, "the mount has no target")
            where = target.string() if target is not None else ""
            unknown = source.unknown if source is not None else (target.unknown if target is not None else ())
            for variable in unknown:
                key = f"env.{variable}"
                why = f"what is mounted at {where or 'a place'} hangs on the variable {variable}, which is not set"
                missing.setdefault(key, Missing(key, why, one.place))
            text = source.string() if source is not None else ""
            if kind.string() == "bind" and not text:
                raise broken(one, "the mount names no source on the host")
            mount = Mount(
                _KINDS[kind.string()],
                text,
                where,
                read_only is not None and not read_only.unknown and read_only.flag() is True,
                one.place,
            )
            if kind.string() == "volume" and source is not None and not source.unknown:
                yield self._named(mount, name, source, missing)
            else:
                yield mount if unknown else self._with_content(mount)

    def _named(self, mount: Mount, service: str, source: Tree, missing: dict[str, Missing]) -> Mount:
        """A named volume is what its driver's options make of it: a folder of the host, a device, memory."""
        volume = self.volumes.get(mount.source)
        if volume is None:
            if self.session.incomplete or not mount.source:
                return mount
            raise broken(
                source, f"the project defines no volume {shown(mount.source)}, which the service {service} mounts"
            )
        given = volume.get("name")
        name = given.string() if given is not None and not given.unknown else mount.source
        options = volume.get("driver_opts")
        device, kind, how = (options.get(k) if options is not None else None for k in ("device", "type", "o"))
        for option in (device, kind, how):
            for variable in option.unknown if option is not None else ():
                key = f"env.{variable}"
                why = f"what the volume {mount.source} is hangs on the variable {variable}, which is not set"
                missing.setdefault(key, Missing(key, why, option.place if option is not None else mount.origin))
        driver = volume.get("driver")
        if device is None or (driver is not None and driver.string() not in ("local", "")):
            return _changed(mount, MountKind.VOLUME, name)
        words = how.string().split(",") if how is not None else []
        if kind is not None and kind.string() in ("tmpfs", "nfs", "nfs4", "cifs", "overlay"):
            return _changed(mount, MountKind.TMPFS if kind.string() == "tmpfs" else MountKind.VOLUME, name)
        read_only = mount.read_only or "ro" in words
        bound = Mount(MountKind.BIND, device.string(), mount.target, read_only, mount.origin)
        return bound if device.unknown else self._with_content(bound)

    def _tmpfs(self, service: Tree) -> Iterator[Mount]:
        tmpfs = service.get("tmpfs")
        for one in tmpfs.each() if tmpfs is not None else ():
            target, _, options = one.string().partition(":")
            yield Mount(MountKind.TMPFS, "", target, "ro" in options.split(","), one.place)

    def _grants(self, kind: str, defined: Mapping[str, Tree], name: str, service: Tree) -> Iterator[Mount]:
        """Configs land at `/NAME`, secrets in /run/secrets; both are read-only."""
        grants = service.get(kind)
        folder = "/run/secrets/" if kind == "secrets" else "/"
        for one in grants.items or () if grants is not None else ():
            source, target = one.get("source"), one.get("target")
            if source is None:
                raise broken(one, f"an entry of {kind} names no source")
            key = source.string()
            value = defined.get(key)
            if value is None:
                if self.session.incomplete or source.unknown:
                    continue
                raise broken(source, f"the project defines no {kind[:-1]} {shown(key)}, which the service {name} uses")
            where = target.string() if target is not None else key
            yield self._grant(kind, key, value, where if where.startswith("/") else folder + where, one.place)

    def _grant(self, kind: str, key: str, value: Tree, target: str, place: Place) -> Mount:
        file, content, variable = value.get("file"), value.get("content"), value.get("environment")
        if file is not None:
            mount = Mount(MountKind.BIND, file.string(), target, True, place)
            return mount if file.unknown else self._with_content(mount)
        text = content.string() if content is not None else None
        if text is None and variable is not None:
            text = self.lookup(variable.string())
        return Mount(
            MountKind.OTHER, f"{kind[:-1]} {key}", target, True, place, text, str(value.place) if text else None
        )

    def _with_content(self, mount: Mount) -> Mount:
        """The mount with the text of the file, if it is a small one of the project's own."""
        if mount.kind is not MountKind.BIND or not mount.source.startswith("/"):
            return mount
        path = Path(mount.source)
        try:
            real = self.session.folder.inside(path)
        except OutsideError:
            return mount
        text = small_text(real.parent, real.name)
        if text is None:
            return mount
        return Mount(
            mount.kind, mount.source, mount.target, mount.read_only, mount.origin, text, self.session.folder.name(path)
        )


def _changed(mount: Mount, kind: MountKind, source: str) -> Mount:
    return Mount(kind, source, mount.target, mount.read_only, mount.origin)


def _engine(service: Tree) -> Iterator[Mount]:
    """`use_api_socket`: the engine's socket and the credentials for its registries."""
    api = service.get("use_api_socket")
    if api is None or api.unknown or api.flag() is not True:
        return
    yield Mount(MountKind.BIND, SOCKET, SOCKET, False, api.place)
    yield Mount(
        MountKind.OTHER,
        "the registry credentials of whoever launches it",
        "/run/secrets/docker/config.json",
        True,
        Default("compose"),
    )
