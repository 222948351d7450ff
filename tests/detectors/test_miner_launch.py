"""What starts a miner: in files by their lines, in the image's configuration by its fields."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import miners, negatives, rome
from fixtures.elf import build
from fixtures.wallet import monero
from scanner.detectors.launchers import shell
from scanner.detectors.mining.startup import assess
from scanner.detectors.mining.wallets import Purse
from scanner.model import Confidence, ConfigLocation, FileLocation, Finding, ImageConfig, Notification, Severity, State

Detect = Callable[..., list[Finding]]

XMRIG = build(replace(miners.XMRIG, symbols=()))
POOL = miners.POOL
RELEASE = "https://github.com/xmrig/" + "xmrig/releases/download/v6.22.2/xmrig-6.22.2-linux-static-x64.tar.gz"


def launches(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule_id == "miner/launch"]


def line(finding: Finding) -> int | None:
    place = finding.locations[0]
    assert isinstance(place, FileLocation)
    return place.line


@pytest.mark.parametrize(
    ("path", "text", "number"),
    [
        ("etc/cron.d/x", miners.scripts()["crontab"].decode(), 2),
        ("etc/systemd/system/x.service", miners.scripts()["miner.service"].decode(), 6),
        ("usr/local/bin/start.sh", miners.scripts()["start.sh"].decode(), 7),
        ("opt/minerd.sh", miners.scripts()["minerd.sh"].decode(), 3),
        ("usr/local/bin/warm-cache", rome.WARM_CACHE, 6),
        ("root/.bashrc", f"alias ls='ls -l'\n(/opt/x -o stratum+tcp://{POOL} -u me &)\n", 2),
        ("etc/supervisor/conf.d/x.conf", f"[program:x]\ncommand=/opt/x -o {POOL} -u {monero()}\n", 2),
        ("app/package.json", '{\n"scripts": {\n"start": "./x --url stratum+tcp://' + POOL + ' --user me"}}', 3),
        ("opt/a.tar!/run.sh", f"#!/bin/sh\n./x -o stratum+tcp://{POOL} -u me\n", 2),
    ],
)
def test_a_command_with_a_pool_is_found_on_its_line(detect: Detect, path: str, text: str, number: int) -> None:
    [found] = launches(detect({path: text.encode()}))

    assert found.severity is Severity.HIGH
    assert line(found) == number
    assert POOL.partition(":")[0] in str(found.details["pools"]) or "fixture." in str(found.details["pools"])


@pytest.mark.parametrize(
    ("command", "severity", "confidence"),
    [
        (f"./x -o stratum+tcp://{POOL} -u me", Severity.HIGH, Confidence.MEDIUM),
        (f"./x -o {POOL} -u {monero()} --donate-level=1", Severity.HIGH, Confidence.HIGH),
        (f"xmrig -o {POOL} -a rx/0", Severity.HIGH, Confidence.HIGH),
        (f"./x -o 10.0.0.1:443 -u {monero()} -a rx/0", Severity.HIGH, Confidence.MEDIUM),
        ("./x --config=/x.json --cpu-max-threads-hint=75 --coin monero", Severity.HIGH, Confidence.MEDIUM),
        ("minerd --config=/x.json", Severity.MEDIUM, Confidence.MEDIUM),
        ("./x --donate-level=0", Severity.MEDIUM, Confidence.LOW),
        ("t-rex -a kawpow -o 10.0.0.1:443 -u me", Severity.HIGH, Confidence.MEDIUM),
        (f"curl -sL {RELEASE}", Severity.HIGH, Confidence.MEDIUM),
        ("git clone https://github.com/xmrig/" + "xmrig.git", Severity.HIGH, Confidence.MEDIUM),
        ("ethminer -P stratum1+ssl://0xabc.rig@fixture.2miners.com:2020", Severity.HIGH, Confidence.MEDIUM),
    ],
)
def test_a_command_is_weighed_by_its_signs(command: str, severity: Severity, confidence: Confidence) -> None:
    [only] = shell.commands(command)
    startup = assess(only, Purse())

    assert startup is not None
    assert startup.verdict() == (severity, confidence)


@pytest.mark.parametrize(
    "command",
    [
        f"grep -r stratum+tcp://{POOL} /etc",
        f"iptables -A OUTPUT -d {POOL} -j DROP",
        "pkill -9 xmrig",
        "which minerd",
        "apt-get install cpuminer",
        "/usr/local/bin/kworker-report --url https://example.com -u bot -p x",
        "psql -h db:5432 -U app -a x",
        "curl -o pool:3333 -u me https://example.com",
        "trex run suite -o out.txt",
        "gunicorn --threads 4 -b 0.0.0.0:8000 app",
        "rigel --help",
        "curl -sL https://github.com/xmrig/",
        "ssh -o StrictHostKeyChecking=no -p 3333 me@pool.example.com",
    ],
)
def test_other_commands_say_nothing(command: str) -> None:
    for only in shell.commands(command):
        startup = assess(only, Purse())
        assert startup is None or startup.verdict() is None


def test_a_found_miner_is_known_by_its_path_whatever_its_name(detect: Detect) -> None:
    files = {"usr/lib/.cache/worker": XMRIG, "etc/cron.d/x": b"@reboot root /usr/lib/.cache/worker -B\n"}

    [found] = launches(detect(files))

    assert (found.severity, line(found)) == (Severity.HIGH, 1)
    assert found.details["starts"] == ["usr/lib/.cache/worker"]
    assert found.details["family"] == "xmrig"
    assert [p.display for p in found.locations] == [b"etc/cron.d/x", b"usr/lib/.cache/worker"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/profile.d/x.sh", "cd /usr/lib/.cache && nohup ./worker &\n"),
        ("etc/rc.local", "sh -c '/usr/lib/.cache/worker'\n"),
        ("etc/systemd/system/x.service", "[Service]\nExecStart=-/usr/lib/.cache/worker\n"),
    ],
)
def test_every_way_to_start_a_found_miner_counts(detect: Detect, path: str, text: str) -> None:
    [found] = launches(detect({"usr/lib/.cache/worker": XMRIG, path: text.encode()}))

    assert found.severity is Severity.HIGH


def test_a_script_that_an_interpreter_runs_is_followed(detect: Detect) -> None:
    files = {"opt/m.py": miners.scripts()["miner.py"], "etc/cron.d/x": b"* * * * * root python3 /opt/m.py\n"}

    [found] = launches(detect(files))

    assert found.details["starts"] == ["opt/m.py"]


def test_a_removed_miner_weighs_less(detect: Detect) -> None:
    files = {"usr/lib/.cache/worker": XMRIG, "etc/cron.d/x": b"@reboot root /usr/lib/.cache/worker\n"}

    [found] = launches(detect(files, {}, gone={"usr/lib/.cache/worker": 1}))

    assert found.severity is Severity.MEDIUM
    assert "removed" in found.message


def test_several_lines_of_a_file_are_one_finding_at_the_worst(detect: Detect) -> None:
    text = f"* * * * * root minerd --config=/x\n* * * * * root ./x -o {POOL} -u {monero()} --donate-level 0\n"

    [found] = launches(detect({"etc/cron.d/x": text.encode()}))

    assert line(found) == 2
    assert [p.line for p in found.locations if isinstance(p, FileLocation)] == [2, 1]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ImageConfig(entrypoint=("/opt/x", "-o", f"stratum+tcp://{POOL}", "-u", "me")), "Entrypoint[0]"),
        (ImageConfig(entrypoint=("/bin/sh", "-c"), cmd=(f"exec xmrig -o {POOL} -u me",)), "Cmd[0]"),
        (ImageConfig(entrypoint=("tini", "--"), cmd=("/opt/x", "-o", f"stratum+tcp://{POOL}", "-u", "me")), "Cmd[0]"),
        (ImageConfig(cmd=("/bin/sh", "-c", f"minerd -o stratum+tcp://{POOL} -u me")), "Cmd[2]"),
        (ImageConfig(healthcheck=("CMD-SHELL", f"/opt/x -o stratum+tcp://{POOL} -u me || exit 1")), "Healthcheck[1]"),
        (ImageConfig(env=("PATH=/bin", f"POOL=stratum+tcp://{POOL}", f"WALLET={monero()}")), "Env[1]"),
        (ImageConfig(on_build=(f"RUN curl -sL {RELEASE} | tar xz",)), "OnBuild[0]"),
    ],
)
def test_the_images_configuration_is_read_by_its_fields(detect: Detect, config: ImageConfig, field: str) -> None:
    [found] = launches(detect({}, config=config))

    assert found.locations[0] == ConfigLocation(field)
    assert found.severity is Severity.HIGH
    assert found.state is State.VISIBLE


def test_an_entrypoint_that_is_a_found_miner(detect: Detect) -> None:
    [found] = launches(detect({"srv/app": XMRIG}, config=ImageConfig(entrypoint=("/srv/app",))))

    assert [p.display for p in found.locations] == [b"Entrypoint[0]", b"srv/app"]


def test_an_entrypoint_that_runs_a_script_which_starts_a_miner(detect: Detect) -> None:
    files = {"entrypoint.sh": f"#!/bin/sh\n./x -o {POOL} -u {monero()}\n".encode()}

    found = launches(detect(files, config=ImageConfig(entrypoint=("/entrypoint.sh",))))

    assert [f.locations[0].display for f in found] == [b"entrypoint.sh", b"Entrypoint[0]"]


@pytest.mark.parametrize(
    "config",
    [
        ImageConfig(entrypoint=("/usr/bin/python3", "-m", "app"), env=("POOL_SIZE=5", "WORKER=3")),
        ImageConfig(cmd=("bash",)),
        ImageConfig(cmd=("/bin/sh", "-c", "echo mining.subscribe stratum+tcp://")),
        ImageConfig(env=("DATABASE_URL=postgres://u@db:5432", "WALLET=x")),
    ],
)
def test_an_honest_configuration_says_nothing(detect: Detect, config: ImageConfig) -> None:
    assert detect({}, config=config) == []


def test_more_commands_than_are_read_are_said(look: Callable[..., list[object]]) -> None:
    [told, *_] = [n for n in look("etc/rc.local", b"true;" * 30_000) if isinstance(n, Notification)]

    assert told.incomplete
    assert "20000 commands" in told.message


def test_a_script_too_large_to_be_read_whole_is_said_and_its_end_is_read(
    detect: Detect, look: Callable[..., list[object]]
) -> None:
    data = b"# padding\n" * 200_000 + f"./x -o stratum+tcp://{POOL} -u me\n".encode()

    [found] = launches(detect({"etc/rc.local": data}))

    assert line(found) == 200_001
    assert [n.incomplete for n in look("etc/rc.local", data) if isinstance(n, Notification)] == [True]


def test_python_that_runs_a_miner_is_found(detect: Detect) -> None:
    data = b"import subprocess\nsubprocess.run('./x -o stratum+tcp://" + POOL.encode() + b" -u me', shell=True)\n"

    [found] = launches(detect({"opt/r.py": data}))

    assert line(found) == 2


def test_the_negatives_start_nothing(detect: Detect) -> None:
    assert launches(detect(negatives.files())) == []


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_no_words_break_the_weighing(words: list[str]) -> None:
    for command in shell.unwrap(tuple(words)):
        startup = assess(command, Purse())
        if startup is not None:
            startup.verdict()
