"""The keys that Compose knows, and the shape of what stands under each; anything else in a file it refuses.

Source: the Compose specification, with what Compose 2.29 to 2.40 added (provider, models, use_api_socket, gpus, hooks, …).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from scanner.errors import ParseError
from scanner.launch.composing.tree import Tree, broken, shown


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand under a key: `kinds` of t (a scalar), l (a list), m (a mapping); a null passes everywhere.

    `keys` are those of a mapping (None: any, all alike as `each`), `items` the shape of a list's elements.
    """

    kinds: str
    keys: "Mapping[str, Shape] | None" = None
    each: Union["Shape", None] = None
    items: Union["Shape", None] = None


_T = Shape("t")
_L = Shape("l", items=_T)
_TL = Shape("tl", items=_T)
_TEXTS = Shape("m", each=_T)
_LM = Shape("lm", each=_T, items=_T)
_ANY = Shape("tlm")


def _texts(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), _T)


def _map(**keys: Shape) -> Shape:
    return Shape("m", keys=keys)


_HOSTS = Shape("lm", each=_TL, items=_T)
_ULIMITS = Shape("m", each=Shape("tm", keys=_texts("soft hard")))
_GRANTS = Shape("l", items=Shape("tm", keys=_texts("source target uid gid mode")))
_EXTERNAL = Shape("tm", each=_T)
_HOOK = Shape("m", keys={"command": _TL, "user": _T, "privileged": _T, "working_dir": _T, "environment": _LM})
_DEVICE_REQUESTS = Shape(
    "l", items=Shape("m", keys={"capabilities": _L, "device_ids": _L, "options": _LM, **_texts("count driver")})
)
_UPDATE = Shape("m", keys=_texts("parallelism delay failure_action monitor max_failure_ratio order"))
_BLKIO = Shape("l", items=Shape("m", keys=_texts("path rate weight")))

_BUILD = Shape(
    "tm",
    keys={
        **_texts(
            "context dockerfile dockerfile_inline no_cache network provenance sbom pull target shm_size isolation privileged"
        ),
        **dict.fromkeys(("entitlements", "cache_from", "cache_to", "tags", "platforms"), _L),
        **dict.fromkeys(("args", "ssh", "labels", "additional_contexts"), _LM),
        "extra_hosts": _HOSTS,
        "secrets": _GRANTS,
        "ulimits": _ULIMITS,
    },
)

_DEPLOY = _map(
    mode=_T,
    endpoint_mode=_T,
    replicas=_T,
    labels=_LM,
    rollback_config=_UPDATE,
    update_config=_UPDATE,
    resources=_map(
        limits=Shape("m", keys=_texts("cpus memory pids")),
        reservations=_map(cpus=_T, memory=_T, generic_resources=Shape("l", items=_ANY), devices=_DEVICE_REQUESTS),
    ),
    restart_policy=Shape("m", keys=_texts("condition delay max_attempts window")),
    placement=_map(constraints=_L, preferences=Shape("l", items=_TEXTS), max_replicas_per_node=_T),
)

_MOUNT = Shape(
    "tm",
    keys={
        **_texts("type source target read_only consistency"),
        "bind": Shape("m", keys=_texts("propagation create_host_path recursive selinux")),
        "volume": _map(labels=_LM, nocopy=_T, subpath=_T),
        "tmpfs": Shape("m", keys=_texts("size mode")),
        "image": Shape("m", keys=_texts("subpath")),
    },
)

_SERVICE_NETWORK = Shape(
    "m",
    keys={
        **_texts("interface_name ipv4_address ipv6_address mac_address priority gw_priority"),
        "aliases": _L,
        "link_local_ips": _L,
        "driver_opts": _TEXTS,
    },
)

