"""File capabilities in words.

Format: linux/capability.h, struct vfs_cap_data and vfs_ns_cap_data (`security.capability`); the words are those of getcap(8).
"""

import struct

NAMES = tuple(
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore".split()
)
_EFFECTIVE = 1
_WORDS = {1: 1, 2: 2, 3: 2}
"""Revision of the format: how many 32-bit words each set has."""


def words(value: bytes) -> str:
    """`cap_net_raw=ep`, sets that differ one after the other (`cap_chown=ip cap_kill=p`); "" for an empty value.

    A value that no kernel writes is told as it is, in hexadecimal.
    """
    if not value:
        return ""
    unknown = f"unknown {value[:32].hex()}"
    if len(value) < 4:
        return unknown
    (head,) = struct.unpack_from("<I", value)
    count = _WORDS.get(head >> 24)
    if count is None or len(value) not in (4 + 8 * count, 8 + 8 * count):
        return unknown
    pairs = struct.unpack_from(f"<{2 * count}I", value, 4)
    permitted = sum(pairs[2 * i] << 32 * i for i in range(count))
    inheritable = sum(pairs[2 * i + 1] << 32 * i for i in range(count))
    effective = "e" if head & _EFFECTIVE else ""
    sets: dict[str, list[str]] = {}
    for bit in range(64):
        flags = ("i" if inheritable >> bit & 1 else "") + ("p" if permitted >> bit & 1 else "")
        if flags:
            sets.setdefault(effective + flags, []).append(_name(bit))
    return " ".join(f"{','.join(names)}={flags}" for flags, names in sorted(sets.items())) or "="


def _name(bit: int) -> str:
    return f"cap_{NAMES[bit]}" if bit < len(NAMES) else f"cap_{bit}"
