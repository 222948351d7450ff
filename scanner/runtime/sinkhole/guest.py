"""The two containers of an observation: the pause, which holds the network and PID namespaces, and the guest, which joins them.

The guest shares the pause's PID namespace, so that the kernel kills all of it when the pause ends, and the pause ends with us:
its standard input is a connection of ours to the engine. What the guest sees of that: process 1 is `pause`, its own first
process has another number, and orphans are reaped as `docker run --init` would. Programs that insist on being process 1
(systemd, s6) say so and end. Without it a guest would outlive a killed observer, cut off, until the next start. So does one that was
frozen when its observer was killed, but only where the engine freezes by cgroup v1, in which what is frozen does not die before it is
thawed (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst); it runs no more all the same.

API: moby, api/swagger.yaml.
"""

import hashlib
import io
import os
import platform
import posixpath
import secrets
import select
import signal
import tarfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from scanner.errors import SourceError, TargetError
from scanner.model import printable
from scanner.runtime.changes.mounts import hold
from scanner.runtime.sinkhole import pause
from scanner.runtime.sinkhole.addresses import GUEST4, RESOLVER
from scanner.runtime.sinkhole.attached import Attached, Output
from scanner.runtime.sinkhole.disk import Disk
from scanner.runtime.sinkhole.inside import halt, pid_namespace
from scanner.runtime.sinkhole.seccomp import profile
from scanner.runtime.sinkhole.sweep import LABEL, owner
from scanner.runtime.sinkhole.withheld import RUNTIMES, Settings
from scanner.sources.container import EngineContainer, find_container, is_process_of
from scanner.sources.engine import ask
from scanner.sources.failures import reason

if TYPE_CHECKING:
    import docker

