"""The environment of a service's containers: env_file, environment, models."""

from collections.abc import Mapping
from pathlib import Path

from scanner.launch.composing.dotenv import Variable, read_dotenv, read_raw
from scanner.launch.composing.files import OutsideError
from scanner.launch.composing.project import COMPOSE, Project, fields, is_true, items
from scanner.launch.composing.shorts import texts
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model import Level, printable
from scanner.model.launch import Place, Said

MODEL_RUNNER = "http://model-runner.docker.internal/engines/v1/"
"""Where containers find the model runner, a service of the host."""


def service_environment(project: Project, service: Tree) -> tuple[tuple[str, Said[str | None]], ...]:
    """`env_file` first, then `environment`. A name alone takes the environment's value, or waits for whoever launches it."""
    found: dict[str, Said[str | None]] = {}
    known: dict[str, str] = {}
    for file in items(service, "env_file"):
        for name, variable in _env_file(project, file, known).items():
            found[name] = _variable(variable.value, variable.unknown, variable.place)
            if variable.value is not None and not variable.unknown:
                known[name] = variable.value
    environment = service.get("environment")
    for name, value in texts(environment).items() if environment is not None else ():
        text: str | None = value.string()
        if value.is_null:
            text = project.lookup(name)
        found[name] = _variable(text, value.unknown, value.place)
    for name, how in fields(service, "models"):
        for suffix, key, value_of in (("URL", "endpoint_var", MODEL_RUNNER), ("MODEL", "model_var", None)):
            given = how.get(key) if how.fields is not None else None
            variable_name = given.string() if given is not None else f"{name.upper().replace('-', '_')}_{suffix}"
            found.setdefault(variable_name, Said(value_of, how.place))
        project.session.warn(
            f"{how.place}: the model {shown(name)} is served by the engine's model runner, a service of the host",
            Level.NOTE,
        )
    if is_true(service.get("use_api_socket")):
        found.setdefault("DOCKER_CONFIG", Said("/run/secrets/docker", COMPOSE))
    project.session.budget.spend(len(found), service.place)
    return tuple(found.items())


def _variable(text: str | None, unknown: tuple[str, ...], place: Place) -> Said[str | None]:
    """A value that is nothing but one unset variable is not known; one that has it in it keeps it as written."""
    if len(unknown) == 1 and text == f"${{{unknown[0]}}}":
        text = None
    return Said(text, place)


def _env_file(project: Project, file: Tree, known: Mapping[str, str]) -> Mapping[str, Variable]:
    path = file.get("path") if file.fields is not None else file
    if path is None:
        raise broken(file, "env_file names no path")
    required = file.get("required") if file.fields is not None else None
    session = project.session

    def lookup(name: str) -> str | None:
        return known[name] if name in known else project.lookup(name)

    text = None
    why = "does not exist"
    if path.unknown:
        why = f"hangs on the variable {path.unknown[0]}, which is not set"
    elif not path.string().startswith("/"):
        why = "lies in no folder that is known"
    else:
        try:
            text = session.text(Path(path.string()))
        except OutsideError:
            why = "lies outside the project's folder"
    if text is None:
        if required is None or required.flag() is not False or why != "does not exist":
            name = session.folder.name(Path(path.string()))
            session.warn(
                f"{path.place}: the env_file {printable(name)} {why}; the environment that it sets is not known"
            )
        return {}
    name = session.folder.name(Path(path.string()))
    form = file.get("format") if file.fields is not None else None
    if form is not None and form.string() not in ("raw", ""):
        raise broken(form, f"{shown(form.string())} is no format of an env_file")
    return read_raw(text, name) if form is not None else read_dotenv(text, name, lookup)