SERVICE: Mapping[str, Shape] = {
    **_texts(
        "attach cgroup cgroup_parent container_name cpu_count cpu_percent cpu_shares cpu_quota cpu_period cpu_rt_period "
        "cpu_rt_runtime cpus cpuset domainname hostname image init ipc isolation mac_address mem_limit mem_reservation "
        "mem_swappiness memswap_limit network_mode oom_kill_disable oom_score_adj pid pids_limit platform privileged "
        "pull_policy pull_refresh_after read_only restart runtime scale shm_size stdin_open stop_grace_period stop_signal "
        "tty use_api_socket user uts userns_mode working_dir"
    ),
    **dict.fromkeys(
        "cap_add cap_drop device_cgroup_rules dns_opt expose external_links group_add links profiles security_opt "
        "volumes_from".split(),
        _L,
    ),
    **dict.fromkeys(("annotations", "environment", "labels", "sysctls"), _LM),
    **dict.fromkeys(("command", "entrypoint", "dns", "dns_search", "tmpfs", "label_file"), _TL),
    "blkio_config": Shape(
        "m",
        keys={
            "weight": _T,
            **dict.fromkeys(
                "device_read_bps device_read_iops device_write_bps device_write_iops weight_device".split(), _BLKIO
            ),
        },
    ),
    "build": _BUILD,
    "configs": _GRANTS,
    "credential_spec": Shape("m", keys=_texts("config file registry")),
    "depends_on": Shape("lm", items=_T, each=Shape("m", keys=_texts("condition restart required"))),
    "deploy": _DEPLOY,
    "develop": Shape("m", keys={"watch": Shape("l", items=_ANY)}),
    "devices": Shape("l", items=Shape("tm", keys=_texts("source target permissions"))),
    "env_file": Shape("tl", items=Shape("tm", keys=_texts("path required format"))),
    "extends": Shape("tm", keys=_texts("service file")),
    "extra_hosts": _HOSTS,
    "gpus": Shape("tl", items=_DEVICE_REQUESTS.items),
    "healthcheck": Shape(
        "m", keys={"test": _TL, **_texts("disable interval retries timeout start_period start_interval")}
    ),
    "logging": _map(driver=_T, options=_TEXTS),
    "models": Shape("lm", items=_T, each=Shape("m", keys=_texts("endpoint_var model_var"))),
    "networks": Shape("lm", items=_T, each=_SERVICE_NETWORK),
    "ports": Shape("l", items=Shape("tm", keys=_texts("name mode host_ip target published protocol app_protocol"))),
    "post_start": Shape("l", items=_HOOK),
    "pre_stop": Shape("l", items=_HOOK),
    "provider": _map(type=_T, options=Shape("m", each=_TL)),
    "secrets": _GRANTS,
    "storage_opt": _TEXTS,
    "ulimits": _ULIMITS,
    "volumes": Shape("l", items=_MOUNT),
}

_NETWORK = Shape(
    "m",
    keys={
        **_texts("name driver internal enable_ipv4 enable_ipv6 attachable"),
        "driver_opts": _TEXTS,
        "external": _EXTERNAL,
        "labels": _LM,
        "ipam": _map(
            driver=_T,
            options=_TEXTS,
            config=Shape("l", items=Shape("m", keys={**_texts("subnet ip_range gateway"), "aux_addresses": _TEXTS})),
        ),
    },
)
_VOLUME = Shape("m", keys={"name": _T, "driver": _T, "driver_opts": _TEXTS, "external": _EXTERNAL, "labels": _LM})
_FILE = Shape(
    "m",
    keys={
        **_texts("name content environment file driver template_driver"),
        "external": _EXTERNAL,
        "labels": _LM,
        "driver_opts": _TEXTS,
    },
)

PROJECT: Mapping[str, Shape] = {
    "version": _T,
    "name": _T,
    "include": Shape("l", items=Shape("tm", keys={"path": _TL, "env_file": _TL, "project_directory": _T})),
    "services": Shape("m", each=Shape("m", keys=SERVICE)),
    "networks": Shape("m", each=_NETWORK),
    "volumes": Shape("m", each=_VOLUME),
    "secrets": Shape("m", each=_FILE),
    "configs": Shape("m", each=_FILE),
    "models": Shape("m", each=Shape("m", keys={"name": _T, "model": _T, "context_size": _T, "runtime_flags": _L})),
}
_ROOT = Shape("m", keys=PROJECT)
_KINDS = {"t": "a scalar", "l": "a list", "m": "a mapping"}


def check(project: Tree) -> None:
    """Raises ParseError, with its place, for a key that Compose does not know and for a value of another shape."""
    _check(project, _ROOT, "")


def check_service(service: Tree, name: str) -> None:
    """The same for one service of a file that is not read whole."""
    _check(service, Shape("m", keys=SERVICE), f"services.{shown(name)}")


def _check(value: Tree, shape: Shape, path: str) -> None:
    if value.is_null:
        return
    kind = "m" if value.fields is not None else "l" if value.items is not None else "t"
    if kind not in shape.kinds:
        wanted = " or ".join(_KINDS[k] for k in shape.kinds)
        raise broken(value, f"{path or 'the file'} must be {wanted}, not {_KINDS[kind]}")
    if kind == "l" and shape.items is not None:
        for number, one in enumerate(value.items or ()):
            _check(one, shape.items, f"{path}[{number}]")
    if kind != "m":
        return
    for key, one in value.pairs():
        below = f"{path}.{shown(key)}" if path else shown(key)
        if shape.keys is None:
            if shape.each is not None:
                _check(one, shape.each, below)
        elif key in shape.keys:
            _check(one, shape.keys[key], below)
        elif not key.startswith("x-"):
            raise _unknown(one, key, shape.keys, path)


def _unknown(value: Tree, key: str, known: Mapping[str, Shape], path: str) -> ParseError:
    close = difflib.get_close_matches(key[:40], known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    place = (value.key or value.node).place
    return ParseError(f"{place}: Compose knows no key {shown(key)} {'in ' + path if path else 'here'}{hint}")
