"""From an archive and a repository to the line: content, provenance, history, configuration, and what is said where none is known."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.image import CONFIG, LAYER, MANIFEST, Step, archive, document, layer
from fixtures.tarball import Member, directory, tar
from scanner import scan
from scanner.errors import LimitError, ParseError, UsageError
from scanner.model import Finding, Report, SourceLine, Traced
from scanner.tracing import TraceOptions, opened
from scanner.tracing.repository import Repository
from tests.engine_fixture import RegistryServer
from tests.tracing.builds import write
from tests.tracing.table import CRON, TUNNEL, key, keys

BASE = Step("", (Member("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),), comment="Imported from -")


def planted(name: str, content: str | None = None) -> Member:
    return Member(keys(name), (content or f"{key(name)}\n").encode())


def saved(folder: Path, *steps: Step, config: Mapping[str, object] | None = None) -> str:
    file = folder / "app.tar"
    file.write_bytes(archive(steps, config or {}, "team/app:1"))
    return f"archive:{file}"


def at(report: Report, place: str) -> Finding:
    [found] = [f for f in report.findings if f.locations[0].display.partition(b"[")[0] == place.encode()]
    return found


def notes(report: Report) -> list[str]:
    return [n.message for n in report.notifications if n.stage == "tracing"]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    write(made, {".git/HEAD": "ref"})
    return made


def test_a_finding_names_the_digest_of_its_file(tmp_path: Path) -> None:
    target = saved(
        tmp_path, BASE, Step("COPY k /srv # buildkit", (planted("one"), Member("etc/cron.d/x", CRON.encode())))
    )
    report = scan(target, cache=False)
    assert at(report, keys("one")).sha256 == hashlib.sha256(f"{key('one')}\n".encode()).hexdigest()
    assert at(report, "etc/cron.d/x").sha256 == hashlib.sha256(CRON.encode()).hexdigest()
    assert all(f.source is None for f in report.findings)
    assert scan(target, cache=tmp_path / "cache").findings == report.findings
    assert scan(target, cache=tmp_path / "cache").findings == report.findings, "from the cache"


def test_a_file_with_the_same_bytes_at_such_a_place_is_named_with_the_findings_line(tmp_path: Path, repo: Path) -> None:
    text = f"# one\n\n{key('one')}\n"
    write(repo, {"deploy/one/.ssh/authorized_keys": text, "other": text + "\n"})
    target = saved(tmp_path, BASE, Step("COPY . /srv # buildkit", (planted("one", text),)))
    report = scan(target, repo=repo, cache=False)
    assert at(report, keys("one")).source == SourceLine(
        "deploy/one/.ssh/authorized_keys",
        3,
        3,
        Traced.CONTENT,
        True,
        "the file has the same bytes as the one in the image",
    )
    assert notes(report) == []


def test_of_equal_files_the_one_that_ends_alike_is_named_and_else_a_doubt(tmp_path: Path, repo: Path) -> None:
    text = f"{key('one')}\n"
    write(repo, {f"a/{keys('one')}": text, "b/authorized_keys": text})
    target = saved(tmp_path, BASE, Step("COPY . /srv # buildkit", (planted("one", text), planted("two", text))))
    report = scan(target, repo=repo, cache=False)
    one, two = at(report, keys("one")).source, at(report, keys("two")).source
    assert one is not None
    assert (one.file, one.certain) == (f"a/{keys('one')}", True)
    assert two is not None
    assert (two.file, two.certain) == (f"a/{keys('one')}", False), "as much as .ssh/authorized_keys has every one"


@pytest.mark.parametrize("name", ["tests/data/authorized_keys", "tests/.ssh/authorized_keys", "k"])
def test_a_file_that_is_only_called_alike_is_a_doubt(tmp_path: Path, repo: Path, name: str) -> None:
    write(repo, {name: f"{key('one')}\n"})
    target = saved(tmp_path, BASE, Step("RUN plant", (planted("one"),)))
    source = at(scan(target, repo=repo, cache=False), keys("one")).source
    assert source is not None
    assert (source.file, source.certain) == (name, False)


@pytest.mark.parametrize(
    ("dockerfile", "entry", "files", "expected"),
    [
        # the whole context names every file, and puts only one of them there
        ("COPY . /srv", "COPY . /srv", {"tests/authorized_keys": ""}, ("Dockerfile", 2, True)),
        ("COPY . /srv", "COPY . /srv", {"one/.ssh/authorized_keys": ""}, ("one/.ssh/authorized_keys", 1, True)),
        # a RUN's own work, though an earlier COPY took the whole context
        ("COPY . /app\nRUN plant", "RUN plant", {"tests/authorized_keys": ""}, ("Dockerfile", 3, True)),
        ("COPY one /srv/one", "COPY one /srv/one", {"one/.ssh/authorized_keys": ""}, ("one/.ssh/authorized_keys", 1, True)),
        # the file was changed since, and a copy elsewhere was not: that folder was no context
        (
            "COPY one /srv/one",
            "COPY one /srv/one",
            {"one/.ssh/authorized_keys": "changed", "vendor/one/.ssh/authorized_keys": ""},
            ("vendor/one/.ssh/authorized_keys", 1, False),
        ),
        ("WORKDIR /srv\nCOPY k one/.ssh/authorized_keys", "COPY k one/.ssh/authorized_keys", {"k": ""}, ("k", 1, True)),
        ("COPY k /srv/two/", "COPY k /srv/two/", {"k": ""}, ("Dockerfile", 2, True)),
    ],
)  # fmt: skip
def test_a_copy_brings_a_file_to_its_place_and_no_other(
    tmp_path: Path, repo: Path, dockerfile: str, entry: str, files: dict[str, str], expected: tuple[str, int, bool]
) -> None:
    made = {name: content or f"{key('one')}\n" for name, content in files.items()}
    write(repo, {"Dockerfile": f"FROM base\n{dockerfile}\n", **made})
    before = [Step(line, (Member(f"x{n}", b""),)) for n, line in enumerate(dockerfile.split("\n")[:-1])]
    target = saved(tmp_path, BASE, *before, Step(f"{entry} # buildkit", (planted("one"),)))
    source = at(scan(target, dockerfile=repo / "Dockerfile", cache=False), keys("one")).source
    assert source is not None
    assert (source.file, source.line, source.certain) == expected, source.why


def test_a_context_that_may_be_another_is_a_doubt(tmp_path: Path, repo: Path) -> None:
    """Built from the root or from the Dockerfile's folder: of both files, one was changed since."""
    write(
        repo,
        {"app/Dockerfile": "FROM base\nCOPY k /srv/one/.ssh/authorized_keys\n", "k": "changed", "app/k": f"{key('one')}\n"},
    )  # fmt: skip
    target = saved(tmp_path, BASE, Step(f"COPY k /{keys('one')} # buildkit", (planted("one"),)))
    source = at(scan(target, dockerfile=repo / "app/Dockerfile", repo=repo, cache=False), keys("one")).source
    assert source is not None
    assert (source.file, source.certain) == ("app/k", False)


