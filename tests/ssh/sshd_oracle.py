"""sshd itself as the judge: configurations made at random, what it prints for them, and what we say.

Run more than the tests do: python -m tests.ssh.sshd_oracle --count 6000 --seed 1
"""

import argparse
import glob
import grp
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scanner.ssh.source import Source, Version
from scanner.ssh.sshd_config import Config, Connection, Effective, evaluate, parse
from tests.ssh.strategies_sshd import Maker, Sample

VERSION = Version(9, 2)
_LINE = re.compile(r"^(?P<path>\S+?):? line (?P<line>\d+): ")


@dataclass(frozen=True)
class Verdict:
    """What sshd said: its lines if it is content, and where it stopped if it says so."""

    lines: list[str] | None
    stopped: tuple[str, int] | None
    words: str


def ask(sshd: str, key: Path, sample: Sample) -> Verdict:
    arguments = [sshd, "-T", "-f", str(sample.main), "-h", str(key)]
    for option in sample.options:
        arguments += ["-o", option]
    if sample.connection is not None:
        arguments += ["-C", ",".join(f"{name}={value}" for name, value in sample.connection.items())]
    done = subprocess.run(
        arguments, capture_output=True, check=False, cwd="/", timeout=20, env={"PATH": "/usr/bin:/bin"}
    )
    words = done.stderr.decode("utf-8", "surrogateescape")
    if done.returncode == 0:
        return Verdict(done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1], None, words)
    for line in words.split("\n"):
        found = _LINE.match(line)
        if found and not re.search(r"(Unsupported|Deprecated) option", line):
            return Verdict(None, (found["path"], int(found["line"])), words)
    return Verdict(None, None, words)


def groups_of(user: str) -> tuple[str, ...]:
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return ()
    return tuple(grp.getgrgid(number).gr_name for number in os.getgrouplist(user, account.pw_gid))


def connection_of(sample: Sample) -> Connection | None:
    given = sample.connection
    if given is None:
        return None
    user = given.get("user")
    return Connection(
        user=user,
        groups=None if user is None else groups_of(user),
        host=given.get("host"),
        address=given.get("addr"),
        local_address=given.get("laddr"),
        local_port=int(given["lport"]),
    )


def include(pattern: bytes) -> list[Source]:
    """Only the folder of the samples is ever asked for here, and names that are not there. A folder reads as empty."""
    found = [Path(os.fsdecode(path)) for path in sorted(glob.glob(pattern))]  # noqa: PTH207 the pattern is bytes
    return [Source(os.fsencode(path), path.read_bytes() if path.is_file() else b"") for path in found]


def judge(key: Path, sample: Sample) -> tuple[Config, Effective]:
    main = Source(os.fsencode(sample.main), sample.files[sample.main])
    config = parse(main, include, VERSION, (f"-h{key}", *sample.options))
    return config, evaluate(config, connection_of(sample))


def difference(sshd: str, key: Path, sample: Sample) -> str | None:
    """What sshd and we do not agree on; None if nothing."""
    for path, data in sample.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    said = ask(sshd, key, sample)
    config, effective = judge(key, sample)
    fatal = config.fatal or effective.fatal
    if said.lines is None:
        if fatal is None:
            return f"sshd stops, we go on: {said.words}"
        nul = any(b"\0" in data for data in sample.files.values())  # after a NUL sshd counts lines that we do not
        quiet = any("loglevel" in option.lower() for option in sample.options)  # only what ends it at once is logged
        if said.stopped and fatal.where.path and config.fatal and not nul and not quiet:
            where = (os.fsdecode(fatal.where.path), fatal.where.line)
            if where != said.stopped:
                return f"sshd stops at {said.stopped}, we at {where} ({fatal.message}): {said.words}"
        return None
    if fatal is not None:
        return f"we stop at {fatal}, sshd goes on: {said.words}"
    ours, theirs = sorted(effective.dump()), sorted(said.lines)
    if ours != theirs:
        return f"only sshd: {sorted(set(theirs) - set(ours))}, only we: {sorted(set(ours) - set(theirs))}"
    return None


def compare(sshd: str, key: Path, count: int, seed: int, folder: Path, most: int = 5) -> tuple[int, list[str]]:
    """How many samples sshd took, and the first differences with their files."""
    maker = Maker(seed, folder)
    taken, found = 0, []
    for number in range(count):
        sample = maker.sample(number)
        wrong = difference(sshd, key, sample)
        taken += judge(key, sample)[0].fatal is None
        if wrong:
            files = "\n".join(f"--- {path}\n{data!r}" for path, data in sample.files.items())
            found.append(f"sample {number}, seed {seed}: {wrong}\n{sample.connection} {sample.options}\n{files}")
            if len(found) >= most:
                break
        for path in sample.files:
            path.unlink()
    return taken, found


def host_key(folder: Path, ssh_keygen: str) -> Path:
    key = folder / "key"
    subprocess.run([ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, capture_output=True)
    return key


def prepare() -> None:
    """The folder sshd wants to see before it says anything."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sshd", default="/usr/sbin/sshd")
    given = parser.parse_args()
    prepare()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sandscan-sshd-") as name:
        folder = Path(name)
        taken, found = compare(given.sshd, host_key(folder, "ssh-keygen"), given.count, given.seed, folder)
    for text in found:
        sys.stdout.write(text + "\n\n")
    sys.stdout.write(
        f"{given.count} configurations, {taken} of them good, {len(found)} differences, {time.monotonic() - began:.0f} s\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
