"""The configuration file: `.sandscan.yaml` (or `.sandscan.yml`), or `[tool.sandscan]` in pyproject.toml.

A file that was found, and not named by the user, comes with the repository that is looked at, and may be hostile. It can

- set findings aside, lower the gate (`fail-on: never`), narrow what is judged (`sandbox`), take facts for granted (`assume`), expect
  changes: that is what it is for. The report says which options hold and counts and names what is set aside; confirmed miners and tunnels
  at work stay (scanner.model.never_aside);
- lower a limit: what is then not read makes the scan incomplete, as ever; raise one, and with it what a scan may take;
- make a scan slow, within the limits of rules and files.

It cannot

- read or write outside its folder: every path in it has to lead into it, links followed;
- write anything but reports and packets, to a name with the ending of such a file and no part that begins with a dot: no `.git/config`,
  no program, no module of an interpreter;
- hush warnings (`quiet`), name what is fetched (`image`, `command`), bring rules, which may include any file (`rules`), or give up
  encryption (`insecure-registry`): a file that the user names with --config may;
- run anything: nothing in it is a program, and no tag of YAML makes an object.
"""

from scanner.settings.found import NAMES, find
from scanner.settings.keys import Key, Kind, Role
from scanner.settings.loading import BYTES, NOTHING, Option, Settings, load, parse
from scanner.settings.schema import schema

__all__ = [
    "BYTES",
    "NAMES",
    "NOTHING",
    "Key",
    "Kind",
    "Option",
    "Role",
    "Settings",
    "find",
    "load",
    "parse",
    "schema",
]
