#!/usr/bin/env -S python3 -ES
"""runc, for a machine whose capabilities are fewer than the kernel's: a privileged container gets what the machine has.

Engine 20.10 asks for every capability the kernel knows, and runc fails where one is not the machine's to give.
"""

import os
import sys

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
"""By number, as <linux/capability.h> has them."""


def lacking() -> set[str]:
    """The capabilities that nothing on this machine can be given."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - the runtime's every call comes through here
        held = int(next(line.split()[1] for line in status if line.startswith("CapBnd")), 16)
    return {f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if not held >> number & 1}


def main() -> None:
    words = sys.argv[1:]
    if "create" in words and "--bundle" in words:
        lessen(f"{words[words.index('--bundle') + 1]}/config.json", "process")
    elif "exec" in words and "--process" in words:
        lessen(words[words.index("--process") + 1], None)
    os.execvp("runc", ["runc", *words])


def lessen(name: str, below: str | None) -> None:
    """Take what the machine lacks out of the process that the file describes."""
    import json
    from pathlib import Path

    file = Path(name)
    settings = json.loads(file.read_text())
    process = settings if below is None else settings[below]
    gone = lacking()
    wanted = process.get("capabilities") or {}
    process["capabilities"] = {kind: [name for name in names if name not in gone] for kind, names in wanted.items()}
    file.write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
