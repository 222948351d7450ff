"""Launch points: which files start something, what they start and on which line, and which files only look like them."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content import Content
from scanner.detectors.launchers import jsontext, points, reading
from scanner.detectors.launchers.points import PATHS, POINTS, point

HOOK = '{"mcpServers": {"a": {\n "args": ["-N", "a b"],\n "env": {"K": "v"},\n "command": "/bin/m"}}}'


def found(path: str, text: str) -> list[tuple[int, str]]:
    read = reading.read(Content(path=path.encode(), data=memoryview(text.encode())))
    assert read is not None
    assert read.notes == ()
    return [(c.line, str(c)) for c in read.commands]


@pytest.mark.parametrize(
    ("path", "starts", "text", "expected"),
    [
        ("var/spool/cron/atjobs/a0001", "schedule", "#!/bin/sh\ncd /x || {\n exit 1\n}\n/bin/m\n", (5, "/bin/m")),
        ("etc/crontabs/root", "schedule", "* * * * * /bin/m\n", (1, "/bin/m")),
        ("etc/periodic/15min/x", "schedule", "/bin/m\n", (1, "/bin/m")),
        ("etc/incron.d/x", "hook", "/tmp IN_CREATE /bin/m $@\n", (1, "/bin/m $@")),
        ("etc/systemd/system/x.timer", "schedule", "[Timer]\nOnBootSec=1\n", (2, "systemctl start x.service")),
        ("etc/systemd/system/x.timer", "schedule", "[Timer]\nOnBootSec=1\nUnit=y.service\n", (3, "systemctl start y.service")),
        ("usr/lib/systemd/system-generators/x", "boot", "#!/bin/sh\n/bin/m\n", (2, "/bin/m")),
        ("root/.config/systemd/user/x.service", "login", "[Service]\nExecStart=/bin/m %h\n", (2, "/bin/m %h")),
        ("etc/systemd/system/x.service", "boot", "[Service]\nExecStart=/a\nExecStart=\nExecStart=@-/bin/m x\n", (4, "/bin/m x")),
        ("etc/local.d/x.start", "boot", "/bin/m\n", (1, "/bin/m")),
        ("etc/init.d/x", "boot", '#!/sbin/openrc-run\ncommand=/bin/m\ncommand_args="-o a"\n', (2, "/bin/m -o a")),
        ("etc/inetd.conf", "boot", "x stream tcp nowait root /bin/m m -i\n", (1, "/bin/m -i")),
        ("etc/xinetd.d/x", "boot", "service x\n{\n server = /bin/m\n server_args = -i\n}\n", (3, "/bin/m -i")),
        ("app/supervisord.conf", "boot", "[program:x]\ncommand = /bin/m\n  -o a\n", (2, "/bin/m -o a")),
        ("etc/circus.ini", "boot", "[watcher:x]\ncmd = /bin/m\n", (2, "/bin/m")),
        ("etc/monit/monitrc", "boot", 'check process x\n start program = "/bin/m a"\n', (2, "/bin/m a")),
        ("etc/s6-overlay/s6-rc.d/x/run", "boot", "#!/command/execlineb -P\nforeground { a }\ns6-setuidgid u\n/bin/m\n", (3, "/bin/m")),
        ("etc/services.d/x/run", "boot", "#!/usr/bin/with-contenv bash\nexec /bin/m\n", (2, "/bin/m")),
        ("etc/sv/x/log/run", "boot", "#!/bin/sh\nexec chpst -u u /bin/m\n", (2, "/bin/m")),
        ("docker-entrypoint.d/10-x.sh", "boot", "/bin/m &\n", (1, "/bin/m")),
        ("etc/profile.d/x.sh", "login", "/bin/m\n", (1, "/bin/m")),
        ("app/.zshenv", "login", "/bin/m\n", (1, "/bin/m")),
        ("root/.config/fish/config.fish", "login", "set -x A b\nif status\n  /bin/m $A\nend\n", (3, "/bin/m b")),
        ("root/.ssh/rc", "login", "/bin/m\n", (1, "/bin/m")),
        ("etc/pam.d/sshd", "login", "session optional pam_exec.so quiet /bin/m a\n", (1, "/bin/m a")),
        ("opt/conda/etc/conda/activate.d/x.sh", "login", "/bin/m\n", (1, "/bin/m")),
        ("workspace/.envrc", "hook", "/bin/m\n", (1, "/bin/m")),
        ("root/.tmux.conf", "manual", "set -g x 1\nrun-shell '/bin/m a'\n", (2, "/bin/m a")),
        ("root/.screenrc", "manual", "screen -t x /bin/m a\n", (1, "/bin/m a")),
        ("app/.git/hooks/post-checkout", "hook", "/bin/m\n", (1, "/bin/m")),
        ("usr/share/git-core/templates/hooks/pre-push", "hook", "/bin/m\n", (1, "/bin/m")),
        ("app/.husky/pre-commit", "hook", "/bin/m\n", (1, "/bin/m")),
        ("root/.gitconfig", "hook", "[alias]\n x = !/bin/m a\n[core]\n sshCommand = ssh -v\n", (2, "/bin/m a")),
        ("etc/apt/apt.conf.d/9x", "hook", '// x\nDPkg::Post-Invoke {\n "/bin/m a";\n};\n', (3, "/bin/m a")),
        ("etc/dpkg/dpkg.cfg.d/x", "hook", 'post-invoke="/bin/m a"\n', (1, "/bin/m a")),
        ("etc/NetworkManager/dispatcher.d/x", "hook", "/bin/m\n", (1, "/bin/m")),
        ("etc/network/interfaces", "boot", "iface x\n  up /bin/m a\n", (2, "/bin/m a")),
        ("etc/udev/rules.d/x.rules", "hook", 'A=="b", RUN+="/bin/m a"\n', (1, "/bin/m a")),
        ("etc/logrotate.d/x", "schedule", "/a {\n postrotate\n  /bin/m\n endscript\n}\n", (3, "/bin/m")),
        ("usr/share/dbus-1/services/x.service", "hook", "[D-BUS Service]\nExec=/bin/m\n", (2, "/bin/m")),
        ("app/Makefile", "manual", "X := a\nall: b\n\nb:\n\t@/bin/m $(X)\nother:\n\t/bin/n\n", (5, "/bin/m a")),
        ("app/justfile", "manual", "x:\n  /bin/m\ny:\n  /bin/n\n", (2, "/bin/m")),
        ("app/package.json", "manual", '{"scripts": {\n"x": "/bin/m a"}}', (2, "/bin/m a")),
        ("app/node_modules/x/package.json", "build", '{"scripts": {"test": "/bin/n",\n"postinstall": "/bin/m"}}', (2, "/bin/m")),
        ("app/.devcontainer/devcontainer.json", "boot", '{ // c\n "postStartCommand": "/bin/m a",\n}', (2, "/bin/m a")),
        ("a/.devcontainer.json", "boot", '{"onCreateCommand": ["/bin/m",\n "a b"]}', (1, "/bin/m a b")),
        ("a/.devcontainer.json", "boot", '{"postAttachCommand": {"x":\n ["/bin/m", "a"]}}', (2, "/bin/m a")),
        ("app/.mcp.json", "hook", HOOK, (4, "/bin/m -N a b")),
        ("app/.cursor/mcp.json", "hook", '{"mcpServers": {"a": {"command": "/bin/m", "args": ["x"]}}}', (1, "/bin/m x")),
        ("root/.codex/config.toml", "hook", '[mcp_servers.x]\ncommand = "/bin/m"\nargs = ["a"]\n', (2, "/bin/m a")),
        ("app/.claude/settings.json", "hook", '{"hooks": {"Stop": [{"hooks": [{"type": "command",\n "command": "/bin/m a"}]}]}}', (2, "/bin/m a")),
        (
            "app/.vscode/tasks.json",
            "hook",
            '{"tasks": [{"command": "/bin/n"}, {"command": "/bin/m",\n "runOptions": {"runOn": "folderOpen"}}]}',
            (1, "/bin/m"),
        ),
        ("entrypoint.sh", "boot", "exec /bin/m\n", (1, "/bin/m")),
        ("usr/local/bin/x", "manual", "#!/bin/bash\n/bin/m\n", (2, "/bin/m")),
    ],
)  # fmt: skip
def test_a_launch_point_starts_its_command(path: str, starts: str, text: str, expected: tuple[int, str]) -> None:
    place = point(path.encode())

    assert place is not None
    assert place.starts == starts
    commands = found(path, text)
    assert expected in commands
    assert "/bin/n" not in [c for _, c in commands]


def test_the_environment_of_a_tool_server_is_its_commands() -> None:
    read = reading.read(Content(path=b".mcp.json", data=memoryview(HOOK.encode())))

    assert read is not None
    assert [c.environment for c in read.commands] == [(("K", "v"),)]


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/doc/autossh/README.Debian",
        "usr/share/doc/autossh/examples/autossh.host",
        "usr/share/doc/openssh-client/examples/.bashrc",
        "usr/share/man/man1/autossh.1.gz",
        "usr/share/bash-completion/completions/ssh",
        "etc/bash_completion.d/autossh",
        "usr/share/lintian/overrides/openssh-client",
        "usr/share/doc/openssh-client/copyright",
        "etc/logcheck/ignore.d.server/ssh",
        "usr/lib/systemd/user-environment.conf",
        "usr/bin/ssh",
        "usr/share/zsh/functions/Completion/Unix/_ssh",
        "usr/share/fish/completions/ssh.fish",
        "usr/lib/python3/dist-packages/x/Makefile",
        "app/node_modules/x/y/package.json",
        "app/.git/hooks/pre-commit.sample",
        "etc/ssh/ssh_config",
        "usr/share/doc/x/entrypoint.sh",
        "etc/cron.d",
    ],
)
def test_what_only_lies_about_is_no_launch_point(path: str) -> None:
    assert point(path.encode()) is None


def test_every_point_has_its_own_words_and_no_captures() -> None:
    assert len({p.what for p in POINTS}) == len(POINTS)
    assert re.compile(PATHS).groups == 0


@given(st.sampled_from(POINTS).flatmap(lambda p: st.from_regex(p.pattern, fullmatch=True)))
@settings(max_examples=200, deadline=None)
def test_paths_has_every_points_files(path: bytes) -> None:
    if point(path) is not None:
        assert re.search(PATHS, path)


def test_a_script_in_another_language_is_left_to_its_reader() -> None:
    for head in (b"#!/usr/bin/env python3\n", b"#!/usr/bin/awk -f\n", b"#!/usr/bin/expect\n"):
        assert reading.place(Content(path=b"usr/local/bin/x", data=memoryview(head + b"ssh h\n"))) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_json_is_read_as_it_is(value: object) -> None:
    def strings(value: object, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], str]]:
        if isinstance(value, dict):
            return [leaf for key, inner in value.items() for leaf in strings(inner, (*path, key))]
        if isinstance(value, list):
            return [leaf for number, inner in enumerate(value) for leaf in strings(inner, (*path, number))]
        return [(path, value if isinstance(value, str) else json.dumps(value))]

    text = json.dumps(value, indent=1, ensure_ascii=False)

    assert [(path, said) for path, said, _ in jsontext.values(text)] == strings(value, ())


@given(st.text(alphabet='{}[]:,"\\/* \nab', max_size=200))
def test_no_text_breaks_the_json_reader(text: str) -> None:
    for _, _, line in jsontext.values(text):
        assert 1 <= line <= text.count("\n") + 1


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(POINTS), st.text(alphabet=" \n\t'\"\\$`(){}[];&|<>#=-/.abE%*@:!,", max_size=120))
def test_no_text_breaks_a_point(place: points.Point, text: str) -> None:
    for script in place.scripts(text, b"x.timer"):
        assert 1 <= script.origin.at(1) <= text.count("\n") + 2
