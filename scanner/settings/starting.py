"""The files that `sandscan init` writes: a configuration in which every key stands with its default, and a workflow that scans."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from scanner.settings.inventory import Inventory
from scanner.settings.keys import Key, Kind

HELD = timedelta(days=90)
"""How long the example of an entry holds."""
CHECKOUT = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0"
UPLOAD = "github/codeql-action/upload-sarif@1c5b675653bb5c22dbe9b12b556ec555138e09fd # v4.38.1"
_WIDTH = 118
_TYPED = re.compile(r"[-+]?\.?[0-9].*|\.(?:inf|nan)|true|false|null|yes|no|on|off|y|n", re.IGNORECASE)
"""Plain names that YAML 1.1 or 1.2 takes for something else than text: the folder 1.10 would be 1.1."""

_HEAD = """\
# The configuration of sandscan: options of its commands, and findings that are ignored until a day. It holds wherever in
# this repository sandscan is run; what stands on the command line comes before it. Every key is there with its default:
# take the # away to set it. `sandscan config` checks the file and shows what holds.
"""
_IGNORE = """\
# ---- findings that are no reason to fail, each with a reason and a last day; afterwards they count again.
# `rule`, `path` and `image` are patterns: * stays within a part of a path, ** does not. Confirmed miners, and tunnels
# that were seen at work, are never ignored.
#ignore:
#  - rule: ssh/authorized-key
#    path: root/.ssh/authorized_keys
#    image: agent
#    reason: the harness logs in with this key
#    expires: {expires}
"""


def configuration(commands: Mapping[str, Sequence[Key]], inventory: Inventory, today: date) -> str:
    """A commented `.sandscan.yaml`. A single Dockerfile is what findings in an image lead back to."""
    active = {"scan": {"dockerfile": inventory.builds[0].dockerfile}} if len(inventory.builds) == 1 else {}
    usable = {name: [k for k in keys if not k.refused] for name, keys in commands.items()}
    counts: dict[str, list[str]] = {}
    for name, keys in usable.items():
        for key in keys:
            counts.setdefault(key.name, []).append(name)
    lines = [_HEAD, "# ---- for all commands that have the option"]
    told: set[str] = set()
    for keys in usable.values():
        for key in keys:
            if len(counts[key.name]) > 1 and key.name not in told and key.name not in commands:
                told.add(key.name)
                lines += _key(key, "")
    for name, keys in usable.items():
        own = [k for k in keys if len(counts[k.name]) == 1 or k.name in commands]
        set_here = {k.name: active.get(name, {}).get(k.name) for k in keys}
        chosen = [k for k in keys if set_here[k.name] is not None and k not in own]
        if own or chosen:
            begin = "" if any(set_here.values()) else "#"
            lines += ["", f"# ---- for sandscan {name} alone", f"{begin}{name}:"]
            for key in (*chosen, *own):
                lines += _key(key, "  ", set_here[key.name])
    lines += ["", _IGNORE.format(expires=(today + HELD).isoformat())]
    return "\n".join(lines)


def _key(key: Key, indent: str, value: str | None = None) -> Iterator[str]:
    named = f" Only in a file that is named with --config, for {key.named_only}." if key.named_only else ""
    yield ""
    for line in textwrap.wrap(key.help + named, _WIDTH - len(indent)):
        yield f"{indent}# {line}"
    if value is not None:
        yield f"{indent}{key.name}: {value}"
        return
    shown = f"  # {key.metavar}" if key.several and key.metavar else ""
    if not key.several and key.default is None and key.kind is not Kind.FLAG:
        shown = "  # an example: not set by default"
    yield f"#{indent}{key.name}: {_default(key)}{shown}"


def _default(key: Key) -> str:
    if key.several:
        return "[]"
    if key.kind is Kind.FLAG:
        return "false"
    if key.default is not None:
        return json.dumps(key.default).strip('"')
    return key.choices[0] if key.choices else json.dumps(key.metavar or "…", ensure_ascii=False)


def workflow(inventory: Inventory, requirement: str) -> str:
    """A workflow of GitHub Actions that checks the repository, scans what it builds and judges what it launches.

    `requirement` is what pipx installs. All that comes from the repository's files is of the inventory's plain names, and reaches the
    shell through the environment. Of a scan that failed or is incomplete nothing is uploaded, for code scanning closes every alert that
    an upload does not repeat.
    """
    targets = [_target("repository", "check .")]
    targets += (
        _target(
            f"image/{b.image}",
            f"scan docker:{b.image}:scan --dockerfile {b.dockerfile}",
            b.image,
            b.dockerfile,
            b.context,
        )
        for b in inventory.builds
    )
    targets += (_target(f"launch/{one.name}", f"egress {' '.join(one.files)}") for one in inventory.launches)
    return f"""\
# Looks at every push and pull request for what a sandbox must not hold or reach. Findings stand in the step's summary, at
# their lines, and in the repository's code scanning where that is there. Written by sandscan init, to be changed freely:
# each target is an entry of the matrix. `check` looks at all files of the repository, at new ones too; `scan` at an image,
# which is built before; `egress` says what the files of one launch let it reach, and what closes it.
name: sandscan

on:
  push:
    branches: [main, master]
  pull_request:

permissions: {{}}

concurrency:
  group: sandscan-${{{{ github.ref }}}}
  cancel-in-progress: true

jobs:
  sandscan:
    name: ${{{{ matrix.name }}}}
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    permissions:
      contents: read # to check out the repository
      security-events: write # to upload to code scanning; without it everything else still works
      actions: read # code scanning asks for it in private repositories
    strategy:
      fail-fast: false
      matrix:
        include:
{textwrap.indent("".join(targets), "          ")}\
    steps:
      - name: Get the repository
        uses: {CHECKOUT}
        with:
          persist-credentials: false

      - name: Install sandscan
        run: pipx install "{requirement}"

      - name: Build the image
        if: matrix.dockerfile != ''
        env:
          CONTEXT: ${{{{ matrix.context }}}}
          DOCKERFILE: ${{{{ matrix.dockerfile }}}}
          IMAGE: ${{{{ matrix.image }}}}
        run: docker build --file "$DOCKERFILE" --tag "$IMAGE:scan" -- "$CONTEXT"

      - name: Scan
        id: scan
        env:
          COMMAND: ${{{{ matrix.command }}}}
        run: |
          read -ra words <<<"$COMMAND"
          code=0
          sandscan "${{words[@]}}" -o github -o markdown="$GITHUB_STEP_SUMMARY" -o sarif="$RUNNER_TEMP/sandscan.sarif" || code=$?
          if [ "$code" -le 1 ]; then
            echo "sarif=$RUNNER_TEMP/sandscan.sarif" >>"$GITHUB_OUTPUT"
          fi
          exit "$code"

      - name: Upload to code scanning
        if: always() && steps.scan.outputs.sarif != ''
        continue-on-error: true # a fork's token may not, and not every repository has code scanning
        uses: {UPLOAD}
        with:
          sarif_file: ${{{{ steps.scan.outputs.sarif }}}}
          category: sandscan/${{{{ matrix.name }}}}
"""


def _target(name: str, command: str, image: str = "", dockerfile: str = "", context: str = "") -> str:
    said = {"name": name, "command": command, "image": image, "dockerfile": dockerfile, "context": context}
    lines = [
        f"{key}: {json.dumps(value) if _TYPED.fullmatch(value) else value}" for key, value in said.items() if value
    ]
    return "- " + "\n  ".join(lines) + "\n"
