"""docker-socket-proxy: an engine's API less what its environment does not switch on.

Sources: the README and defaults of Tecnativa/docker-socket-proxy (read-only sections by default; POST=0 refuses every method
that changes something), of linuxserver's and wollomatic's images.
"""

from scanner.egress.forwarders.plugin import ENGINE, Forwarder, Program, Run
from scanner.model.egress import Permit

LISTENS = (("tcp", 2375),)
_OFF = ("0", "", "false", "no")
_SECTIONS = (
    "AUTH BUILD COMMIT CONFIGS CONTAINERS DISTRIBUTION EXEC IMAGES INFO NETWORKS NODES PLUGINS SECRETS SERVICES SESSION "
    "SWARM SYSTEM TASKS VOLUMES GRPC"
).split()
_STARTS = ("ALLOW_START", "ALLOW_STOP", "ALLOW_RESTARTS")


def read(run: Run) -> Forwarder | None:
    if run.arguments is not None and run.program != "docker-socket-proxy":
        return None
    on = [s for s in (*_SECTIONS, "POST", *_STARTS) if (run.env(s) or "0").lower() not in _OFF]
    unset = [k for k, said in run.container.environment if k in (*_SECTIONS, "POST") and said.value is None]
    origin = run.env_origin("POST" if "POST" in on else on[0] if on else "POST")
    if unset:
        return run.untold(
            f"{unset[0]} comes from outside of the launch", ENGINE, kind="engine", listens=LISTENS, resolves=False
        )
    if run.container.image is not None and "wollomatic" in run.container.image.value:
        return run.untold(
            "its allow-list is written as expressions", ENGINE, kind="engine", listens=LISTENS, resolves=False
        )
    if "POST" in on:
        # Creating a container, or a service, with the host's folders is the host; so is building with its network.
        takes = [s for s in ("CONTAINERS", "SERVICES", "EXEC", "BUILD", "PLUGINS", "SWARM", "GRPC") if s in on]
        if takes:
            words = f"it passes requests that change things (POST=1) on {' and '.join(t.lower() for t in takes)}"
            return run.result("engine", ENGINE, words, origin, listens=LISTENS)
    shown = [s.lower() for s in on if s != "POST"]
    words = f"it passes on only {', '.join(['_ping', 'version', 'events', *shown])}"
    part = "engine: " + ("reading " if "POST" not in on else "") + ", ".join(["version", "events", *shown])
    return run.result("engine", (Permit((part,)),), words, origin, listens=LISTENS)


PLUGIN = Program(
    "docker-socket-proxy",
    images=("docker-socket-proxy", "socket-proxy"),
    commands=("docker-socket-proxy",),
    read=read,
    official=("tecnativa/docker-socket-proxy", "linuxserver/socket-proxy"),
)
