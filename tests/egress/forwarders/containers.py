"""Containers for tests of what their software passes on."""

from collections.abc import Mapping, Sequence

from scanner.model.launch import Confinement, Container, Mount, MountKind, Place, Said

PLACE = Place("compose.yaml", 7, 5)


def container(
    image: str,
    command: str | Sequence[str] | None = None,
    files: Mapping[str, str] | None = None,
    env: Mapping[str, str | None] | None = None,
    entrypoint: str | Sequence[str] | None = None,
    folders: Sequence[str] = (),
) -> Container:
    """One named `px`. `files`: path in the container → text; `folders`: mounted folders whose content is not known."""

    def said(words: str | Sequence[str] | None) -> tuple[Said[str], ...] | None:
        if words is None:
            return None
        return tuple(Said(w, PLACE) for w in (words.split() if isinstance(words, str) else words))

    mounts = tuple(
        Mount(MountKind.BIND, f"/project{path}", path, True, PLACE, text, path.rpartition("/")[2])
        for path, text in (files or {}).items()
    ) + tuple(Mount(MountKind.BIND, f"/project{f}", f, True, PLACE) for f in folders)
    return Container(
        "px",
        "service",
        PLACE,
        Said("networks", PLACE),
        image=Said(image, PLACE),
        command=said(command),
        entrypoint=said(entrypoint),
        environment=tuple((key, Said(value, PLACE)) for key, value in (env or {}).items()),
        confinement=Confinement(mounts=mounts),
    )