def test_of_two_equal_heredocs_the_one_of_the_files_name_is_meant(tmp_path: Path, repo: Path) -> None:
    text = f"{key('one')}\n"
    copies = f"COPY <<other <<authorized_keys /{keys('one')[:-16]}/\n{text}other\n{text}authorized_keys\n"
    runs = f"RUN cat <<A >/x; cat <<B >/y\n{text}A\n{text}B\n"
    write(repo, {"Dockerfile": f"FROM base\n{copies}", "b/Dockerfile": f"FROM base\n{runs}"})
    first = Step(f"COPY <<other <<authorized_keys /{keys('one')[:-16]}/ # buildkit", (planted("one"),))
    source = at(scan(saved(tmp_path, BASE, first), dockerfile=repo / "Dockerfile", cache=False), keys("one")).source
    assert source is not None
    assert (source.line, source.how, source.certain) == (5, Traced.CONTENT, True)
    second = Step(f"RUN /bin/sh -c cat <<A >/x; cat <<B >/y\n{text}A\n{text}B # buildkit", (planted("one"),))
    source = at(scan(saved(tmp_path, BASE, second), dockerfile=repo / "b/Dockerfile", cache=False), keys("one")).source
    assert source is not None
    assert (source.how, source.certain) == (Traced.CONTENT, False)
    assert source.why.endswith("; so has the one on line 5")


