"""What kind of program a file is, by its first bytes."""

ELF = "ELF program"
OBJECT = "object file"
PE = "Windows program"
MACHO = "macOS program"
WASM = "WebAssembly module"
CLASS = "Java class"
BYTECODE = "Python bytecode"
DEX = "Android program"
SCRIPT = "script"
EMBEDDED = "program inside another file"

IN_PIECES = frozenset({CLASS, BYTECODE, SCRIPT})
"""Forms of which many files make one program: those of one folder are judged together."""

_MACHO = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")


def form(name: bytes, head: bytes) -> str | None:
    """The form of a compiled program, None for text, data and core dumps."""
    if head.startswith(b"\x7fELF"):
        kind = int.from_bytes(head[16:18], "big" if head[5:6] == b"\2" else "little")
        return {1: OBJECT, 4: None}.get(kind, ELF)
    if head.startswith(b"MZ"):
        return PE
    if head.startswith(_MACHO):
        return MACHO
    if head.startswith(b"\xca\xfe\xba\xbe"):
        # a class file has its version where a universal Mach-O has its small number of architectures
        return CLASS if int.from_bytes(head[4:8], "big") >= 45 else MACHO
    if head.startswith(b"\0asm"):
        return WASM
    if head.startswith(b"dex\n"):
        return DEX
    if head[2:4] == b"\r\n" and name.endswith((b".pyc", b".pyo")):
        return BYTECODE
    return None
