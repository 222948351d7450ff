"""The docs are true: their commands run and end as they say, what they show is printed, their links lead somewhere, no page is stale.

What stands before a fenced block, as an HTML comment, says what the block is:

- `<!-- file NAME -->`: it is written to that file, for the blocks after it
- `<!-- exit N -->`: its last command ends so (else 0); all before it end with 0
- `<!-- needs WHAT -->`: it is not run here, for it needs a network, or an engine (where there is one, it is). NOT_RUN lists them all
- `<!-- workflow -->`: a GitHub workflow

The blocks of a page run in their order, in a folder of its own that holds what a clone holds. `sh` is commands alone; `console` is
commands behind `$ ` and what they print, where `[…]` at the end of a line stands for the rest of it and, alone, for any lines.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures import elf
from fixtures.image import Step, archive
from fixtures.tarball import Member
from scanner.cli.configured import keys
from scanner.cli.main import command
from scanner.settings import parse
from scanner.settings.ignoring import KEYS as ENTRY_KEYS
from tests import host_image
from tests.engine_fixture import Engine, missing
from tests.forking import Forking

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
WRITTEN = (*PAGES, ROOT / ".github/CONTRIBUTING.md", ROOT / ".github/action/README.md")
"""Those that somebody wrote; the pages of rules are made, and hold no commands."""
ALL = (*WRITTEN, *sorted((DOCS / "rules").rglob("*.md")))

CLONED = ("scanner", "rules", "fixtures", "docs", "README.md", "action.yml", ".pre-commit-hooks.yaml")
"""What of a clone the commands may find."""

NOT_RUN: Mapping[tuple[str, str], str] = {
    ("README.md", "bash .ci/setup --no-dev && .venv/bin/sandscan scan archive:fixtures/rome-replay.tar"): "a network",
    ("README.md", "bash .ci/test"): "a network",
    ("README.md", "from scanner import diff, live, observe"): "an engine",
    ("docs/start-terminal.md", "pipx install sandscan"): "a network",
    ("docs/start-terminal.md", "sandscan scan agent:latest"): "an engine",
    ("docs/start-terminal.md", "docker save agent:latest"): "an engine",
    ("docs/start-run.md", "sandscan diff container:agent"): "an engine",
    ("docs/start-run.md", "sudo sandscan live agent"): "an engine",
    ("docs/start-run.md", "sudo sandscan observe agent:latest"): "an engine",
}
"""Page, how the block begins, and what it needs. Whoever adds a line here takes a promise away from the reader."""

EXPIRES = "2027-06-30"
"""The end of the entries in the docs, which one day has passed."""
SOON = (datetime.now(UTC).date() + timedelta(days=200)).isoformat()


def built() -> bytes:
    """The image that docs/verdicts.md traces, as BuildKit saves one."""
    client = elf.build(elf.Program(needed=("libc.so.6",), imports=("socket",)))
    forward = b"Host relay\n    RemoteForward 8022 127.0.0.1:22\n"
    steps = (
        Step("/bin/sh -c #(nop) ADD file:9f2c in / ", (Member("usr/bin/ssh", client, 0o755),)),
        Step('/bin/sh -c #(nop)  CMD ["bash"]'),
        Step(
            "COPY ssh_config /etc/ssh/ssh_config # buildkit",
            (Member("etc/ssh/ssh_config", forward),),
            comment="buildkit.dockerfile.v0",
        ),
        Step(
            "RUN /bin/sh -c mkdir /root/.ssh && echo 'StrictHostKeyChecking no' > /root/.ssh/config # buildkit",
            (Member("root/.ssh/config", b"StrictHostKeyChecking no\n"),),
            comment="buildkit.dockerfile.v0",
        ),
    )
    return archive(steps, {"Cmd": ["bash"]}, "agent:1")


GIVEN: Mapping[str, Mapping[str, str | Callable[[], bytes]]] = {
    "docs/verdicts.md": {"agent.tar": built},
    "README.md": {
        "app.tar": "fixtures/rome-replay.tar",
        "compose.yaml": "fixtures/rome-launch/compose.yaml",
        "tinyproxy.conf": "fixtures/rome-launch/tinyproxy.conf",
        "allowed": "fixtures/rome-launch/allowed",
    },
}
"""Files that a page takes as the reader's own, and what stands in for them."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, and what the comments before it say."""

    page: Path
    line: int
    language: str
    text: str
    says: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def needs(self) -> str | None:
        """What it takes that is not here: what its page says, or for the README, which has no room to say it, NOT_RUN."""
        name = str(self.page.relative_to(ROOT))
        listed = (what for (page, begin), what in NOT_RUN.items() if page == name and self.text.startswith(begin))
        return self.says.get("needs") or next(listed, None)