def test_a_line_that_is_gone_from_the_top_is_not_laid_to_the_base(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "FROM base\nRUN b\n"})
    steps = (BASE, Step("RUN a", (planted("a"),)), Step("RUN b", (planted("b"),)))
    report = scan(saved(tmp_path, *steps), dockerfile=repo / "Dockerfile", cache=False)
    source = at(report, keys("a")).source
    assert source is not None
    assert (source.line, source.how, source.certain) == (1, Traced.BASE, False)
    assert "a line that was removed since" in source.why
    ended = (BASE, Step("RUN a", (planted("a"),)), Step('CMD ["sh"]'), Step("RUN b", (planted("b"),)))
    source = at(scan(saved(tmp_path, *ended), dockerfile=repo / "Dockerfile", cache=False), keys("a")).source
    assert source is not None
    assert (source.line, source.how, source.certain) == (1, Traced.BASE, True)
    assert source.why == "layer 1 came with the image base, by the image's history"


def test_nothing_lies_below_the_first_line_of_an_image_from_scratch(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "FROM scratch\nCOPY b /\n"})
    steps = (Step("COPY a /", (planted("a"),)), Step("COPY b /", (planted("b"),)))
    report = scan(saved(tmp_path, *steps), dockerfile=repo / "Dockerfile", cache=False)
    assert [f.source.certain for f in report.findings if f.source] == [False, False]
    whole = scan(saved(tmp_path, steps[1]), dockerfile=repo / "Dockerfile", cache=False)
    assert [(f.source.line, f.source.certain) for f in whole.findings if f.source] == [(2, True)]


def test_a_dockerfile_that_says_as_much_as_any_image_is_not_taken_for_it(tmp_path: Path, repo: Path) -> None:
    write(repo, {"example/Dockerfile": 'FROM base\nCMD ["sh"]\n'})
    target = saved(tmp_path, BASE, Step("RUN plant", (planted("one"),)), Step('CMD ["sh"]'))
    report = scan(target, repo=repo, cache=False)
    assert at(report, keys("one")).source is None
    assert notes(report)[0].startswith("none of 1 Dockerfiles in the repository fits")


def test_the_copy_that_brought_a_file_decides_between_equal_ones(tmp_path: Path, repo: Path) -> None:
    text = f"{key('one')}\n"
    write(
        repo,
        {"Dockerfile": "FROM base\nCOPY b/k /srv/one/.ssh/authorized_keys\n", "a/authorized_keys": text, "b/k": text},
    )
    step = Step(f"COPY b/k /{keys('one')} # buildkit", (planted("one", text),))
    source = at(scan(saved(tmp_path, BASE, step), dockerfile=repo / "Dockerfile", cache=False), keys("one")).source
    assert source is not None
    assert (source.file, source.line, source.certain, source.how) == ("b/k", 1, True, Traced.CONTENT)


def test_a_file_that_only_looks_alike_does_not_take_a_runs_place(tmp_path: Path, repo: Path) -> None:
    command = f"echo '{key('one')}' > /{keys('one')}"
    write(repo, {"Dockerfile": f"FROM base\nRUN {command}\n", "tests/authorized_keys": f"{key('one')}\n"})
    target = saved(tmp_path, BASE, Step(f"RUN /bin/sh -c {command} # buildkit", (planted("one"),)))
    source = at(scan(target, dockerfile=repo / "Dockerfile", cache=False), keys("one")).source
    assert source is not None
    assert (source.file, source.line, source.certain, source.how) == ("Dockerfile", 2, True, Traced.HISTORY)


