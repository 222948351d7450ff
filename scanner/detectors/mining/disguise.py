"""How a file hides: a kernel thread's name, a dot directory, a place for temporary files, an owner that is nobody."""

import re

from scanner.detectors.mining.families import KERNEL_THREADS, named_honestly
from scanner.model import State
from scanner.oci.view import ImageView, Sighting

_TEMPORARY = re.compile(rb"^(?:tmp|var/tmp|dev/shm|run/shm|var/run|run/lock|dev)/")
_HIDDEN = re.compile(rb"(?:^|/)\.(?!\.?/)[^/]+")
_HOME = re.compile(rb"^(?:root|home/[^/]+|var/lib/[^/]+|workspaces?|app|src|srv)/")
_USUAL = re.compile(
    rb"(?:^|/)\.(?:git|github|venv|virtualenv|tox|nox|build-id|dpkg|next|nuxt|pnpm|bin|yarn|dylibs|libs)(?=/)"
)
_USUAL_AT_HOME = re.compile(
    rb"(?:^|/)\.(?:cache|config|local|npm|cargo|rustup|go|m2|gradle|nvm|pyenv|rbenv|sdkman|vscode[^/]*|cursor[^/]*|wine|bun|deno|"
    rb"uv|conda[^/]*|ipython|jupyter|mozilla|docker|dotnet|nuget|oh-my-zsh|pub-cache|android|ivy2|sbt|stack|cabal|ghcup|opam)(?=/)"
)


_SYSTEM = re.compile(rb"^(?:usr/)?(?:s?bin|lib(?:32|64|x32|exec)?|games)/|^(?:boot|etc)/")


def reasons(sighting: Sighting, family: str | None) -> list[str]:
    """Why the file looks hidden, as clauses; empty for a file that stands where its like stands."""
    path = sighting.evidence.path
    inner = [i for i in sighting.evidence.inner if i != b"(unpacked)"]
    name = (inner[-1] if inner else path).rsplit(b"/", 1)[-1]
    found = []
    if KERNEL_THREADS.match(name):
        found.append("has a kernel thread's or a worm's name")
    usual = _USUAL.sub(b"", path)
    if _HOME.match(path):
        usual = _USUAL_AT_HOME.sub(b"", usual)
    if _HIDDEN.search(usual):
        found.append("lies hidden behind a dot")
    if _TEMPORARY.match(path):
        found.append("lies among temporary or device files")
    if family and not named_honestly(name, family):
        found.append(f"is not named {family}")
    if sighting.state is State.DELETED:
        found.append("was deleted by a later layer")
    return found


def planted(sighting: Sighting, view: ImageView) -> bool:
    """Whether the file stands among a distribution's own programs and libraries although no package owns it."""
    path = sighting.evidence.path
    return view.has_packages and _SYSTEM.match(path) is not None and view.owner(path) is None
