"""The kernel has the last word: launches on a real engine, and what their files predict of them."""

import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.egress.lab.confusion import FORMS, compared, predicted, told
from tests.egress.lab.generated import generated
from tests.egress.lab.image import PROGRAMS
from tests.egress.lab.launches import Described, command_lines, compose, fixed
from tests.egress.lab.measure import measure_all
from tests.egress.lab.verdicts import NOTHING, Row, verdicts
from tests.engine_fixture import missing, program

ON_THE_ENGINE = (
    "default bridge none host internal internal-ipv6 ipv6 masquerade-off icc-off-published inhibit dual-homed published "
    "macvlan-internal net-admin-inhibit privileged-none pid-ptrace socket-none socket-remote proxy-anchored "
    "proxy-deny-list relay dual-homed-web rule-user-drop rule-allow-443 loopback-dns-internal"
).split()
"""One for each thing that decides a reach; the others are measured by hand, with `python -m tests.egress.lab`."""


def tools() -> None:
    """What the lab is made of; the test ends where it is not there."""
    if os.geteuid() != 0:
        missing("root, for namespaces and an engine")
    for tool in (*PROGRAMS, "dockerd", "docker", "unshare", "iptables", "ip6tables", "nft", "mkfs.ext4"):
        program(tool)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What was measured of each launch, or why it could not be: in two labs at a time, for most of it is waiting."""
    tools()
    launches = sorted((one for one in fixed() if one.name in ON_THE_ENGINE), key=lambda one: one.variant)
    half = len(launches) // 2
    with ThreadPoolExecutor(2) as labs:
        found = labs.map(lambda some: list(measure_all(some, newer=False)), (launches[:half], launches[half:]))
        return {
            launch.name: result if isinstance(result, str) else result.json()
            for launch, result in itertools.chain.from_iterable(found)
        }


@pytest.mark.engine
@pytest.mark.parametrize("name", ON_THE_ENGINE)
def test_what_the_files_say_is_what_the_kernel_does(measured: dict[str, Any], name: str):
    record = measured[name]
    assert not isinstance(record, str), record
    rows = compared([record])
    assert {row.form for row in rows} == set(FORMS)
    assert [row for row in rows if row.wrongly_closed] == []
    assert [row for row in rows if not row.equal and not row.why] == [], told(rows)


@pytest.mark.engine
def test_the_kernel_was_asked_about_every_verdict(measured: dict[str, Any]):
    """A lab in which nothing gets out, or everything, would agree with a guess."""
    records = [record for record in measured.values() if not isinstance(record, str)]
    for destination in ("internet", "private", "metadata", "host", "dns", "siblings"):
        assert {record["verdicts"][destination] for record in records} >= {"open", "limited", "closed"}, destination
    assert {record["verdicts"]["engine"] for record in records} >= {"open", "closed"}


@pytest.mark.engine
def test_a_killed_lab_leaves_nothing_behind():
    tools()
    script = (
        "import time\nfrom tests.egress.lab.namespaces import started_hosts\n"
        "with started_hosts() as hosts:\n    print(hosts.folder, hosts.first, flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    folder, first = process.stdout.readline().split()
    assert Path(folder, "log").is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while (Path(folder).exists() or Path("/proc", first).exists()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not Path("/proc", first).exists()
    assert folder not in Path("/proc/self/mounts").read_text()
    assert folder not in subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout


def record_of(launch: Described, newer: bool) -> dict[str, Any]:
    version = "29.8.1" if newer else "20.10.24"
    texts = {"compose": compose(launch), "run": command_lines(launch)}
    return {**texts, "files": dict(launch.files), "ruleset": "", "assume": [f"engine.version={version}"]}


@pytest.mark.parametrize("newer", [False, True])
def test_a_compose_file_and_the_command_lines_that_do_the_same_are_judged_alike(newer: bool):
    for launch in (*fixed(), *generated(60, 7, newer)):
        record = record_of(launch, newer)
        by_form = [{a.destination: (a.verdict, a.direct) for a in predicted(record, form)} for form in FORMS]
        assert by_form[0] == by_form[1], f"{launch.name}\n{record['compose']}\n{record['run']}"


def test_launches_are_the_same_for_the_same_seed_and_other_for_another():
    once, again, other = (list(generated(30, seed, False)) for seed in (1, 1, 2))
    assert once == again
    assert [compose(one) for one in once] != [compose(one) for one in other]


def reach(*ends: str, cls: str = "internet", via: str = "direct", family: int = 4) -> list[Row]:
    return [Row(f"{via} {n}", cls, end, via, family=family) for n, end in enumerate(ends)]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (reach("no", "no"), "closed"),
        (reach("reached", "reached"), "open"),
        (reach("reached", "no"), "limited"),
        (reach("one-way", "no"), "limited"),
        (reach("reached", family=6) + reach("no"), "limited"),
        (reach("reached", via="proxy") + reach("no"), "limited"),
        (reach("reached", via="relay"), "limited"),
        (reach("no") + reach("reached", via="engine"), "open"),
        (reach("no") + reach("reached", "no", via="net_admin by gateway 0"), "limited"),
        (reach("no") + reach("reached", via="net_admin by gateway 0"), "open"),
    ],
)
def test_a_destination_is_open_by_one_way_that_gives_all_of_it(rows: list[Row], verdict: str):
    assert verdicts(rows, {})["internet"] == verdict


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([Row("dns resolver", "dns", "reached"), Row("dns direct", "dns", "no")], "open"),
        ([Row("dns resolver", "dns", "one-way"), Row("dns direct", "dns", "no")], "limited"),
        ([Row("dns resolver", "dns", "no"), Row("dns direct", "dns", "reached")], "limited"),
        ([Row("dns resolver", "dns", "no"), Row("dns direct", "dns", "no")], "closed"),
    ],
)
def test_names_are_open_where_the_configured_resolver_answers(rows: list[Row], verdict: str):
    assert verdicts(rows, {})["dns"] == verdict


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([Row("engine /run/docker.sock", "engine", "reached"), Row("create", "engine", "reached", "engine")], "open"),
        ([Row("engine /run/docker.sock", "engine", "reached"), Row("create", "engine", "no", "engine")], "limited"),
        ([Row("engine /run/docker.sock", "engine", "no")], "closed"),
        ([Row("enter", "engine", "reached", "nsenter")], "open"),
    ],
)
def test_an_engine_is_open_where_it_does_what_it_is_asked(rows: list[Row], verdict: str):
    assert verdicts(rows, {})["engine"] == verdict


def to_sibling(name: str, port: str, end: str) -> Row:
    return Row(f"sibling {name} {port} {end}", "siblings", end, sibling=name, port=port)


@pytest.mark.parametrize(
    ("rows", "siblings", "verdict"),
    [
        ([], {}, "closed"),
        ([], {"idle": []}, NOTHING),
        ([to_sibling("web", "8080", "reached"), to_sibling("web", "8080", "no")], {"web": [8080]}, "open"),
        (
            [to_sibling("web", "8080", "reached"), to_sibling("db", "5432", "no")],
            {"web": [8080], "db": [5432]},
            "limited",
        ),
        ([to_sibling("web", "8080", "no"), to_sibling("web", "published", "reached")], {"web": [8080]}, "limited"),
        ([to_sibling("web", "8080", "no")], {"web": [8080]}, "closed"),
    ],
)
def test_siblings_are_open_where_every_service_is_reached_by_some_name(
    rows: list[Row], siblings: dict[str, list[int]], verdict: str
):
    assert verdicts(rows, siblings)["siblings"] == verdict