_TURN = 0.2
_GONE_SECONDS = 20.0
_EXEC_SECONDS = 5.0
_VOLUMES = 256
_FREEZING = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each try to freeze a guest."""
_ENGINES_FILES = {"HostsPath": b"etc/hosts", "HostnamePath": b"etc/hostname", "ResolvConfPath": b"etc/resolv.conf"}
_WORDS = 600
"""Characters of an engine's explanation: the cause stands at its end."""
_BAD_REQUEST = 400
"""What was asked for makes no sense: a program that the image has not, no command at all, a user that nobody knows."""
_TAG = "latest"
"""Of the pause image: Podman gives no other to what is imported, whatever it is asked for."""
_RESOLV_CONF = f"nameserver {RESOLVER}\n".encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a guest: wall-clock seconds, processors, bytes of memory (its tmpfs included; no swap), processes and threads, bytes on disk."""

    seconds: float = 60
    cpus: float = 2
    memory: int = 2 << 30
    pids: int = 512
    disk: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a run stands, for whoever waits: seconds left, bytes of output and of disk so far."""

    left: float
    output: int
    disk: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `exit_code` None where it was stopped, `stopped` then says why. Times are seconds since the epoch."""

    started: float
    ended: float
    exit_code: int | None
    stopped: str
    output: bytes
    output_lost: int
    notes: tuple[str, ...] = ()


class Pause(AbstractContextManager["Pause"]):
    """The pause container from entering to leaving; nothing of it is left then, nor of a guest in it.

    `pid` is the host's number of its process. Raises SourceError where it cannot be started, or where its process or network is not
    what it has to be; then nothing is left either.
    """

    def __init__(self, client: "docker.DockerClient", endpoint: str, settings: Settings) -> None:
        self._api: Any = client.api
        self.endpoint = endpoint
        self.client = client
        self._settings = settings
        self.runtime = ""
        """What the engine is told to run containers with; "" where that is its default already."""
        self.name = f"sandscan-{secrets.token_hex(6)}"
        self.id = ""
        self.pid = 0
        self.processes = 0
        """The inode of its PID namespace."""
        self.held = -1
        """Its standard input: nothing comes from there but the end, once the engine is gone."""
        self._handle = -1
        self._held = ExitStack()

    def __enter__(self) -> "Pause":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self.runtime = runtime(ask(self.endpoint, self._api.info) or {}, self.endpoint)
        # its own name leads to itself, as it would with a network of the engine's
        hostname = self._settings.hostname or secrets.token_hex(6)
        config = {
            "Hostname": hostname,
            "Image": _pause_image(self._api, self.endpoint),
            "Labels": {LABEL: owner()},
            "User": pause.USER,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "HostConfig": {
                "NetworkMode": "none",
                "Dns": [RESOLVER],
                "DnsSearch": ["."],
                "ExtraHosts": [f"{name}:{address}" for name, address in (*self._settings.hosts, (hostname, GUEST4))],
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": True,
                "SecurityOpt": ["no-new-privileges", self.filter(())],
                "LogConfig": {"Type": "none"},
                "Memory": 32 << 20,
                "MemorySwap": 32 << 20,
                "PidsLimit": 16,
                "Runtime": self.runtime,
                "Init": False,  # whatever the engine's default: nothing but the pause may hold its input
                "AutoRemove": True,
            },
        }
        self.id = _created(self._api, self.endpoint, config, f"{self.name}-pause")
        # attached before it starts: from its first read on, its input ends with us
        self.held = self._held.enter_context(_attached(self._api, self.endpoint, self.id, stdin=1)).fileno()
        _asked(self.endpoint, "start the pause container", partial(self._api.start, self.id))
        self.pid = _pid(self._api, self.endpoint, self.id)
        if not is_process_of(self.pid, self.id):
            raise SourceError(
                f"the engine at {printable(self.endpoint)} runs its containers where this machine does not see their processes "
                "(a virtual machine, a container of its own): run sandscan where the engine runs"
            )
        self._handle = os.pidfd_open(self.pid)
        self._held.callback(os.close, self._handle)
        if not _is_ours(self.pid):
            raise SourceError(
                f"the engine's image {pause.REPOSITORY} holds another program than sandscan's; remove it with sandscan observe --clean"
            )
        self.processes = pid_namespace(self.pid)
        if self.processes == pid_namespace(os.getpid()):
            raise SourceError("the engine gave the pause container this machine's own processes; nothing is run in it")
        if self.namespace == Path("/proc/self/ns/net").stat().st_ino:
            raise SourceError("the engine gave the pause container this machine's own network; nothing is run in it")
        if _status(self.pid).get("Seccomp") != "2":
            raise SourceError("the engine runs containers without a seccomp filter; nothing is run without one")

    def filter(self, capabilities: Collection[str]) -> str:
        """The option that gives a container its seccomp profile: the profile itself, as Docker takes it, or the path of one, as Podman
        does. That one has no name on a disk, so that nothing is left of it."""
        text = profile(capabilities)
        told = ask(self.endpoint, self._api.version) or {}
        names = [str(one.get("Name")) for one in told.get("Components") or () if isinstance(one, dict)]
        if not any(name.startswith("Podman") for name in names):
            return f"seccomp={text}"
        file = self._held.enter_context(os.fdopen(os.memfd_create("seccomp.json"), "w"))
        file.write(text)
        file.flush()
        return f"seccomp=/proc/{os.getpid()}/fd/{file.fileno()}"

    def files(self) -> dict[bytes, str]:
        """What the engine mounts into a guest, by path there: `sha256:…` of what it wrote, as it stands now."""
        told = ask(self.endpoint, partial(self._api.inspect_container, self.id), self.id) or {}
        found = {}
        for key, path in _ENGINES_FILES.items():
            with suppress(OSError, TypeError):
                found[path] = f"sha256:{hashlib.sha256(Path(told[key]).read_bytes()).hexdigest()}"
        if not told.get("ResolvConfPath"):
            found[b"etc/resolv.conf"] = f"sha256:{hashlib.sha256(_RESOLV_CONF).hexdigest()}"
        return found

    @property
    def namespace(self) -> int:
        """The inode of its network namespace."""
        return Path(f"/proc/{self.pid}/ns/net").stat().st_ino

    @property
    def handle(self) -> int:
        """A pidfd of its process: readable once it is dead."""
        return self._handle

    def kill(self) -> None:
        """End every process in it, by the kernel alone: no engine is asked."""
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Remove it; may be called twice. What an engine that went away keeps, the next start removes."""
        self.kill()
        self._handle = -1
        if self.id:
            _removed(self._api, self.id)
            self.id = ""
        self._held.close()


