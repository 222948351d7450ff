"""sandscan loaded once, and forked for each command: a process of its own every time, without the time to load it.

`python tests/forking.py` reads one request per line from standard input (JSON: arguments, cwd, environment, output, errors) and answers
with the exit code. It has one thread, so that what it forks is whole.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Forking:
    """A with block in which commands are run."""

    def __enter__(self) -> "Forking":
        self._process = subprocess.Popen(
            (sys.executable, "-P", __file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """The exit code, and what came to standard output and standard error together."""
        output = cwd.parent / f"{cwd.name}.output"
        output.unlink(missing_ok=True)
        code = self.ask(arguments, cwd, environment, output, output)
        return code, output.read_text(errors="surrogateescape")

    def completed(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run has it: the exit code, standard output and standard error by themselves."""
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            code = self.ask(arguments, cwd, environment, output, errors)
            return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    def ask(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Path, errors: Path
    ) -> int:
        """The exit code; standard output and standard error go to the ends of these files."""
        asked = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "output": str(output),
            "errors": str(errors),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _child(asked: Mapping[str, object]) -> None:
    """The command, in the process that was forked for it; does not return."""
    from scanner.cli.main import main

    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(asked["environment"])  # type: ignore[call-overload]
    files = [str(asked["output"]), str(asked["errors"])]
    # a pipe that nobody reads any more is an error, not something to wait for; a file that somebody writes to is written on
    written = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
    told, errors = (os.open(file, written, 0o600) for file in files)
    for one in (told, errors):
        os.set_blocking(one, True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, told), (2, told if files[0] == files[1] else errors)):
        os.dup2(target, number)
    sys.argv = ["sandscan", *asked["arguments"]]  # type: ignore[misc]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that both streams come in their order
    main()


def serve() -> None:
    import scanner.checking
    import scanner.cli.main
    import scanner.egressing
    import scanner.pipeline
    import scanner.runtime.diff
    import scanner.runtime.rules
    import scanner.sources.registry
    from scanner.reports.output import formats

    scanner.pipeline.detectors()
    formats()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            try:
                _child(asked)
            except SystemExit as e:
                code = e.code if isinstance(e.code, int) else int(e.code is not None)
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 99
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
