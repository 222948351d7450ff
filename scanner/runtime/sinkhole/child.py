"""The sink's own process: it lives in a network namespace without uplink, owns every address there, and answers.

An attempt is told when it is noticed, what it came to when it is over. Whatever a guest sends costs bounded memory and no crash.
"""

import asyncio
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from scanner.model import Json
from scanner.model.run import Endpoint
from scanner.runtime.sinkhole import netlink, privileges, tproxy, wiring
from scanner.runtime.sinkhole.addresses import NAME_PORTS, SINK_LINK
from scanner.runtime.sinkhole.answers import answering
from scanner.runtime.sinkhole.flows import Flow, Flows
from scanner.runtime.sinkhole.names import MALFORMED, Names, is_query
from scanner.runtime.sinkhole.packet import Packet
from scanner.runtime.sinkhole.pcap import Capture
from scanner.runtime.sinkhole.records import Outbox, Setup
from scanner.runtime.sinkhole.tap import Tap

_LIMITS = answering.Limits(seconds=24 * 3600, read=1 << 40)
"""A conversation ends with the run, or by its own silence: what it sends is counted, not kept."""
_SILENCE = 1.0
"""Seconds that a client has for its first byte before the server speaks."""
_MORE = 0.3
"""Seconds between the bytes of a client that sends its first ones piece by piece, until they say what they are."""
_ENOUGH = 1024
_DNS_IDLE = 10.0
_DNS_READ = 1 << 16
_AT_ONCE = 128
_FILES_KEPT_FREE = 256
_TCP_BYTES_RECEIVED = struct.Struct("=128xQ")
_PEER_IS_DONE = frozenset({6, 8, 9, 11})
"""TCP's states behind a FIN, which counts as a byte received: TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING."""
_QUIET = 0.3
_TROUBLES = 10
_NOT_INSTALLED = "is not installed"
_DOWN = "the guest's network was taken down during the run: what it tried after that was not seen"


@dataclass(slots=True)
class _Conversation:
    connection: socket.socket
    flow: Flow
    source: Endpoint
    target: Endpoint
    first: bytes = b""
    sent: int = 0
    service: str = "silent"
    details: dict[str, Json] = field(default_factory=dict)

    def tell(self, facts: Mapping[str, Json]) -> None:
        for key, fact in facts.items():
            if key == "service":
                self.service = str(fact)
            else:
                self.details[key] = fact


def main() -> None:
    """The child's main. Arguments: where modules lie, and a Setup, both as JSON."""
    setup = Setup(**json.loads(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=setup.control)
    outbox = Outbox(control)
    try:
        server = _stand(setup, outbox)
    except Exception as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e) or type(e).__name__
        outbox.say({"is": "failed", "why": why})
        outbox.flush()
        sys.exit(1)
    asyncio.run(server.run(control, setup.drain_seconds))


def _stand(setup: Setup, outbox: Outbox) -> "_Server":
    """The network, the sockets, and then no more privileges than they need. Raises OSError."""
    privileges.end_with(setup.parent)
    files = privileges.raise_open_files()
    keys, unanswered = _keys()
    netlink.unshare_network()
    wiring.own_everything(setup.guest)
    wiring.connect(setup.guest)
    caught = tproxy.catch(setup.guest, setup.methods)
    os.close(setup.guest)
    server = _Server(caught, outbox, Names(setup.names), keys, files - _FILES_KEPT_FREE)
    server.unanswered = unanswered
    capture = Capture(setup.pcap, setup.pcap_bytes) if setup.pcap >= 0 else None
    privileges.give_up(setup.parent, max(setup.pcap_bytes, 1 << 20))
    if capture is not None:
        server.capture = capture
        capture.start()
    return server


def _keys() -> tuple[answering.Keys, list[str]]:
    """Keys, and sentences about what cannot be answered for want of them. All is imported here that answers need: while nobody waits for it, and what
    Python compiles can be kept."""
    answering.recognise(b"\0", 0)
    keys, unanswered = answering.Keys(), []
    if keys.tls("localhost", ()) is None:
        unanswered.append("TLS is not answered: cryptography is not installed (pip install 'sandscan[observe]')")
    if keys.ssh() is None:
        unanswered.append("SSH is not answered: asyncssh is not installed (pip install 'sandscan[observe]')")
    return keys, unanswered