class Guest(AbstractContextManager["Guest"]):
    """The observed container: created on entering, gone on leaving, with its volumes. `run` starts it and waits for its end.

    Raises SourceError where the engine does not make or start it.
    """

    def __init__(
        self, within: Pause, image: Mapping[str, Any], settings: Settings, limits: Limits, command: tuple[str, ...] = ()
    ) -> None:
        self._within = within
        self._api: Any = within.client.api
        self._endpoint = within.endpoint
        self._image = image
        self._settings = settings
        self._command = command or settings.command
        self._limits = limits
        self._held = ExitStack()
        self.name = f"{within.name}-guest"
        self.id = ""
        self.pid = 0
        self.upper: Path | None = None
        self.memory: dict[bytes, int] = {}
        """Its writable layer, as it was found while it ran: of a stopped container the containerd store does not tell it."""
        self.is_frozen = False

    def __enter__(self) -> "Guest":
        try:
            self.id = _created(self._api, self._endpoint, self._config(), self.name)
            self._name_the_resolver()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _config(self) -> dict[str, Any]:
        settings, limits = self._settings, self._limits
        label = {LABEL: owner()}
        volumes = self._volumes()
        options = [self._within.filter(settings.capabilities)]
        if settings.no_new_privileges:
            options.append("no-new-privileges")
        config: dict[str, Any] = {
            "Image": str(self._image["Id"]),
            "Labels": label,
            "AttachStdout": True,
            "AttachStderr": True,
            "Env": [f"{name}={value}" for name, value in settings.environment],
            "HostConfig": {
                "NetworkMode": f"container:{self._within.id}",
                "PidMode": f"container:{self._within.id}",
                "IpcMode": "private",
                "CapDrop": ["ALL"],
                "CapAdd": sorted(settings.capabilities),
                "SecurityOpt": options,
                "ReadonlyRootfs": settings.read_only,
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"},
                "Runtime": self._within.runtime,
                "NanoCpus": int(limits.cpus * 1e9),
                "Memory": limits.memory,
                "MemorySwap": limits.memory,
                "PidsLimit": limits.pids,
                "Ulimits": [
                    {"Name": "core", "Soft": 0, "Hard": 0},
                    {"Name": "fsize", "Soft": limits.disk, "Hard": limits.disk},
                ],
                "Mounts": [
                    *(
                        {
                            "Type": "tmpfs",
                            "Target": path,
                            "ReadOnly": read_only,
                            "TmpfsOptions": {"SizeBytes": limits.memory // 2, "Mode": 0o1777},
                        }
                        for path, read_only in settings.tmpfs
                    ),
                    # named as ours by a label, so that none is left behind: an anonymous one would have none
                    *({"Type": "volume", "Target": path, "VolumeOptions": {"Labels": label}} for path in volumes),
                ],
            },
        }
        if self._command is not None:
            config["Cmd"] = list(self._command)
        if settings.entrypoint is not None:
            config["Entrypoint"] = list(settings.entrypoint)
        if settings.working_dir is not None:
            config["WorkingDir"] = settings.working_dir
        if settings.user is not None:
            config["User"] = settings.user
        return config

    def _name_the_resolver(self) -> None:
        """Podman writes no resolv.conf for a container without a network, whatever its `Dns` says: the guest is given one as a file."""
        told = ask(self._endpoint, partial(self._api.inspect_container, self._within.id)) or {}
        if told.get("ResolvConfPath"):
            return
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            member = tarfile.TarInfo("etc/resolv.conf")
            member.size, member.mode = len(_RESOLV_CONF), 0o644
            tar.addfile(member, io.BytesIO(_RESOLV_CONF))
        put = partial(self._api.put_archive, self.id, "/", made.getvalue())
        _asked(self._endpoint, "give the guest its resolver's address", put)

    def _volumes(self) -> list[str]:
        """The paths of its volumes: the image's and the launch's. Raises SourceError where they are too many to be made."""
        declared = (self._image.get("Config") or {}).get("Volumes") or {}
        paths = dict.fromkeys(
            posixpath.normpath("/" + path.lstrip("/")) for path in (*declared, *self._settings.volumes)
        )
        if len(paths) > _VOLUMES:
            raise SourceError(f"the image declares {len(paths):,} volumes; no more than {_VOLUMES} are made")
        return [path for path in paths if path not in {hidden for hidden, _ in self._settings.tmpfs}]

    def run(self, watch: Callable[[Moment], str] = lambda _: "") -> Ended:
        """Start it and wait until it ends or has to be stopped. `watch` is called some times a second and may say why to stop.

        A guest that has to be stopped is frozen, not killed: what it holds can still be looked at. Raises SourceError.
        """
        output = Output(self._held.enter_context(_attached(self._api, self._endpoint, self.id, stdout=1, stderr=1)))
        self._held.callback(output.close)
        started = time.time()
        clock = time.monotonic()
        _asked(self._endpoint, "start the guest", partial(self._api.start, self.id))
        stopped, notes = "", []
        with ExitStack() as here:
            self.pid = _pid(self._api, self._endpoint, self.id)
            if self.pid and is_process_of(
                self.pid, self.id
            ):  # what is in memory goes with the guest, unless it is held
                points = [os.fsencode(path) for path, _ in self._settings.tmpfs]
                self.memory = hold(self.pid, [b"dev/shm", *points], self._held)
            found = find_container(self.id, here)
            self.upper = found.upper
            disk = Disk(self._places(found), self._limits.disk, self._within.processes)
            here.callback(disk.close)
            handle = self._verified(here) if self.pid else -1
            if found.upper is None and handle >= 0 and not readable(0, handle):
                notes.append(
                    "what the guest writes on disk cannot be measured here: each file is limited, and the disk's free space watched"
                )
            while handle >= 0 and not stopped:
                left = clock + self._limits.seconds - time.monotonic()
                over = readable(max(0.0, min(_TURN, left)), handle, self._within.handle, self._within.held)
                if handle in over:
                    break
                if self._within.handle in over:
                    stopped = "its pause container was ended by somebody else"
                elif over:
                    stopped = "the engine went away"
                elif left <= 0:
                    stopped = f"time limit of {self._limits.seconds:g} s"
                else:
                    stopped = disk.over or watch(Moment(left, output.total, disk.used))
        if stopped:
            self._freeze(notes)
        try:
            state = self._state(wait=not stopped)
        except SourceError as e:  # what was seen until now is worth telling all the same
            self._within.kill()
            notes.append(f"how the guest ended is not known: {e}")
            state, stopped = {}, stopped or "the engine went away"
        ended = time.time()
        if not stopped and state.get("OOMKilled") is True:
            stopped = f"memory limit of {self._limits.memory >> 20} MiB"
        output.settle(_TURN if self.is_frozen else 5 * _TURN)
        code = state.get("ExitCode")
        return Ended(
            started,
            ended,
            code if isinstance(code, int) and not stopped else None,
            stopped,
            bytes(output.kept),
            output.total - len(output.kept),
            tuple(notes),
        )

    def _verified(self, resources: ExitStack) -> int:
        """A pidfd of its first process, which is in the pause's namespaces and under a filter; -1 where it has ended already."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return -1
        resources.callback(os.close, handle)
        try:
            ours = is_process_of(self.pid, self.id)
            network = Path(f"/proc/{self.pid}/ns/net").stat().st_ino
            filtered = _status(self.pid).get("Seccomp")
        except OSError:
            return handle  # it has ended, or is about to: the pidfd says so
        if ours and (network != self._within.namespace or filtered != "2"):
            self._within.kill()
            raise SourceError(
                "the engine started the guest outside the sinkhole or without its seccomp filter; it was killed at once"
            )
        return handle if ours else -1

    def _places(self, found: EngineContainer) -> list[Path]:
        """What of the host's disk the guest writes to: its upper directory, its volumes, and the files the engine mounts into it."""
        places = [found.upper] if found.upper is not None else []
        places += (Path(m.source) for m in found.mounts if m.kind == "volume" and m.source.startswith("/"))
        stated = (found.inspected.get(key) for key in _ENGINES_FILES)
        return [*places, *(Path(path) for path in stated if isinstance(path, str) and path.startswith("/"))]

    def _freeze(self, notes: list[str]) -> None:
        import docker.errors
        import requests

        problem = ""
        for wait in _FREEZING:
            time.sleep(wait)
            try:
                self._api.pause(self.id)
            except docker.errors.APIError as e:
                if self._has_ended():
                    problem = ""  # by itself
                    break
                problem = f"the guest could not be frozen and was killed, its memory unseen: {printable(str(e))}"
                halt(self._within.processes, self._within.pid)
            except (docker.errors.DockerException, requests.RequestException, OSError) as e:
                problem = f"the engine went away before the guest was frozen; it was killed: {reason(e)}"
                break
            else:
                self.is_frozen = True
                return
        if problem:
            notes.append(problem)
        self._within.kill()

    def _has_ended(self) -> bool:
        try:
            return self._state(wait=False).get("Running") is not True
        except SourceError:
            return False

    def _state(self, *, wait: bool) -> Mapping[str, Any]:
        """What the engine says of its end, waited for where it has ended."""
        end = time.monotonic() + _GONE_SECONDS
        while True:
            told = ask(self._endpoint, partial(self._api.inspect_container, self.id)) or {}
            state: Mapping[str, Any] = told.get("State") or {}
            if not wait or state.get("Running") is not True:
                return state
            if time.monotonic() > end:
                raise SourceError(f"the engine at {printable(self._endpoint)} does not notice that the guest has ended")
            time.sleep(0.05)

    def close(self) -> None:
        """Kill and remove it with its volumes; may be called twice."""
        if self.id:
            _removed(self._api, self.id)
            self.id = ""
        self._held.close()


def runtime(info: Mapping[str, Any], endpoint: str) -> str:
    """The runtime to ask an engine for, by its /info: one that makes processes of this kernel and adds no device of its own accord, as
    those for GPUs do; "" where it is the default. Raises SourceError where there is none: in a kernel of its own, a guest is not seen.
    """
    default, others = info.get("DefaultRuntime") or "", info.get("Runtimes") or {}
    if default in ("", *RUNTIMES):
        return ""
    found = next((name for name in RUNTIMES if name in others), None)
    if found is None:
        raise SourceError(
            f"the engine at {printable(endpoint)} runs containers with {printable(str(default))}, whose guests cannot be seen from here; "
            f"give it {RUNTIMES[0]} as a runtime (dockerd --add-runtime)"
        )
    return found


def readable(seconds: float, *descriptors: int) -> frozenset[int]:
    """Those of the descriptors that can be read, or are at their end, waited for that long."""
    poll = select.poll()
    for one in descriptors:
        poll.register(one, select.POLLIN)
    return frozenset(fd for fd, _ in poll.poll(seconds * 1000))


def _pause_image(api: Any, endpoint: str) -> str:
    """The id of the pause image, imported where the engine does not have it yet."""
    machine = platform.machine()
    name, digest = f"{pause.REPOSITORY}:{_TAG}", pause.digest(machine)
    for attempt in range(2):
        found = ask(endpoint, partial(api.inspect_image, name)) or {}
        if ((found.get("Config") or {}).get("Labels") or {}).get(pause.LABEL) == digest:
            return str(found["Id"])
        if attempt == 0:
            changes = [f"LABEL {pause.LABEL}={digest}", f'ENTRYPOINT ["/{pause.PROGRAM}"]']
            load = partial(api.import_image_from_data, pause.tree(machine), pause.REPOSITORY, _TAG, changes=changes)
            _asked(endpoint, "import the pause image", load)
    raise SourceError(f"the engine at {printable(endpoint)} does not hold the pause image that was imported: {name}")


def _created(api: Any, endpoint: str, config: Mapping[str, Any], name: str) -> str:
    made = _asked(endpoint, f"make the container {name}", partial(api.create_container_from_config, config, name))
    identifier = made.get("Id") if isinstance(made, dict) else None
    if not isinstance(identifier, str) or not identifier:
        raise SourceError(f"the engine at {printable(endpoint)} answers in words that are not Docker's")
    return identifier


def _asked(endpoint: str, aim: str, request: Callable[[], Any]) -> Any:
    """The engine's answer to a request that changes something."""
    import docker.errors
    import requests

    try:
        return request()
    except docker.errors.NotFound as e:
        raise TargetError(
            f"the engine at {printable(endpoint)} does not {aim}: {printable(str(e.explanation or e))}"
        ) from e
    except docker.errors.APIError as e:
        said = printable(str(e.explanation or e), _WORDS)
        hint = ": name one after --" if "no command" in said.lower() else ""
        kind = TargetError if e.status_code == _BAD_REQUEST else SourceError
        raise kind(f"the engine at {printable(endpoint)} does not {aim}: {said}{hint}") from e
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as e:
        raise SourceError(f"the engine at {printable(endpoint)} went away while it was to {aim}: {reason(e)}") from e


def _attached(api: Any, endpoint: str, identifier: str, **streams: int) -> Attached:
    found = _asked(endpoint, "attach to a container", lambda: api.attach_socket(identifier, {"stream": 1, **streams}))
    return Attached(found)


def _is_ours(pid: int) -> bool:
    """Whether the process runs the pause program, whatever its image says of itself; waited for, as the engine's own runs before it."""
    program = pause.elf(platform.machine())
    end = time.monotonic() + _EXEC_SECONDS
    while time.monotonic() < end:
        try:
            with Path(f"/proc/{pid}/exe").open("rb") as file:
                if file.read(len(program) + 1) == program:
                    return True
        except OSError:
            return False
        time.sleep(0.005)
    return False


def _pid(api: Any, endpoint: str, identifier: str) -> int:
    """The host's number of a started container's first process; 0 where it has ended already."""
    told = ask(endpoint, partial(api.inspect_container, identifier), identifier) or {}
    pid = (told.get("State") or {}).get("Pid")
    return pid if isinstance(pid, int) and pid > 0 else 0


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _removed(api: Any, identifier: str) -> None:
    """Kill and remove a container with its volumes, and wait until it is gone. What an engine does not remove, the next start does."""
    import docker.errors
    import requests

    end = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < end:
        try:
            api.remove_container(identifier, v=True, force=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError:
            pass  # it is being removed already, or a process of it is not quite dead
        except (docker.errors.DockerException, requests.RequestException, OSError):
            return
        time.sleep(0.02)