def test_what_cannot_be_read_is_said_and_one_large_file_hides_no_other(tmp_path: Path, repo: Path) -> None:
    """A file of the right size and 10 GiB, folders without end, what is no file."""
    write(repo, {"deploy/.ssh/authorized_keys": f"{key('one')}\n", "x" + "/d" * 70 + "/authorized_keys": "deep"})
    with (repo / "large").open("wb") as file:
        file.truncate(10 << 30)
    found = Repository(repo)
    assert found.same("0" * 64, 10 << 30) == ()
    text = f"{key('one')}\n".encode()
    assert found.same(hashlib.sha256(text).hexdigest(), len(text)) == ("deploy/.ssh/authorized_keys",)
    assert found.problems == [
        "what lies deeper than 64 folders was not compared",
        "more than 1024 MiB to compare: not every file was compared",
    ]
    gone = Repository(repo)
    assert gone.files
    (repo / "deploy/.ssh/authorized_keys").unlink()
    assert gone.same(hashlib.sha256(text).hexdigest(), len(text)) == ()
    assert gone.problems[-1] == "deploy/.ssh/authorized_keys cannot be read: No such file or directory"


def test_a_file_that_grows_is_read_no_further(tmp_path: Path, repo: Path) -> None:
    write(repo, {"a": "1234"})
    found = Repository(repo)
    assert found.files == {"a": 4}
    (repo / "a").write_text("12345")
    assert found.same(hashlib.sha256(b"1234").hexdigest(), 4) == ()


def test_a_dockerfile_of_many_bytes_and_fewer_characters_is_refused_whole(repo: Path) -> None:
    (repo / "Dockerfile").write_text("FROM base\n#" + "é" * (3 << 20) + "\nRUN last\n", "utf-8")
    with pytest.raises(LimitError, match="Dockerfile is larger than 4,194,304 bytes"):
        opened(TraceOptions(repo / "Dockerfile"))


def test_lines_are_all_that_the_tracing_adds(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "FROM base\nCOPY k /srv/one/.ssh/authorized_keys\nRUN x\n", "k": f"{key('one')}\n"})
    steps = (Step("COPY k /srv/one/.ssh/authorized_keys", (planted("one"),)), Step("RUN x", (planted("x"),)))
    target = saved(tmp_path, BASE, *steps, config={"Cmd": TUNNEL.split()})
    plain, traced_ = scan(target, cache=False), scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert len(plain.findings) > 2
    assert all(f.source is not None for f in traced_.findings)
    assert tuple(replace(f, source=None) for f in traced_.findings) == plain.findings
    assert [f.fingerprint for f in traced_.findings] == [f.fingerprint for f in plain.findings]
    assert (traced_.means, traced_.image) == (plain.means, plain.image)


def test_a_fault_of_the_tracing_costs_lines_and_no_finding(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repo, {"Dockerfile": "FROM base\nRUN x\n"})
    target = saved(tmp_path, BASE, Step("RUN x", (planted("x"),)))
    plain = scan(target, cache=False)

    def fails(*_: object) -> None:
        raise RuntimeError("it\nbroke")

    monkeypatch.setattr("scanner.tracing.trace.aligned", fails)
    report = scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert report.findings == plain.findings
    assert notes(report) == ["no line is known, for the tracing failed: RuntimeError: it\\nbroke"]
    assert report.complete is plain.complete


def test_links_and_git_are_left_alone(tmp_path: Path, repo: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"authorized_keys": f"{key('one')}\n"})
    write(repo, {".git/authorized_keys": f"{key('one')}\n", "fifo/x": ""})
    (repo / "authorized_keys").symlink_to(outside / "authorized_keys")
    (repo / "folder").symlink_to(outside)
    os.mkfifo(repo / "fifo" / "authorized_keys")
    target = saved(tmp_path, BASE, Step("COPY . /srv # buildkit", (planted("one"),)))
    assert at(scan(target, repo=repo, cache=False), keys("one")).source is None


