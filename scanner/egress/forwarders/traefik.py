"""Traefik: hands on to the containers it finds by their labels, and to the servers of its files.

Source: Traefik's documentation of its providers (docker, file) and of services.
"""

from dataclasses import replace

from scanner.egress.forwarders import yamltree
from scanner.egress.forwarders.plugin import Forwarder, Program, Run, target
from scanner.model.egress import Permit
from scanner.model.launch import Missing, Place

_OPT_IN = ("--providers.docker.exposedbydefault", "--providers.swarm.exposedbydefault")


def read(run: Run) -> Forwarder | None:
    listens: list[tuple[str, int]] = []
    permits: list[Permit] = []
    unclear: list[str] = []
    place: Place | None = None
    lower = [w.lower() for w in run.words]
    variables = [key.lower() for key, _ in run.container.environment]
    finds = any(w.startswith(("--providers.docker", "--providers.swarm")) for w in lower) or any(
        v.startswith("traefik_providers_docker") for v in variables
    )
    opt_in = any(w.replace("=", " ").split() == [option, "false"] for w in lower for option in _OPT_IN) or any(
        key.lower().startswith("traefik_providers_")
        and key.lower().endswith("_exposedbydefault")
        and said.value == "false"
        for key, said in run.container.environment
    )
    for word in lower:
        if word.startswith("--entrypoints.") and ".address=" in word:
            port = word.rpartition(":")[2].partition("/")[0]
            listens += [("tcp", int(port))] if port.isdigit() and len(port) < 6 else []
    texts = [
        t
        for path in (
            "/etc/traefik/traefik.yml",
            "/etc/traefik/traefik.yaml",
            "/traefik.yml",
            "/etc/traefik/traefik.toml",
        )
        if (t := run.file(path)) is not None
    ]
    for word in run.words:
        key, _, value = word.partition("=")
        if key.lower() == "--providers.file.filename":
            found = run.file(value)
            texts += [found] if found is not None else []
            unclear += [] if found is not None else [f"{value} is not among the mounted files"]
        elif key.lower() == "--providers.file.directory":
            inside = run.files_in(value)
            texts += inside
            unclear += [] if inside else [f"{value} cannot be read"]
    folders: set[str] = set()
    for text in texts:
        if text.mount.target.endswith(".toml"):
            unclear.append(f"{text.file} is TOML, which is not read")
            continue
        root = yamltree.load(text.text, text.file)
        finds = finds or yamltree.get(root, "providers", "docker") is not None
        said_default = yamltree.text(yamltree.get(root, "providers", "docker", "exposedByDefault"))
        opt_in = opt_in or (said_default or "").lower() == "false"
        for key in ("filename", "directory"):
            said = yamltree.text(yamltree.get(root, "providers", "file", key))
            if said is not None and said not in folders:
                folders.add(said)
                inside = run.files_in(said) if key == "directory" else [t] if (t := run.file(said)) else []
                texts += [t for t in inside if t not in texts]
                unclear += [] if inside else [f"{said} cannot be read"]
        for entry in yamltree.every(yamltree.get(root, "entryPoints"), "address"):
            port = (yamltree.text(entry) or "").rpartition(":")[2].partition("/")[0]
            listens += [("tcp", int(port))] if port.isdigit() and len(port) < 6 else []
        for key in ("url", "address"):
            for services in yamltree.every(root, "services"):
                for server in yamltree.every(services, key):
                    one = target(yamltree.text(server) or "")
                    place = place or Place(text.file, yamltree.line(server))
                    if one is None:
                        unclear.append(f"where {yamltree.text(server)} leads cannot be read")
                    else:
                        permits.append(one)
    if not (finds or texts or unclear):
        return run.nothing("traefik without a provider hands nothing on", listens=listens)
    words = (
        "traefik hands on to the containers it finds by their labels" if finds else "traefik hands on to fixed places"
    )
    missing = (Missing(f"allows.{run.container.name}", f"{words}; {unclear[0]}", run.origin),) if unclear else ()
    made = run.relay(permits, words, place, listens=listens, unclear=unclear[0] if unclear else "")
    return replace(made, kind="relay", siblings=finds, opt_in=finds and opt_in, missing=missing)


PLUGIN = Program(
    "traefik", images=("traefik",), commands=("traefik",), read=read, official=("traefik",), entrypoint=("traefik",)
)