_FENCE = re.compile(
    r"(?P<comments>(?:^ *<!--[^\n]*-->\n)*)^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        says = dict(re.findall(r"<!-- (\w+) ?(.*?) -->", fence["comments"]))
        indent = fence["indent"]
        body = "".join(line.removeprefix(indent) for line in fence["text"].splitlines(keepends=True))
        found.append(Block(page, text.count("\n", 0, fence.start("text")), fence["language"], body, says))
    return tuple(found)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command with what the page shows that it prints; "" where it shows nothing."""
    if block.language == "sh":
        for command in block.text.replace("\\\n", " ").splitlines():
            if command.strip() and not command.startswith("#"):
                yield command, ""
        return
    assert block.text.startswith("$ "), f"{block.place}: a console block begins with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


# ---- running a page


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as running:
        yield running


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all pages."""
    return tmp_path_factory.mktemp("cache")


class Reader:
    """Somebody who does what a page says, in a clone."""

    def __init__(self, page: Path, folder: Path, cache: Path, forking: Forking, **environment: str) -> None:
        self.page, self.folder, self._forking = page, folder, forking
        folder.mkdir()
        for name in CLONED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, folder / name)
        for name, source in GIVEN.get(str(page.relative_to(ROOT)), {}).items():
            data = (ROOT / source).read_bytes() if isinstance(source, str) else source()
            (folder / name).write_bytes(data)
        programs = folder.parent / "programs"
        programs.mkdir()
        script = programs / "sandscan"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m scanner.cli "$@"\n')
        script.chmod(0o755)
        changes = any(b.says.get("file", "").startswith("scanner/") for b in blocks(page))
        self._forks = not changes  # what a page adds to the code is in its own clone alone
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder if changes else ROOT),
            "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
            "HOME": str(folder.parent),
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "SANDSCAN_CACHE_DIR": str(cache),
            "GIT_CONFIG_NOSYSTEM": "1",
            **environment,
        }

    def run(self, command: str) -> tuple[int, str]:
        """The exit code and what was printed on either stream. A plain call of sandscan is forked, all else is a shell's."""
        command = command.removeprefix("sudo ")  # where root is needed, who runs the tests is root
        if self._forks and command.startswith("sandscan ") and not re.search(r"[|<>&;$`*]", command):
            return self._forking.run(shlex.split(command)[1:], self.folder, self._environment)
        return self._done(("bash", "-o", "pipefail", "-c", command))

    def python(self, text: str) -> tuple[int, str]:
        return self._done((sys.executable, "-P", "-c", text))

    def _done(self, command: tuple[str, ...]) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def does(self, block: Block) -> None:
        if block.says.get("file"):
            path = self.folder / block.says["file"]
            assert path.resolve().is_relative_to(self.folder.resolve())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace(EXPIRES, SOON))
        elif block.language in ("sh", "console"):
            wanted = list(commands(block))
            for number, (command, shown) in enumerate(wanted):
                code, printed = self.run(command)
                due = int(block.says.get("exit", 0)) if number == len(wanted) - 1 else 0
                assert code == due, f"{block.place}: {command} ends with {code}, not {due}, and prints\n{printed}"
                holds(block, command, shown, printed)
        elif block.language == "python":
            code, printed = self.python(block.text)
            assert code == int(block.says.get("exit", 0)), f"{block.place}: ends with {code} and prints\n{printed}"


def holds(block: Block, command: str, shown: str, printed: str) -> None:
    """What the page shows is printed, in its order; times aside."""
    printed, at = steady(printed), 0
    parts = re.split(r"^\[…\]\n|\[…\]$", steady(shown), flags=re.MULTILINE)
    for number, part in enumerate(parts):
        found = printed.find(part, at)
        assert found >= 0, f"{block.place}: {command} does not print\n{part}\nbut\n{printed[at:]}"
        assert number or not part or not found, f"{block.place}: {command} prints before it\n{printed[:found]}"
        at = found + len(part)
    assert parts == [""] or not parts[-1] or at == len(printed), (
        f"{block.place}: {command} prints behind it\n{printed[at:]}"
    )


