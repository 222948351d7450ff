"""Histories and provenance that real builders wrote, beside the Dockerfiles that they built.

`classic-20.10` and `buildkit-20.10` are Debian's Docker 20.10 with and without BuildKit, `buildkit-29` is Docker 29 with BuildKit 0.33: the
config document without times. The provenance documents are buildx's, mode=max, as they were attached to an image.
"""

import contextlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.dockerfile import Dockerfile, parse
from scanner.errors import SourceError
from scanner.model import History, Image
from scanner.oci import manifest
from scanner.tracing.alignment import Alignment, aligned
from scanner.tracing.effort import Effort
from scanner.tracing.history import Agreement, entries
from scanner.tracing.layers import by_history
from scanner.tracing.provenance import recorded

DATA = Path(__file__).parent / "data"
OLDER = (DATA / "older.dockerfile").read_text()
NEWER = (DATA / "newer.dockerfile").read_text()
BUILDS = {"classic-20.10": OLDER, "buildkit-20.10": OLDER, "buildkit-29": NEWER}


def image(name: str) -> Image:
    return manifest.image((DATA / f"{name}.json").read_bytes(), name)[0]


def file(text: str) -> Dockerfile:
    return parse(text, "Dockerfile")


def fit(name: str, text: str) -> Alignment:
    found = aligned(image(name), file(text), Effort())
    assert found is not None
    return found


@pytest.mark.parametrize("name", BUILDS)
def test_every_entry_of_a_real_history_finds_its_instruction(name: str) -> None:
    text = BUILDS[name]
    found = fit(name, text)
    assert found.whole
    assert found.base == 1
    assert set(found.pairs) == set(range(1, len(found.entries)))
    assert {how for _, how in found.pairs.values()} == {Agreement.SAME}
    assert found.rivals == ()


@pytest.mark.parametrize("name", BUILDS)
def test_every_layer_has_the_line_of_its_instruction(name: str) -> None:
    text = BUILDS[name]
    lines = text.split("\n")
    found = fit(name, text)
    origins = by_history(found)
    assert sorted(origins) == list(range(len(image(name).layers)))
    assert all(o.certain for o in origins.values())
    first = origins.pop(0)
    assert lines[first.line - 1] == "FROM ${BASE} AS build"
    for layer, origin in origins.items():
        said = next(e for e in found.entries if e.layer == layer)
        written = lines[origin.line - 1].removeprefix("ONBUILD ")
        assert written.split()[0] == said.keyword, (layer, written, said)


def test_lines_of_a_few_layers_by_hand() -> None:
    found = by_history(fit("buildkit-29", NEWER))
    text = NEWER.split("\n")
    by_line = {text[o.line - 1]: (layer, o.end_line - o.line) for layer, o in found.items()}
    assert by_line["COPY --from=build /src/out /out"] == (7, 0)
    assert by_line["ONBUILD RUN echo trig > /trig"] == (6, 0)
    assert by_line['RUN echo "q $Q" > /q; \\'] == (10, 2)
    assert by_line["RUN cat > /h3 <<EOF && echo z > /h4"] == (18, 2)
    assert by_line["COPY --parents sub/z /par/"] == (23, 0)


@pytest.mark.parametrize(
    ("old", "new", "certain"),
    [
        ("RUN true\n", "# a comment\n\nRUN true\n", True),
        ("RUN true\n", "RUN false\n", False),
        ("RUN true\n", "", False),
        ("RUN true\n", "RUN true\nRUN true\n", False),
        ("MAINTAINER me\n", "MAINTAINER you\n", False),
    ],
)
def test_a_changed_dockerfile_is_never_certain(old: str, new: str, certain: bool) -> None:
    found = fit("classic-20.10", OLDER.replace(old, new))
    assert found.whole is certain
    assert found.belongs
    assert {o.certain for o in by_history(found).values()} == {certain}


def test_a_stage_that_is_not_the_last_is_known_by_its_history() -> None:
    found = fit("buildkit-20.10", OLDER + "\nFROM scratch AS export\nCOPY --from=2 / /\n")
    assert (found.target, found.whole) == (2, True)


def test_two_stages_that_fit_alike_are_both_said() -> None:
    text = "FROM a AS one\nRUN x\nFROM a AS two\nRUN x\n"
    made = built("RUN /bin/sh -c x # buildkit")
    found = aligned(made, file(text), Effort())
    assert found is not None
    assert found.target == 1
    origin = by_history(found)[1]
    assert (origin.line, origin.certain) == (4, False)
    assert "line 2 of another stage fits as well" in origin.why


