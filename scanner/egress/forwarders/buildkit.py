"""BuildKit and Podman as services: whoever reaches them runs commands of his own in containers.

Sources: the README of moby/buildkit (`--addr`), podman-system-service(1).
"""

import re

from scanner.egress.forwarders.plugin import ENGINE, EVERYWHERE, Forwarder, Program, Run


def read(run: Run) -> Forwarder | None:
    if run.program == "buildkit" and "podman" not in (run.container.image.value if run.container.image else ""):
        addresses = run.options("--addr")
        listens = [("tcp", int(m[1])) for a in addresses if (m := re.search(r"^tcp://.*:(\d{1,5})$", a))]
        sockets = [a.removeprefix("unix://") for a in addresses if a.startswith("unix://")]
        if not listens:
            sockets = sockets or ["/run/buildkit/buildkitd.sock"]
            return run.result(
                "relay",
                EVERYWHERE,
                "buildkit runs builds for who reaches its socket",
                unix_sockets=sockets,
                resolves=True,
            )
        if run.option("--tlscacert"):
            return run.untold("it asks for a client's certificate", EVERYWHERE, kind="relay", listens=listens)
        words = "buildkit runs anybody's builds, which reach what it reaches"
        return run.result("relay", EVERYWHERE, words, listens=listens, unix_sockets=sockets, resolves=True)
    if "service" not in run.words:
        return None
    address = next((w for w in run.words if w.startswith(("tcp:", "unix:"))), "")
    found = re.search(r":(\d{1,5})/?$", address)
    if address.startswith("tcp:") and found:
        return run.result(
            "engine", ENGINE, f"podman takes orders from anybody on {address}", listens=[("tcp", int(found[1]))]
        )
    return run.result(
        "engine",
        ENGINE,
        "podman listens on a socket",
        unix_sockets=[address.removeprefix("unix://") or "/run/podman/podman.sock"],
    )


PLUGIN = Program(
    "buildkit", images=("buildkit",), commands=("buildkitd", "podman"), read=read, entrypoint=("buildkitd",)
)