def test_the_only_dockerfile_that_fits_is_found_and_said(tmp_path: Path, repo: Path) -> None:
    write(
        repo,
        {
            "Dockerfile": "FROM base\nRUN other\n",
            "agents/one.Dockerfile": "FROM base\nENV A=1\nRUN plant\n",
            "agents/broken.Dockerfile": "",
            "node_modules/x/Dockerfile": "FROM scratch\nCOPY a b\n",
        },
    )
    target = saved(tmp_path, BASE, Step("ENV A=1"), Step("RUN /bin/sh -c plant # buildkit", (planted("one"),)))
    report = scan(target, repo=repo, cache=False)
    source = at(report, keys("one")).source
    assert source is not None
    assert (source.file, source.line, source.certain) == ("agents/one.Dockerfile", 3, True)
    assert notes(report) == [
        "agents/one.Dockerfile is taken for the Dockerfile of the image: the only one of 3 that fits its history"
    ]


def test_dockerfiles_that_fit_alike_are_not_guessed_between(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "FROM base\nRUN plant\n", "b/Dockerfile": "FROM base\n\nRUN plant\n"})
    target = saved(tmp_path, BASE, Step("RUN /bin/sh -c plant # buildkit", (planted("one"),)))
    report = scan(target, repo=repo, cache=False)
    assert at(report, keys("one")).source is None
    assert notes(report) == [
        "2 Dockerfiles fit the image's history alike (Dockerfile, b/Dockerfile): name the right one with --dockerfile"
    ]


def test_a_copy_from_a_stage_says_the_stage_and_who_names_the_file_there(tmp_path: Path, repo: Path) -> None:
    write(
        repo,
        {
            "Dockerfile": f"FROM base AS tools\nRUN true\nRUN make > /{keys('x')}\nFROM base\nCOPY --from=tools /srv /srv\n"
        },
    )
    target = saved(tmp_path, BASE, Step("COPY /srv /srv # buildkit", (planted("x"),)))
    source = at(scan(target, dockerfile=repo / "Dockerfile", cache=False), keys("x")).source
    assert source is not None
    assert (source.line, source.certain) == (5, True)
    assert source.why == (
        "layer 1 is this COPY's, by the image's history; the files are of stage tools, which line 1 begins; "
        f"line 3 names /{keys('x')} there"
    )


def test_stages_that_copy_from_each_other_have_no_beginning(tmp_path: Path, repo: Path) -> None:
    """BuildKit refuses them, and whoever made the history need not have built anything."""
    copies = "COPY --from={} /srv /srv\n"
    text = f"FROM base AS one\n{copies.format('two')}FROM one AS two\n{copies.format('one')}"
    write(repo, {"Dockerfile": text, "x": f"{key('x')}\n"})
    step = Step("COPY /srv /srv # buildkit", (planted("x"),))
    report = scan(saved(tmp_path, BASE, step, step), dockerfile=repo / "Dockerfile", cache=False)
    source = at(report, keys("x")).source
    assert source is not None, notes(report)
    assert (source.file, source.how) == ("Dockerfile", Traced.HISTORY)


def test_a_copy_to_where_the_build_works_is_followed_into_its_stage(tmp_path: Path, repo: Path) -> None:
    lines = "FROM base\nWORKDIR /srv\nCOPY --from=tools /out ./\n"
    write(repo, {"Dockerfile": f"FROM base AS tools\nRUN a > /out/x\nRUN b > /out/{keys('x')[4:]}\n{lines}"})
    steps = (BASE, Step("WORKDIR /srv"), Step("COPY /out ./ # buildkit", (planted("x"),)))
    source = at(scan(saved(tmp_path, *steps), dockerfile=repo / "Dockerfile", cache=False), keys("x")).source
    assert source is not None
    assert (source.line, source.certain) == (6, True)
    assert source.why.endswith(f"; line 3 names /out/{keys('x')[4:]} there")


