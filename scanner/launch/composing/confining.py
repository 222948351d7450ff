"""Rights, namespaces, devices and security options of a service."""

from collections.abc import Iterator

from scanner.launch.composing.mounts import Mounts
from scanner.launch.composing.project import Open, filled, items, truth
from scanner.launch.composing.shorts import texts
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model.launch import Confinement, Said


def confinement(name: str, service: Tree, mounts: Mounts, left_open: Open) -> Confinement:
    """What holds a service in, and what of it an unset variable leaves open. Raises ParseError."""

    def said(key: str, what: str) -> Said[str] | None:
        value = service.get(key)
        if value is None or left_open.unknown(value, what) or not value.string():
            return None
        text = value.string()
        return Said(f"container:{text[8:]}" if text.startswith("service:") else text, value.place)

    def capabilities(key: str) -> tuple[Said[str], ...]:
        return tuple(
            Said(o.string().strip().upper().removeprefix("CAP_"), o.place)
            for o in items(service, key)
            if not left_open.unknown(o, f"a capability in {key}")
        )

    privileged, user = service.get("privileged"), filled(service, "user")
    flag = None
    if privileged is not None and not left_open.unknown(privileged, "whether it is privileged"):
        flag = Said(truth(privileged, "privileged"), privileged.place)
    seccomp, apparmor, no_new, rest = _security(service, left_open)
    api = service.get("use_api_socket")
    if api is not None and not left_open.unknown(api, "whether it gets the engine's socket"):
        truth(api, "use_api_socket")
    root = service.get("read_only")
    found, missing = mounts.of(name, service)
    left_open.add(missing)
    return Confinement(
        user=Said(user.string(), user.place) if user is not None else None,
        privileged=flag,
        cap_add=capabilities("cap_add"),
        cap_drop=capabilities("cap_drop"),
        seccomp=seccomp,
        apparmor=apparmor,
        no_new_privileges=no_new,
        read_only=Said(True, root.place) if root is not None and not root.unknown and root.flag() is True else None,
        pid=said("pid", "its pid namespace"),
        ipc=said("ipc", "its ipc namespace"),
        uts=said("uts", "its uts namespace"),
        userns=said("userns_mode", "its user namespace"),
        cgroup=said("cgroup", "its cgroup namespace"),
        runtime=said("runtime", "its runtime"),
        mounts=found,
        devices=tuple(_devices(service, left_open)),
        gpus=_gpus(service),
        sysctls=tuple(
            (k, Said(v.string(), v.place))
            for k, v in texts(service.get("sysctls") or Tree(service.node, fields={})).items()
        ),
        security_opts=rest,
    )


def _security(
    service: Tree, left_open: Open
) -> tuple[Said[str] | None, Said[str] | None, Said[bool] | None, tuple[Said[str], ...]]:
    seccomp = apparmor = no_new = None
    rest: list[Said[str]] = []
    for one in items(service, "security_opt"):
        if left_open.unknown(one, "a security option"):
            continue
        text = one.string()
        key, sign, value = text.partition("=")
        if not sign and text != "no-new-privileges":
            key, sign, value = text.partition(":")
        if key == "seccomp":
            seccomp = None if value in ("default", "builtin") else Said(value, one.place)
        elif key == "apparmor":
            apparmor = Said(value, one.place)
        elif key == "no-new-privileges":
            no_new = Said(not sign or value.lower() in ("true", "1", "t"), one.place)
        elif not sign:
            raise broken(one, f"{shown(text)} is no security option")
        else:
            rest.append(Said(text, one.place))
    return seccomp, apparmor, no_new, tuple(rest)


def _devices(service: Tree, left_open: Open) -> Iterator[Said[str]]:
    for one in items(service, "devices"):
        source, target, rights = one.get("source"), one.get("target"), one.get("permissions")
        if source is None:
            raise broken(one, "the device has no source")
        if left_open.unknown(source, "a device of the host"):
            continue
        inner = target.string() if target is not None else source.string()
        yield Said(f"{source.string()}:{inner}:{rights.string() if rights is not None else 'rwm'}", one.place)
    for rule in items(service, "device_cgroup_rules"):
        if not left_open.unknown(rule, "a rule for devices"):
            yield Said(rule.string(), rule.place)


def _gpus(service: Tree) -> Said[str] | None:
    gpus = service.get("gpus")
    if gpus is not None and gpus.items is None:
        return Said(gpus.string(), gpus.place)
    reserved = service.at("deploy", "resources", "reservations", "devices")
    for one in (*items(service, "gpus"), *(reserved.items or () if reserved is not None else ())):
        kinds = {o.string() for o in items(one, "capabilities")}
        driver = one.get("driver")
        is_gpu = (
            gpus is not None
            or kinds & {"gpu", "nvidia", "compute"}
            or (driver is not None and driver.string() == "nvidia")
        )
        if is_gpu:
            count, ids = one.get("count"), items(one, "device_ids")
            what = ",".join(o.string() for o in ids) or (count.string() if count is not None else "all")
            return Said(what, one.place)
    return None
