import struct
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.runtime.trace.btf import BtfError, Types, running_kernel
from tests.runtime.trace.sandbox import need_bpf


def blob(*types: bytes, names: bytes) -> bytes:
    body = b"".join(types)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(names)) + body + names


def struct_type(name: int, size: int, *members: tuple[int, int, int], union: bool = False, bits: bool = False) -> bytes:
    info = (5 if union else 4) << 24 | len(members) | bits << 31
    return struct.pack("<III", name, info, size) + b"".join(struct.pack("<III", *member) for member in members)


NAMES = b"\0int\0task\0pid\0flags\0inner\0alias\0deep\0"
INT, TASK, PID, FLAGS, INNER, ALIAS, DEEP = (NAMES.index(b"\0" + n + b"\0") + 1 for n in
                                             (b"int", b"task", b"pid", b"flags", b"inner", b"alias", b"deep"))  # fmt: skip

SMALL = blob(
    struct.pack("<IIII", INT, 1 << 24, 4, 32),  # 1: int
    struct_type(INNER, 16, (0, 1, 0), (DEEP, 1, 96)),  # 2: struct inner, a nameless int and `deep` at byte 12
    struct.pack("<III", ALIAS, 8 << 24, 2),  # 3: typedef struct inner alias
    struct_type(0, 8, (PID, 1, 0), (FLAGS, 1, 32)),  # 4: nameless
    struct_type(0, 8, (0, 4, 0), union=True),  # 5: a nameless union around it
    struct_type(TASK, 64, (0, 5, 64), (INNER, 3, 256)),  # 6
    names=NAMES,
)


def test_members_are_found_through_nameless_structs_and_typedefs():
    types = Types(SMALL)

    assert types.offset("task", "pid") == 8
    assert types.offset("task", "flags") == 12
    assert types.offset("task", "inner", "deep") == 32 + 12
    assert types.size("inner") == 16


def test_what_is_not_there_is_an_error():
    types = Types(SMALL)
    with pytest.raises(BtfError, match=r"no task\.nothing"):
        types.offset("task", "nothing")
    with pytest.raises(BtfError, match=r"no ghost\.pid"):
        types.offset("ghost", "pid")
    with pytest.raises(BtfError, match="no ghost"):
        types.size("ghost")


def test_two_structs_of_one_name_that_disagree_are_an_error():
    one, other = (struct_type(TASK, 64, (PID, 1, at)) for at in (0, 32))
    number = struct.pack("<IIII", INT, 1 << 24, 4, 32)
    with pytest.raises(BtfError, match=r"more than one task\.pid"):
        Types(blob(number, one, other, names=NAMES)).offset("task", "pid")
    assert Types(blob(number, one, one, names=NAMES)).offset("task", "pid") == 0


def test_a_bit_field_has_no_offset():
    number = struct.pack("<IIII", INT, 1 << 24, 4, 32)
    types = Types(blob(number, struct_type(TASK, 8, (PID, 1, 3 << 24 | 5), (FLAGS, 1, 32), bits=True), names=NAMES))
    assert types.offset("task", "flags") == 4
    with pytest.raises(BtfError, match=r"no task\.pid"):
        types.offset("task", "pid")


def test_structs_that_lie_in_each_other_end():
    knot = [struct_type(0, 8, *[(0, 1 + (i + j) % 3, 0) for j in range(50)]) for i in range(3)]
    types = Types(blob(*knot, struct_type(TASK, 8, (0, 1, 0)), names=NAMES))
    with pytest.raises(BtfError, match=r"no task\.pid"):
        types.offset("task", "pid")


@given(st.binary(max_size=200))
def test_hostile_bytes_are_an_error_or_types(data):
    _asked(data)


@example([(4, 1)], 0)  # a header that is one byte longer than any
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(SMALL)))
def test_a_damaged_blob_is_an_error_or_an_offset(changes, cut):
    data = bytearray(SMALL)
    for at, value in changes:
        data[at] = value
    _asked(bytes(data))
    _asked(bytes(data[:cut]))


def _asked(data: bytes) -> None:
    try:
        offset = Types(data).offset("task", "inner", "deep")
    except BtfError:
        return
    assert 0 <= offset < 1 << 31


def test_the_kernel_tells_its_own_in_good_time():
    need_bpf()
    running_kernel.cache_clear()
    began = time.process_time()
    types = running_kernel()
    assert time.process_time() - began < 5
    assert running_kernel() is types
    assert types.offset("list_head", "next") == 0
    assert types.offset("list_head", "prev") == 8
    assert types.size("list_head") == 16