def built(*entries_: str, base: int = 1) -> Image:
    """An image whose history these entries end; each made a layer."""
    one = image("classic-20.10")
    history = (History("", "Imported from -", False),) * base + tuple(History(e, "", False) for e in entries_)
    layers = one.layers[: len(history)]
    return Image(one.id, one.platform, None, one.config, layers, history)


@pytest.mark.parametrize(
    ("instruction", "entry", "same"),
    [
        ("RUN a  b", "/bin/sh -c a  b", True),
        ("RUN a", "/bin/bash -o pipefail -c a", True),
        ("RUN a", "|1 X=y /bin/sh -c a", True),
        ("RUN a", "|2 X=y Z= /bin/bash -o pipefail -c a", True),
        ("RUN a", "cmd /S /C a", True),
        ("RUN b", "/bin/sh -c a -c b", False),
        ("RUN /b", "/bin/sh -c /bin/a /b", False),
        ("RUN a", "RUN python -m a # buildkit", False),
        ("RUN a", "RUN time a # buildkit", False),
        ("RUN a", "|2 X=y /bin/sh -e -c a", False),
        ("RUN b", "/bin/sh -c a b", False),
        ("RUN a", "RUN a", True),
        ('RUN ["a", "b"]', "RUN a b # buildkit", True),
        ("COPY a b /c/", "COPY a b /c/ # buildkit", True),
        ("COPY --chown=1 a /c", "COPY --chown=1 a /c # buildkit", True),
        ("COPY a /c", "/bin/sh -c #(nop) COPY file:" + "0" * 64 + " in /c ", True),
        ("COPY a /c", "/bin/sh -c #(nop) COPY dir:" + "0" * 64 + " in /d ", False),
        ("ADD https://example.org/x /c", "/bin/sh -c #(nop) ADD " + "https://example.org/x in /c ", True),
        ("COPY a /c", "COPY b /c # buildkit", False),
        ("WORKDIR x", "WORKDIR /srv/x", True),
        ("WORKDIR x", "WORKDIR /srv/y", False),
    ],
)
def test_an_entry_is_the_instructions_or_not(instruction: str, entry: str, same: bool) -> None:
    found = aligned(built(entry), file(f"FROM base\n{instruction}\n"), Effort())
    assert found is not None
    assert found.whole is same, found.pairs


def test_a_variable_that_is_not_known_is_a_doubt_and_no_difference() -> None:
    found = aligned(built("COPY a /opt/x # buildkit"), file("FROM base\nCOPY a $SOMEWHERE/x\n"), Effort())
    assert found is not None
    [(_, how)] = found.pairs.values()
    assert how is Agreement.LIKELY
    assert not by_history(found)[1].certain


def test_a_history_that_does_not_fit_its_layers_is_none() -> None:
    one = image("classic-20.10")
    assert entries(Image(one.id, one.platform, None, one.config, one.layers[:3], one.history)) == ()
    assert aligned(Image(one.id, one.platform, None, one.config, one.layers, ()), file(OLDER), Effort()) is None


STORED = (
    "sha256:364bd605511a9ab9ac534c30bfc4c4b705469ebbca0df7cbd2e9d2ce513443d4",
    "sha256:b6f5b78dd22d14f75ec0de8b787e5a64cce9241213208421940a1dd1ee46464f",
    "sha256:9121ba910da118315233edb287a94cee7a463d85f80789dad623ef812bfe8a89",
)


@pytest.mark.parametrize("version", ["v1", "v0.2"])
def test_provenance_says_which_lines_made_which_layer(version: str) -> None:
    statement = (DATA / f"provenance-{version}.json").read_bytes()
    found = recorded([statement], STORED)
    assert found is not None
    assert found.text.startswith(b"FROM base:1\nCOPY one.txt /one\n")
    assert found.lines == {0: (1, 1), 1: (2, 2), 2: (3, 3)}


def test_provenance_of_other_layers_says_nothing() -> None:
    statement = (DATA / "provenance-v1.json").read_bytes()
    other = "sha256:" + "0" * 64
    assert recorded([statement], (other, *STORED[1:])) is None
    found = recorded([statement], (*STORED[:2], other))
    assert found is not None
    assert sorted(found.lines) == [0, 1]
    assert recorded([statement], (None, None, None)) is None