@pytest.mark.parametrize(
    ("step", "named", "tried"),
    [
        (Step("", (planted("x"),), comment="Imported from -"), "the history does not say what made them (an imported or flattened image)", "it does not say what made the layers (an imported or flattened image)"),
        (Step("crane flatten sha256:1", (planted("x"),)), "the history is not this Dockerfile's (0 of 2 instructions occur in it); another one made the image, or another tool", "name the right one with --dockerfile"),
        (Step("", (planted("x"),), comment="merge sha256:1 to sha256:2"), "the history does not say what made them (an imported or flattened image)", "it does not say what made the layers (an imported or flattened image)"),
    ],
    ids=["imported", "another tool", "squashed elsewhere"],
)  # fmt: skip
def test_why_an_image_has_no_line_is_said(tmp_path: Path, repo: Path, step: Step, named: str, tried: str) -> None:
    write(repo, {"Dockerfile": "FROM base\nRUN a\nRUN b\n"})
    target = saved(tmp_path, step)
    report = scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert at(report, keys("x")).source is None
    assert notes(report) == [f"1 of 1 layers could not be traced to Dockerfile: {named}"]
    report = scan(target, repo=repo, cache=False)
    assert at(report, keys("x")).source is None
    assert notes(report) == [f"none of 1 Dockerfiles in the repository fits the image's history: {tried}"]


def test_a_squashed_layer_gets_a_guess_at_most(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": f"FROM base\nRUN a > /{keys('a')}\nRUN b > /{keys('b')}.pub\nCOPY x /srv/c\n"})
    steps = (
        BASE,
        Step(f"/bin/sh -c a > /{keys('a')}"),
        Step(f"/bin/sh -c b > /{keys('b')}.pub"),
        Step("/bin/sh -c #(nop) COPY dir:" + "0" * 64 + " in /srv/c "),
        Step("", (planted("a"), planted("b"), planted("c")), comment="merge sha256:1 to sha256:2"),
    )
    target = saved(tmp_path, *steps)
    report = scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert scan(target, repo=repo, cache=False).findings == report.findings, "the Dockerfile is found by the history"
    source = at(report, keys("a")).source
    assert source is not None
    assert (source.line, source.certain) == (2, False)
    assert at(report, keys("b")).source is None
    assert notes(report) == [
        "1 of 2 layers could not be traced to Dockerfile: they were squashed into one, which keeps no line"
    ]


@pytest.mark.parametrize(
    ("config", "place", "line"),
    [
        ({"Cmd": TUNNEL.split()}, "Cmd", 4),
        ({"Entrypoint": ["/bin/sh", "-c", TUNNEL]}, "Entrypoint", 5),
        ({"Healthcheck": {"Test": ["CMD-SHELL", TUNNEL]}}, "Healthcheck", 6),
        ({"OnBuild": [f"RUN {TUNNEL}"]}, "OnBuild", 7),
    ],
)
def test_a_field_of_the_configuration_names_the_instruction_that_set_it(
    tmp_path: Path, repo: Path, config: Mapping[str, object], place: str, line: int
) -> None:
    text = f"FROM base\nRUN x\nUSER a\nCMD {json.dumps(TUNNEL.split())}\nENTRYPOINT {TUNNEL}\nHEALTHCHECK CMD {TUNNEL}\nONBUILD RUN {TUNNEL}\n"
    write(repo, {"Dockerfile": text})
    steps = (
        BASE,
        Step("RUN /bin/sh -c x # buildkit", (Member("x", b"x"),)),
        Step("USER a"),
        Step(f"CMD {' '.join(json.dumps(w) for w in TUNNEL.split())}".replace("CMD ", "CMD [") + "]"),
        Step(f'ENTRYPOINT ["/bin/sh" "-c" {json.dumps(TUNNEL)}]'),
        Step(f"HEALTHCHECK {{Test:[CMD-SHELL {TUNNEL}] Interval:0s}}"),
    )
    source = at(scan(saved(tmp_path, *steps, config=config), dockerfile=repo / "Dockerfile", cache=False), place).source
    assert source is not None
    assert (source.line, source.certain, source.how) == (line, True, Traced.HISTORY)


def test_a_field_that_no_instruction_sets_came_with_the_base(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "ARG X\nFROM base\nRUN x\n"})
    steps = (BASE, Step("RUN /bin/sh -c x # buildkit", (Member("x", b"x"),)))
    target = saved(tmp_path, *steps, config={"Cmd": TUNNEL.split()})
    source = at(scan(target, dockerfile=repo / "Dockerfile", cache=False), "Cmd").source
    assert source is not None
    assert (source.line, source.certain, source.how) == (2, True, Traced.BASE)