def steady(text: str) -> str:
    return re.sub(r"read\s+in\s+[\d.]+\s+s", "read in 0.0 s", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_is_so(page: Path, tmp_path: Path, kept: Path, forking: Forking) -> None:
    reader = Reader(page, tmp_path / "clone", kept, forking)
    for block in blocks(page):
        if block.needs is None:
            reader.does(block)


def test_few_commands_are_not_run_and_each_is_listed() -> None:
    skipped = {
        (str(page.relative_to(ROOT)), begin): block.needs
        for page in PAGES
        for block in blocks(page)
        if block.needs is not None
        for begin in [next((k[1] for k in NOT_RUN if block.text.startswith(k[1])), block.text.splitlines()[0])]
    }
    assert skipped == NOT_RUN
    run = sum(block.language in ("sh", "console", "python") for page in PAGES for block in blocks(page)) - len(skipped)
    assert len(skipped) * 2 < run


def test_a_command_is_run_as_a_process_of_its_own(tmp_path: Path, kept: Path, forking: Forking) -> None:
    """The fork is what the real command is: the same words, the same end."""
    reader = Reader(DOCS / "README.md", tmp_path / "clone", kept, forking)
    command = "sandscan scan archive:fixtures/rome-replay.tar --fail-on high"
    forked, real = reader.run(command), reader.run(f"{command} ;")
    assert (forked[0], steady(forked[1])) == (real[0], steady(real[1]))
    assert forked[0] == 1


# ---- with an engine

AT_ENGINE = "an engine"


@pytest.fixture(scope="module")
def launched(engine: Engine) -> Iterator[Engine]:
    """The engine with what the docs take as the reader's own: an image `agent:latest`, and a container `agent` of it."""
    data = host_image.tree(("sh", "sleep"), python=False)
    engine.client.api.import_image_from_data(data, "agent", "latest", changes=['CMD ["sleep", "600"]'])
    one = engine.client.containers.run("agent:latest", name="agent", detach=True, network_mode="none")
    try:
        yield engine
    finally:
        one.remove(force=True)
        engine.client.images.remove("agent:latest", force=True)


@pytest.mark.engine
def test_what_needs_an_engine_is_so_at_one(launched: Engine, tmp_path: Path, kept: Path, forking: Forking) -> None:
    if os.geteuid() != 0:
        missing("root, to look into containers and to observe")
    for page in PAGES:
        mine = [block for block in blocks(page) if block.needs == AT_ENGINE and block.language == "sh"]
        if mine:
            (tmp_path / page.stem).mkdir()
            reader = Reader(page, tmp_path / page.stem / "clone", kept, forking, DOCKER_HOST=launched.host)
            for block in mine:
                if "docker save" in block.text and shutil.which("docker") is None:
                    continue  # the engine's own client is not part of it
                reader.does(block)


# ---- what is no command


def test_blocks_say_what_they_are() -> None:
    languages = {"sh", "console", "python", "yaml", "toml", "json", "text", "yara"}
    for page in ALL:
        for block in blocks(page):
            assert block.language in languages, block.place
            assert block.says.keys() <= {"file", "exit", "needs", "workflow"}, block.place


def test_what_is_written_in_a_language_is_of_it() -> None:
    for page in ALL:
        for block in blocks(page):
            if block.language == "yaml":
                assert isinstance(yaml.safe_load(block.text), dict), block.place
            elif block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "python":
                compile(block.text, block.place, "exec")


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_configurations_are_loaded_without_an_objection(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        is_whole = block.says.get("file") == ".sandscan.yaml"
        if block.language == "yaml" and (is_whole or block.text.startswith("ignore:")):
            settings = parse(block.text, block.place, tmp_path, keys(command), toml=False, found=True)
            assert settings.ignores, block.place


def test_the_hooks_of_the_docs_are_there() -> None:
    there = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    [config] = [b for b in blocks(DOCS / "checking.md") if b.says.get("file") == ".pre-commit-config.yaml"]
    named = {hook["id"] for repo in yaml.safe_load(config.text)["repos"] for hook in repo["hooks"]}
    assert named <= there
    assert there == set(re.findall(r"`(sandscan-check[\w-]*)`", (DOCS / "checking.md").read_text()))


def test_the_keys_of_an_entry_are_all_told() -> None:
    section = (DOCS / "configuration.md").read_text().partition("## Ignoring findings\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == ENTRY_KEYS


@pytest.mark.parametrize(
    "block", [b for page in ALL for b in blocks(page) if "workflow" in b.says], ids=lambda b: b.place
)
def test_workflows_are_sound(block: Block, tmp_path: Path) -> None:
    """GitHub's schema and zizmor have no objection; `COMMIT` is for the reader to fill in."""
    file = tmp_path / ".github" / "workflows" / "docs.yml"
    file.parent.mkdir(parents=True)
    file.write_text(block.text.replace("@COMMIT # the release's tag", f"@{'0' * 40} # v0.1.0"))
    programs = Path(sys.executable).parent
    for checker in (
        (programs / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", file),
        (programs / "zizmor", "--offline", "--no-progress", "--persona", "pedantic", file),
    ):
        done = subprocess.run(checker, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.place}:\n{done.stdout}{done.stderr}"


# ---- links


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def prose(page: Path) -> str:
    """The page without its blocks and its code."""
    return re.sub(r"`[^`\n]*`", "``", _FENCE.sub("", page.read_text()))


@cache
def anchors(page: Path) -> frozenset[str]:
    text = _FENCE.sub("", page.read_text())
    return frozenset(slug(heading) for heading in re.findall(r"^#{1,6} (.*)$", text, re.MULTILINE))


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link that leads to a file: as it is written, the file, the anchor."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            yield target, ((page.parent / name).resolve() if name else page), anchor


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for written, file, anchor in links(page):
        assert file.exists(), f"{page.relative_to(ROOT)}: {written} leads nowhere"
        if anchor:
            assert anchor in anchors(file), f"{page.relative_to(ROOT)}: {written}: {file.name} has no such heading"


def test_every_page_is_reached_from_the_index() -> None:
    reached, ways = set(), [DOCS / "README.md"]
    while ways:
        page = ways.pop()
        if page not in reached:
            reached.add(page)
            ways += [file for _, file, _ in links(page) if file.suffix == ".md" and file.is_relative_to(DOCS)]
    assert set(DOCS.rglob("*.md")) - reached == set()


# ---- pages that are made


@pytest.fixture(scope="module")
def build() -> Any:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_no_page_is_stale() -> None:
    """In a process of its own, where no garbage of other tests is looked through a hundred times."""
    done = subprocess.run((sys.executable, DOCS / "build.py", "--check"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rule_has_an_example_and_says_what_changes_its_severity(build: Any) -> None:
    notes = tomllib.loads((DOCS / "rules.toml").read_text())
    for rule in build.every(build.load()):
        note = notes.get(rule.id)
        assert note is not None, f"docs/rules.toml says nothing of {rule.id}"
        assert note["weighs"].endswith("."), rule.id
        # what takes a process or a packet to show is told in words
        words = rule.id.startswith(("live/", "observed/")) or rule.id == "drift/file-capability"
        assert words == ("seen" in note), rule.id
        assert words == ("hit" not in note), rule.id


def test_the_check_names_a_stale_page_and_one_of_a_rule_that_is_gone(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "docs"
    for name, text in (
        ("rules/a/b.md", "# a/b\n"),
        ("rules/gone/x.md", "# x\n"),
        ("page.md", "<!-- table t -->\n<!-- end -->\n"),
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    monkeypatch.setattr(build, "HERE", here)
    monkeypatch.setattr(build, "pages", lambda: {"rules/a/b.md": "# a/b, as it is now\n"})
    monkeypatch.setattr(build, "tables", lambda: {"t": lambda: "| a |"})

    assert build.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert [one for one in ("rules/a/b.md", "rules/gone/x.md", "page.md") if f"docs/{one} is not" in said] == [
        "rules/a/b.md",
        "rules/gone/x.md",
        "page.md",
    ]
    assert build.main([]) == 0
    assert (here / "page.md").read_text() == "<!-- table t -->\n| a |\n<!-- end -->\n"
    assert not (here / "rules/gone/x.md").exists()
    assert build.main(["--check"]) == 0


def test_a_table_that_there_is_not_is_an_error(build: Any) -> None:
    with pytest.raises(ValueError, match="there is no table none"):
        build.filled("<!-- table none -->\n<!-- end -->\n")


def test_an_example_that_is_none_is_an_error(build: Any) -> None:
    [rule] = [rule for rule in build.every(build.load()) if rule.id == "ssh/gateway-ports"]
    note = tomllib.loads((DOCS / "rules.toml").read_text())[rule.id]
    with pytest.raises(ValueError, match="the example gives no finding"):
        list(build._examples(rule, {**note, "hit": note["miss"]}))
    with pytest.raises(ValueError, match="the near miss gives"):
        list(build._examples(rule, {**note, "miss": note["hit"]}))
    with pytest.raises(ValueError, match="outside of what the page says"):
        list(build._examples(rule, {**note, "least": "high", "hit": note["hit"], "cmd": ()}))
    with pytest.raises(ValueError, match="is less than critical"):
        build._bounds(rule, {**note, "least": "critical"})