class _Server:
    def __init__(self, caught: tproxy.Catch, outbox: Outbox, names: Names, keys: answering.Keys, most: int) -> None:
        self._caught = caught
        self._outbox = outbox
        self._names = names
        self._most = most
        self._flows = Flows(outbox, names.name, _recognised)
        self._tap = Tap(self._saw)
        self._conversations: dict[asyncio.Task[None], _Conversation] = {}
        self._keys = keys
        self._events = 0
        self._none_waited = dict.fromkeys(caught.streams, 0.0)
        self._waking: asyncio.TimerHandle | None = None
        self._unheard: Counter[str] = Counter()
        self.notes: list[str] = []
        self.unanswered: list[str] = []
        self.capture: Capture | None = None

    async def run(self, control: socket.socket, drain_seconds: float) -> None:
        """Answer until the parent says that it is enough, or is gone."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        self._control = control
        self._loop = loop
        finish = loop.create_future()
        loop.add_reader(control, self._told, finish)
        loop.add_reader(self._tap.socket, self._read_tap)
        for listener in self._caught.streams:
            loop.add_reader(listener, self._accept, listener)
        for datagrams in self._caught.datagrams:
            loop.add_reader(datagrams, self._datagrams, datagrams)
        ticking = loop.create_task(self._tick())
        self._outbox.say({"is": "ready", "method": self._caught.method})
        self._send()
        await finish
        await self._drain(drain_seconds)
        ticking.cancel()
        self._flows.close()
        self._say_done()

    def _told(self, finish: "asyncio.Future[None]") -> None:
        with suppress(BlockingIOError):
            if not self._control.recv(64, socket.MSG_DONTWAIT):
                os._exit(0)  # the parent is gone, and with us goes the network
        if not finish.done():
            finish.set_result(None)

    def _trouble(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours costs what it happened to, and is told."""
        if len(self.notes) < _TROUBLES:
            error = context.get("exception")
            self.notes.append(
                f"the sink had a fault: {error!r}" if error else f"the sink had a fault: {context['message']}"
            )

    # what is sent

    def _send(self) -> None:
        self._waking = None
        try:
            self._outbox.flush()
        except OSError:
            os._exit(0)
        if self._outbox.empty:
            self._loop.remove_writer(self._control)
        else:
            self._loop.add_writer(self._control, self._send)

    def _send_soon(self) -> None:
        if self._waking is None:
            self._waking = self._loop.call_later(0.01, self._send)

    # what comes in

    def _saw(self, packet: Packet, when: float) -> None:
        self._events += 1
        self._flows.packet(packet, when)

    def _read_tap(self) -> None:
        self._tap.read()
        self._send()

    def _accept(self, listener: socket.socket) -> None:
        self._tap.read()  # first: it knows when the handshake began
        for _ in range(_AT_ONCE):
            try:
                connection, source = listener.accept()
            except BlockingIOError:
                self._none_waited[listener] = time.time()
                break
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._loop.remove_reader(listener)
                    self._loop.call_later(0.1, self._loop.add_reader, listener, self._accept, listener)
                    break
                continue  # a connection that was over before it was taken
            self._events += 1
            self._take(connection, Endpoint(source[0].split("%")[0], source[1]))
        self._send()

    def _take(self, connection: socket.socket, source: Endpoint) -> None:
        connection.setblocking(False)
        address = connection.getsockname()
        target = Endpoint(address[0].split("%")[0], address[1])
        now = time.time()
        flow = self._flows.accepted(source, target, now)
        if len(self._conversations) >= self._most:
            connection.close()
            self._outbox.dropped["conversations"] += 1
            self._flows.ended(flow, "unknown", {"unanswered": "too many connections at once"}, b"", 0, now)
            return
        conversation = _Conversation(connection, flow, source, target)
        task = self._loop.create_task(self._converse(conversation))
        self._conversations[task] = conversation
        task.add_done_callback(self._conversations.pop)

    async def _converse(self, talk: _Conversation) -> None:
        try:
            talk.first = first = await self._first(talk.connection, talk.target.port or 0)
            if talk.target.port in NAME_PORTS and is_query(first[2:]):
                talk.sent = await self._names_asked(talk)
            else:
                heard = answering.recognise(first, talk.target.port or 0)
                talk.service = heard.service
                limits = _LIMITS if first else replace(_LIMITS, silence=0.01)  # it has been silent already
                name = self._names.name(talk.target.address)
                resolve = partial(self._resolved, talk)
                context = answering.Context(talk.target, name, talk.tell, self._keys, limits, resolve)
                spoken = await answering.converse(talk.connection, first, heard, context)
                talk.first, talk.sent = spoken.first, spoken.received
        except asyncio.CancelledError:
            talk.details["end"] = "the run was over"
        except OSError as e:
            talk.sent = max(talk.sent, _received(talk.connection))
            talk.details["end"] = "reset" if isinstance(e, ConnectionError) else str(e.strerror or e)
        finally:
            talk.connection.close()
            self._unheard.update(str(talk.details[key]) for key in ("problem", "unanswered") if key in talk.details)
            self._flows.ended(talk.flow, talk.service, talk.details, talk.first, talk.sent, time.time())
            self._send_soon()

    def _resolved(self, talk: _Conversation, message: bytes) -> bytes | None:
        """The answer to a question that came in a conversation of another kind: over HTTPS, over TLS, at a port that is not DNS's."""
        asked = self._names.ask(message, udp=False)
        if asked is None:
            return None
        self._outbox.query(time.time(), asked.name, asked.type, talk.source, talk.target, "tcp")
        self._send_soon()
        return asked.answer

    async def _first(self, connection: socket.socket, port: int) -> bytes:
        """The first bytes, which stay to be read: enough to say what they are, or what came until a pause. Raises OSError."""
        first = b""
        wait = _SILENCE
        while await self._readable(connection, wait):
            more = connection.recv(_ENOUGH, socket.MSG_PEEK)
            if len(more) == len(first) or len(more) >= _ENOUGH:
                first = more
                break
            first = more
            if port in NAME_PORTS and is_query(first[2:]):
                break
            if answering.recognise(first, port).service != "unknown":
                break
            # what was peeked at makes it readable no more: more bytes than those do
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(first) + 1)
            wait = _MORE
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return first

    async def _readable(self, connection: socket.socket, seconds: float) -> bool:
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._loop.add_reader(connection, _done, waiter, True)
        timer = self._loop.call_later(seconds, _done, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._loop.remove_reader(connection)

    async def _names_asked(self, talk: _Conversation) -> int:
        """DNS over TCP (RFC 7766): questions until the client has no more. How many bytes it sent. Raises OSError."""
        talk.service, talk.details["dns"] = "dns", {"transport": "tcp"}
        waiting = bytearray()
        received = 0
        while True:
            try:
                async with asyncio.timeout(_DNS_IDLE):
                    data = await self._loop.sock_recv(talk.connection, _DNS_READ)
            except TimeoutError:
                return received
            if not data:
                return received
            received += len(data)
            waiting += data
            while len(waiting) >= 2 and len(waiting) >= 2 + (size := int.from_bytes(waiting[:2])):
                message = bytes(waiting[2 : 2 + size])
                del waiting[: 2 + size]
                asked = self._names.ask(message, udp=False)
                if asked is None:
                    return received
                self._outbox.query(time.time(), asked.name, asked.type, talk.source, talk.target, "tcp")
                self._send_soon()
                if asked.answer is not None:
                    async with asyncio.timeout(_DNS_IDLE):
                        await self._loop.sock_sendall(talk.connection, len(asked.answer).to_bytes(2) + asked.answer)

    def _datagrams(self, datagrams: socket.socket) -> None:
        self._tap.read()
        for _ in range(_AT_ONCE):
            try:
                got = tproxy.receive(datagrams)
            except BlockingIOError:
                break
            except OSError:
                continue  # an error that came back for an answer of ours
            self._events += 1
            if got is not None:
                self._datagram(got)
        self._send()

    def _datagram(self, got: tproxy.Datagram) -> None:
        port = got.target.port or 0
        asked = self._names.ask(got.data, udp=True) if port in NAME_PORTS else None
        details: Mapping[str, Json]
        answer: bytes | None
        if asked is not None and asked.type != MALFORMED:
            service, details, answer = "dns", {"dns": {"transport": "udp"}}, asked.answer
        else:
            heard, answer = answering.datagram(got.data, port)
            service, details = heard.service, heard.details
            if asked is None and service == "dns":
                asked = self._names.ask(got.data, udp=True)
            if asked is not None and service in ("dns", "unknown"):
                answer = asked.answer
            else:
                asked = None
        if asked is not None:
            self._outbox.query(got.time, asked.name, asked.type, got.source, got.target, "udp")
        self._flows.datagram(got.source, got.target, got.data, service, details, got.time)
        if answer is not None:
            try:
                tproxy.reply(answer, got)
            except OSError:
                self._outbox.dropped["answers"] += 1

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            for listener in self._caught.streams:
                self._accept(listener)
            self._flows.expire(time.time(), min(self._none_waited.values()))
            self._look_at_the_link()
            self._send()

    def _look_at_the_link(self) -> None:
        """A guest that may (NET_ADMIN) can take its end of the wire down, or away."""
        try:
            stands = netlink.passes(SINK_LINK)
        except OSError:
            stands = False
        if not stands and _DOWN not in self.notes:
            self.notes.append(_DOWN)

    # the end

    async def _drain(self, seconds: float) -> None:
        """Until nothing new comes; then conversations have a second to end by themselves."""
        self._look_at_the_link()
        deadline = self._loop.time() + seconds
        seen = -1
        while seen != self._events and self._loop.time() < deadline:
            seen = self._events
            await asyncio.sleep(_QUIET)
        if seen != self._events:
            self.notes.append(
                f"after {seconds:g} seconds there was still more coming: what waited then was not looked at"
            )
        for reader in (self._tap.socket, *self._caught.streams, *self._caught.datagrams):
            self._loop.remove_reader(reader)
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=max(0.1, min(1, deadline - self._loop.time())))
        for task, talk in list(self._conversations.items()):
            talk.sent = _received(talk.connection)  # whoever converses closes it
            task.cancel()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=2)

    def _say_done(self) -> None:
        self.notes += (
            f"connections that were not heard out: {count:,} ({why})"
            for why, count in self._unheard.most_common(_TROUBLES)
            if not why.endswith(_NOT_INSTALLED)
        )
        dropped = self._outbox.dropped
        dropped["packets looked at"] += self._tap.count()
        dropped["names"] += self._names.left_out
        if self.capture is not None:
            dropped["packets captured"] += self.capture.finish()
            if self.capture.trouble:
                self.notes.append(f"the packet capture ended early: {self.capture.trouble}")
        self._outbox.say(
            {
                "is": "done",
                "dropped": {k: n for k, n in dropped.items() if n},
                "notes": list(self.notes),
                "unanswered": list(self.unanswered),
            }
        )
        while not self._outbox.empty:
            self._outbox.flush()
            select.select([], [self._control], [], 1)


def _recognised(data: bytes, port: int) -> tuple[str, Mapping[str, Json]]:
    heard = answering.datagram(data, port)[0]
    return heard.service, heard.details


def _received(connection: socket.socket) -> int:
    """How many bytes a connection brought, read or not (`tcpi_bytes_received`, include/uapi/linux/tcp.h)."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_BYTES_RECEIVED.size)
        count: int = _TCP_BYTES_RECEIVED.unpack(info)[0]
    except (OSError, struct.error):
        return 0
    return max(0, count - (info[0] in _PEER_IS_DONE))


def _done(waiter: "asyncio.Future[bool]", result: bool) -> None:
    if not waiter.done():
        waiter.set_result(result)