def attested(folder: Path, dockerfile: str, steps: list[Step], lines: Mapping[int, int]) -> str:
    """An archive with BuildKit's provenance beside the image: `lines` maps layers to lines."""
    layers = [layer(s) for s in steps if s.members is not None]
    digests = ["sha256:" + hashlib.sha256(b).hexdigest() for b in layers]
    metadata = {
        "source": {
            "locations": {
                f"step{n}": {"locations": [{"ranges": [{"start": {"line": line}, "end": {"line": line}}]}]} for n, line in lines.items()
            },
            "infos": [{"filename": "Dockerfile", "data": base64.b64encode(dockerfile.encode()).decode()}],
        },
        "layers": {f"step{n}:0": [[{"digest": d} for d in digests[: n + 1]]] for n in lines},
    }  # fmt: skip
    statement = document({"predicate": {"runDetails": {"metadata": {"buildkit_metadata": metadata}}}})
    config = document(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created_by": "something else"} for _ in layers],
        }
    )
    blobs = [*layers, config, statement]

    def stored(kind: str, blob: bytes, **more: object) -> dict[str, object]:
        return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob), **more}

    manifest = document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": stored(CONFIG, config),
            "layers": [stored(LAYER, b) for b in layers],
        }
    )
    kind = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    layers_ = [stored("application/vnd.in-toto+json", statement, annotations=kind)]
    attestation = document(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": stored(CONFIG, config), "layers": layers_}
    )
    subject = {"vnd.docker.reference.type": "attestation-manifest"}
    subject["vnd.docker.reference.digest"] = "sha256:" + hashlib.sha256(manifest).hexdigest()
    nobody = {"architecture": "unknown", "os": "unknown"}
    index = document(
        {
            "schemaVersion": 2,
            "manifests": [
                stored(MANIFEST, manifest, platform={"architecture": "amd64", "os": "linux"}),
                stored(MANIFEST, attestation, platform=nobody, annotations=subject),
            ],
        }
    )
    top = document({"schemaVersion": 2, "manifests": [stored("application/vnd.oci.image.index.v1+json", index)]})
    names = {"blobs/sha256/" + hashlib.sha256(b).hexdigest(): b for b in (*blobs, manifest, attestation, index)}
    file = folder / "attested.tar"
    file.write_bytes(
        tar(
            (
                directory("blobs"),
                directory("blobs/sha256"),
                *(Member(n, names[n]) for n in sorted(names)),
                Member("index.json", top),
                Member("oci-layout", document({"imageLayoutVersion": "1.0.0"})),
            )
        )
    )
    return f"archive:{file}"


BUILT = "FROM base\nRUN x\nRUN y\n"


