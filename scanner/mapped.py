"""Files mapped into memory without filling it: pages already looked at are given back while a matcher runs on."""

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LARGE = 4 << 20
_PERIOD = 0.02
_lock = threading.Lock()
_large: set[mmap.mmap] = set()
_more = threading.Event()


@contextmanager
def mapped(fd: int, offset: int, size: int) -> Iterator[memoryview]:
    """`size` > 0 bytes at `offset` of a regular file, read-only. The view must not be kept beyond the block.

    Resident memory stays small whatever the size: the pages are the file's own, so dropping them is always safe and the
    next look brings them back from the page cache.
    """
    skip = offset % mmap.ALLOCATIONGRANULARITY
    area = mmap.mmap(fd, size + skip, prot=mmap.PROT_READ, offset=offset - skip)
    whole = memoryview(area)
    view = whole[skip : skip + size]
    if size > LARGE:
        _watch(area)
    try:
        yield view
    finally:
        with _lock:
            _large.discard(area)
        # a slice that an exception's traceback still holds keeps the mapping until it goes; that is no error of its own
        with suppress(BufferError):
            view.release()
            whole.release()
            area.close()


def _watch(area: mmap.mmap) -> None:
    with _lock:
        if not any(t.name == "sandscan-pages" for t in threading.enumerate()):
            threading.Thread(target=_give_back, name="sandscan-pages", daemon=True).start()
        _large.add(area)
        _more.set()


def _give_back() -> None:
    while True:
        _more.wait()
        with _lock:
            for area in _large:
                area.madvise(mmap.MADV_DONTNEED)
            if not _large:
                _more.clear()
        threading.Event().wait(_PERIOD)