def test_provenance_with_a_name_twice_or_a_broken_dockerfile_is_refused() -> None:
    statement = json.loads((DATA / "provenance-v1.json").read_text())
    statement["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["source"]["infos"][0]["data"] = "?"
    with pytest.raises(SourceError, match="not in base64"):
        recorded([json.dumps(statement).encode()], STORED)
    with pytest.raises(SourceError, match="twice"):
        recorded([b'{"predicate": {}, "predicate": {}}'], STORED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        "predicate runDetails metadata buildkit_metadata source infos data layers locations ranges start line step0:0 digest".split()
    ), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(JSON | st.binary(max_size=40))
def test_no_statement_does_worse_than_be_refused(value: object) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    with contextlib.suppress(SourceError):
        recorded([raw], STORED)


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(
            [h.created_by for n in BUILDS for h in image(n).history]
            + ["", "|9 A=b", "#(nop)", "RUN |2 A=b c", "COPY", "ENV =", "|"]
        )
        | st.text(max_size=30),
        st.booleans(),
    ),
    max_size=12,
)
LINES = st.lists(st.sampled_from([*OLDER.split("\n"), *NEWER.split("\n"), "FROM x", "ONBUILD RUN $A"]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(ENTRIES, LINES)
def test_no_history_and_no_dockerfile_do_worse_than_not_to_fit(said: list[tuple[str, bool]], lines: list[str]) -> None:
    one = image("buildkit-29")
    history = tuple(History(text, "", empty) for text, empty in said)
    layers = one.layers[: sum(not empty for _, empty in said)]
    made = Image(one.id, one.platform, None, one.config, layers, history)
    found = aligned(made, file("\n".join(["FROM base", *lines, "USER end"])), Effort())
    if found is None:
        return
    assert sorted(found.pairs.values(), key=lambda p: p[0]) == [found.pairs[j] for j in sorted(found.pairs)], "in order"
    for layer, origin in by_history(found).items():
        assert layer < len(layers)
        assert 1 <= origin.line <= origin.end_line
        assert found.whole or not origin.certain


HOSTILE = {
    "shells": ("RUN x", "RUN sh" + " -o -a" * 5_000 + " x x"),
    "flags": ("COPY a /b", "COPY " + "--a" * 15_000 + " x in /b"),
    "quotes": ('CMD ["a"]', 'CMD ["' + '\\"' * 30_000),
    "names": ("ENV " + " ".join(f"A{n}=" for n in range(10_000)), "ENV" + " a" * 30_000),
    "patterns": ("ENV B=a\nENV A=" + "a" * 60_000 + "\n" + "ENV B=${A/*a*a*a*b/x}\n" * 2_000 + "RUN x", "RUN x"),
    "triggers": ("RUN x\nFROM a AS b\n" + "ONBUILD RUN x\n" * 1_400 + "FROM b\n" * 1_400 + "RUN x", "RUN x"),
    "stages": ("RUN x\nFROM base\n" * 1_400 + "RUN x", "RUN y\nRUN z"),
    "instructions": ("RUN x\n" * 2_900, "RUN y"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_history_and_no_dockerfile_take_long(name: str) -> None:
    lines, entry = HOSTILE[name]
    one = image("classic-20.10")
    history = (History("RUN x", "", True),) * 900 + (History(entry, "", False),)
    made = Image(one.id, one.platform, None, one.config, one.layers[:1], history)
    before = time.process_time()
    aligned(made, file(f"FROM base\n{lines}\n"), Effort())
    assert time.process_time() - before < 5


def test_many_dockerfiles_share_one_effort() -> None:
    one, effort = file("FROM base\n" + "RUN x\n" * 2_000), Effort(2_000_000)
    before = time.process_time()
    found = [aligned(built("RUN y"), one, effort, whole=True) for _ in range(200)]
    assert effort.spent
    assert found[0] is not None
    assert found[-1] is None
    assert time.process_time() - before < 5


def test_provenance_with_the_lines_of_too_many_steps_is_refused() -> None:
    statement = json.loads((DATA / "provenance-v1.json").read_text())
    source = statement["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["source"]
    source["locations"] |= {f"x{n}": {} for n in range(2_000)}
    with pytest.raises(SourceError, match="more than any build has"):
        recorded([json.dumps(statement).encode()], STORED)