def test_provenance_beats_a_history_that_says_nothing(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": BUILT})
    target = attested(
        tmp_path, BUILT, [BASE, Step("x", (planted("x"),)), Step("y", (planted("y"),))], {0: 1, 1: 2, 2: 3}
    )
    for report in (scan(target, dockerfile=repo / "Dockerfile", cache=False), scan(target, repo=repo, cache=False)):
        source = at(report, keys("y")).source
        assert source is not None
        assert (source.file, source.line, source.certain, source.how) == ("Dockerfile", 3, True, Traced.PROVENANCE)
        assert source.why == "layer 2 is this RUN's, by the provenance of the build"


def test_provenance_comes_with_a_layout_and_from_a_registry(
    tmp_path: Path, repo: Path, registry: RegistryServer, skopeo: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repo, {"Dockerfile": BUILT})
    target = attested(
        tmp_path, BUILT, [BASE, Step("x", (planted("x"),)), Step("y", (planted("y"),))], {0: 1, 1: 2, 2: 3}
    )
    with tarfile.open(target.removeprefix("archive:")) as saved_:
        saved_.extractall(tmp_path / "layout", filter="data")
    skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"oci:{tmp_path}/layout",
        f"docker://{registry.host}/attested:1",
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for place in (f"oci:{tmp_path}/layout", f"registry:{registry.host}/attested:1"):
        source = at(scan(place, dockerfile=repo / "Dockerfile", cache=False), keys("y")).source
        assert source is not None
        assert (source.line, source.how) == (3, Traced.PROVENANCE), place


@pytest.mark.parametrize("line", [4, 99, 1 << 62])
def test_provenance_that_names_no_instruction_names_no_line(tmp_path: Path, repo: Path, line: int) -> None:
    text = f"{BUILT}# the end\n"
    write(repo, {"Dockerfile": text})
    target = attested(tmp_path, text, [BASE, Step("x", (planted("x"),))], {1: line})
    report = scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert at(report, keys("x")).source is None
    assert notes(report)[0] == "the provenance gives 1 of 2 layers lines that are no instruction's: not used"


def test_provenance_of_another_state_of_the_file_is_not_used(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": f"# new\n{BUILT}"})
    target = attested(
        tmp_path, BUILT, [BASE, Step("x", (planted("x"),)), Step("y", (planted("y"),))], {0: 1, 1: 2, 2: 3}
    )
    report = scan(target, dockerfile=repo / "Dockerfile", cache=False)
    assert at(report, keys("y")).source is None
    assert notes(report)[0] == "the provenance is of another state of Dockerfile: the image's history is used instead"


def test_a_dockerfile_that_is_missing_elsewhere_or_broken_is_said_before_any_work(tmp_path: Path, repo: Path) -> None:
    target = "archive:there-is-none.tar"
    write(repo, {"empty": "# nothing\n", "no-from": "ARG A\n"})
    write(tmp_path, {"Dockerfile": "FROM x\n"})
    for given, error, said in (
        ({"dockerfile": repo / "none"}, UsageError, "no such file"),
        ({"repo": repo / "none"}, UsageError, "no such folder"),
        ({"repo": repo, "dockerfile": tmp_path / "Dockerfile"}, UsageError, "does not lie in"),
        ({"dockerfile": repo / "empty"}, ParseError, "empty:1: no instruction"),
        ({"dockerfile": repo / "no-from"}, ParseError, "no-from:1: there is no FROM"),
    ):
        with pytest.raises(error, match=said):
            scan(target, **given)  # type: ignore[arg-type]


def test_the_command_line_takes_both_and_ends_with_2_where_one_is_missing(tmp_path: Path, repo: Path) -> None:
    write(repo, {"Dockerfile": "FROM base\nRUN plant\n"})
    target = saved(tmp_path, BASE, Step("RUN /bin/sh -c plant # buildkit", (planted("one"),)))
    sandscan = [sys.executable, "-m", "scanner.cli", "scan", target, "--no-cache"]
    given = ["--dockerfile", repo / "Dockerfile", "--repo", repo]
    run = subprocess.run([*sandscan, *given, "-o", "json"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, "a key alone is of medium severity"
    [found] = [f for f in json.loads(run.stdout)["findings"] if f["rule_id"] == "ssh/authorized-key"]
    assert (found["source"]["file"], found["source"]["line"]) == ("Dockerfile", 2)
    missing = subprocess.run([*sandscan, "--dockerfile", "none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "--dockerfile none: no such file" in missing.stderr
    (repo / "Dockerfile").write_text("# nothing\n")
    broken = subprocess.run([*sandscan, *given], capture_output=True, text=True, check=False)
    assert broken.returncode == 3
    assert "Dockerfile:1: no instruction" in broken.stderr
