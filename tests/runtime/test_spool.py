"""A run's files as a layer: every header reads as Python's own tar writer would have written it."""

import io
import os
import tarfile
from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from scanner.model import Kind, Layer
from scanner.model.run import FileState
from scanner.runtime.spool import LayerSpool

NAMES = st.lists(
    st.binary(min_size=1, max_size=120).filter(lambda n: not {0, 47} & set(n)), min_size=1, max_size=3
).map(b"/".join)
NUMBERS = st.one_of(st.integers(0, 8**7 + 2), st.integers(0, 2**32 - 1))


@given(
    NAMES,
    st.integers(0, 0o7777),
    NUMBERS,
    NUMBERS,
    st.one_of(st.none(), st.floats(-(2.0**40), 2.0**40)),
    st.binary(max_size=600),
)
def test_a_file_is_written_as_tarfile_writes_it(
    path: bytes, mode: int, uid: int, gid: int, modified: float | None, content: bytes
) -> None:
    with ExitStack() as resources:
        spool = LayerSpool(resources)
        spool.add(path, FileState(Kind.FILE, mode, uid, gid, len(content), modified), (content,))
        stream = spool.blob(Layer(0, None)).open()
        written = stream.read(1 << 20)
        stream.close()
    member = tarfile.TarInfo(os.fsdecode(path))
    member.mode, member.uid, member.gid, member.size, member.mtime = mode, uid, gid, len(content), int(modified or 0)
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        tar.addfile(member, io.BytesIO(content))
    length = -(-(expected.tell()) // 512) * 512
    assert written.rstrip(b"\0") == expected.getvalue()[:length].rstrip(b"\0")
