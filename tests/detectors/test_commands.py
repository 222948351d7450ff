"""Shell text and launch points as commands, whatever stands around them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detectors.launchers import linewise, points, reading, shell
from scanner.detectors.launchers.points import Point, point
from scanner.detectors.launchers.shell import Command


def ran(text: str) -> list[str]:
    return [str(c) for c in shell.commands(text)]


def by_lines(place: Point, text: str) -> tuple[Command, ...]:
    return shell.run(place.scripts(text, b"x.service"), linewise.statements).commands


def by_grammar(place: Point, text: str) -> tuple[Command, ...]:
    data = text.encode("utf-8", "surrogateescape")
    return reading._decoded(reading.commands_of(data, place.what, "x.service", 1)).commands


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("nohup ./m -o a >/dev/null 2>&1 &", "./m -o a"),
        ("sudo -u bob -E env A=1 nice -n 19 ionice -c 3 ./m -o a", "./m -o a"),
        ("timeout -k 5 30 ./m", "./m"),
        ("screen -dmS w ./m -o a", "./m -o a"),
        ("tmux new-session -d -s w './m -o a'", "./m -o a"),
        ("exec setsid ./m", "./m"),
        ('sh -c "cd /x && ./m -o a"', "./m -o a"),
        ("su - app -c './m -o a'", "./m -o a"),
        ("bash -lc 'eval ./m -o a'", "./m -o a"),
        ("A=./m; O='-o a'\n$A $O", "./m -o a"),
        ("${M:-./m} -o a", "./m -o a"),
        ("if x; then ./m -o a; fi", "./m -o a"),
        ("while true; do { ./m -o a; }; done", "./m -o a"),
        ("(crontab -l; echo '*/5 * * * * ./m -o a') | crontab -", "./m -o a"),
        ("printf '@reboot ./m -o a\\n' > /etc/cron.d/x", "./m -o a"),
        ("echo Li9tIC1vIGEK | base64 -d | sh", "./m -o a"),
        ("x=$(./m -o a)", "./m -o a"),
        ("start-stop-daemon --start --background --exec /bin/m -- -o a", "/bin/m -o a"),
        ("./m \\\n  -o \\\n  a", "./m -o a"),
        ('"./m" -"o" \'a\'', "./m -o a"),
        ("cat <<E\ndon't stop here\nE\n./m -o a", "./m -o a"),
        ("flock -n /tmp/l ./m -o a", "./m -o a"),
        ("numactl -C 0-3 ./m", "./m"),
    ],
)
def test_the_command_is_seen_through_what_wraps_it(text: str, command: str) -> None:
    assert command in ran(text)


@pytest.mark.parametrize(
    "text",
    ["# ./m -o a", "echo './m -o a'", "  # a\n\t#./m -o a", "true # ; ./m -o a"],
)
def test_what_only_speaks_of_a_command_runs_none(text: str) -> None:
    assert "./m -o a" not in ran(text)


def test_lines_are_those_of_the_file() -> None:
    text = "#!/bin/sh\n\na=1\n./m \\\n -o a\n./n\n"

    assert [(c.line, c.name) for c in shell.commands(text)] == [(4, "m"), (6, "n")]


def test_a_relative_path_is_put_behind_the_folder_changed_to() -> None:
    [command] = shell.commands("cd /var/tmp/.x\n./m")

    assert command.path == "/var/tmp/.x/m"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("etc/cron.d/x", "SHELL=/bin/sh\n* * * * * root /bin/m -o a\n", [(2, "/bin/m -o a")]),
        ("etc/crontab", "M=/bin/m\n@reboot  root  $M -o a # x\n", [(2, "/bin/m -o a")]),
        ("var/spool/cron/crontabs/root", "0 1 * * 1-5 /bin/m %in\n", [(1, "/bin/m")]),
        ("etc/anacrontab", "1 5 daily /bin/m\n", [(1, "/bin/m")]),
        (
            "etc/systemd/system/x.service",
            "[Service]\nEnvironment=O=-v\nType=simple\nExecStartPre=-/bin/true\nExecStart=+/bin/m ${O} \\\n  -o a\n",
            [(4, "/bin/true"), (5, "/bin/m -v -o a")],
        ),
        ("usr/lib/systemd/system/x.service.d/o.conf", "[Service]\nExecStart=\nExecStart=/bin/m\n", [(3, "/bin/m")]),
        ("etc/supervisor/conf.d/x.conf", "[program:x]\ncommand=/bin/m -o a\n", [(2, "/bin/m -o a")]),
        ("etc/inittab", "# x\nm:2345:respawn:/bin/m -o a\n", [(2, "/bin/m -o a")]),
        ("etc/xdg/autostart/x.desktop", "[Desktop Entry]\nExec=/bin/m %U\n", [(2, "/bin/m %U")]),
        ("app/Procfile", "web: /bin/m -o a\n", [(1, "/bin/m -o a")]),
        ("app/package.json", '{\n "scripts": {"start": "/bin/m -o \\"a\\""}\n}', [(2, "/bin/m -o a")]),
        ("root/.bashrc", "/bin/m &\n", [(1, "/bin/m")]),
        ("docker-entrypoint.sh", "exec /bin/m\n", [(1, "/bin/m")]),
    ],
)
def test_a_launch_point_is_read_in_its_own_way(path: str, text: str, expected: list[tuple[int, str]]) -> None:
    place = point(path.encode())

    assert place is not None
    assert [(c.line, str(c)) for c in by_lines(place, text)] == expected
    assert [(c.line, str(c)) for c in by_grammar(place, text)] == expected


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/doc/cron.d/x",
        "usr/bin/python3",
        "usr/lib/node_modules/x/y/package.json",
        "etc/cron.d",
        "a/etc/crontab",
    ],
)
def test_other_files_are_no_launch_points(path: str) -> None:
    assert point(path.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "$A" * 30_000 + "\n",
        "A=$A$A$A\n" * 5_000 + "$A\n",
        "'" * 50_000,
        '"' * 50_001 + "\n",
        "$(" * 20_000 + ")" * 20_000,
        "`" * 40_001,
        "sudo " * 20_000 + "m",
        "bash -c '" * 3_000,
        "\\\n" * 50_000,
        "echo " + "A" * 60_000 + " | base64 -d | sh",
        ("x" * 4000 + "=" + "y" * 4000 + ";") * 100,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()

    for place in points.POINTS:
        if place.read in (points.system_crontab, points.unit):
            by_lines(place, text)
    list(shell.commands(text))

    assert time.process_time() - started < 3


@given(st.text(alphabet=st.sampled_from(" \n\t'\"\\$`(){};&|<>#=-/.abc%*@:"), max_size=300))
def test_no_text_breaks_a_reader(text: str) -> None:
    for place in points.POINTS:
        for command in by_lines(place, text):
            assert command.argv
            assert command.argv[0]
            assert 1 <= command.line <= text.count("\n") + 1


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for place in points.POINTS:
        by_lines(place, text)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n\r\\$`(){}'\"<>|&;"), max_size=60), max_size=8))
def test_no_line_hides_the_command_after_it(lines: list[str]) -> None:
    text = "\n".join([*lines, "/usr/bin/m -o a"])

    assert ("/usr/bin/m -o a", len(lines) + 1) in [(str(c), c.line) for c in shell.commands(text)]
