"""Every packet in a file that Wireshark and tcpdump read, up to a size.

Format: libpcap's, with nanoseconds (draft-ietf-opsawg-pcap), link type 1: Ethernet.
"""

import os
import select
import struct
import threading
from typing import Final

from scanner.runtime.sinkhole import tap

SNAPLEN: Final = 262_144
"""A veth hands over segments that no wire would take, up to 64 KiB and their headers."""
HEADER: Final = struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPLEN, 1)

_RECEIVE_BYTES = 32 << 20
_RECORD = struct.Struct("=IIII")
_TIME = struct.Struct("=qq")
_BUFFER = 1 << 18


class Capture:
    """Writes in a thread of its own what passes on the sink's link, in both directions, to a file that is open.

    `limit` bytes at most: what does not fit, and all after it, is counted. Raises OSError.
    """

    def __init__(self, file: int, limit: int) -> None:
        self._file = os.fdopen(file, "wb", buffering=_BUFFER)
        self._limit = limit
        self._size = len(HEADER)
        self._written = 0
        self._stop = threading.Event()
        self.trouble = ""
        self._file.write(HEADER)
        self._file.flush()
        self._socket = tap.packet_socket(_RECEIVE_BYTES)
        tap.listen(self._socket)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """After privileges were given up: a thread has its own."""
        self._thread.start()

    def finish(self) -> int:
        """Write what waits, close the file; how many packets are not in it."""
        self._stop.set()
        self._thread.join()
        packets, _ = tap.statistics(self._socket)
        self._socket.close()
        return packets - self._written

    def _run(self) -> None:
        try:
            with self._file:
                self._read()
        except OSError as e:
            self.trouble = e.strerror or str(e)

    def _read(self) -> None:
        buffer = bytearray(SNAPLEN)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            try:
                size, ancillary, _, _ = self._socket.recvmsg_into([buffer], 64)
            except BlockingIOError:
                self._file.flush()
                if self._stop.is_set():
                    return
                poll.poll(200)
                continue
            if self._size + _RECORD.size + size > self._limit:
                # what comes now fills the socket and is counted by the kernel
                return
            seconds, nanoseconds = _TIME.unpack(ancillary[0][2]) if ancillary else (0, 0)
            self._file.write(_RECORD.pack(seconds & 0xFFFFFFFF, nanoseconds, size, size))
            self._file.write(memoryview(buffer)[:size])
            self._size += _RECORD.size + size
            self._written += 1
