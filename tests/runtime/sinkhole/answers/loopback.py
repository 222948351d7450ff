"""A loopback listener whose every connection is answered, as the sink does it, in a thread with a loop of its own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scanner.model.run import Endpoint
from scanner.runtime.sinkhole.answers.answering import Context, Keys, Limits, Spoken, converse, recognise

PEEK = 0.4


@dataclass
class Conversation:
    """What was told of one connection, as it was told; `spoken` once it is over."""

    details: dict[str, Any] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    spoken: Spoken | None = None

    def tell(self, facts: Mapping[str, Any]) -> None:
        self.details.update(facts)
        if "service" in facts:
            self.services.append(facts["service"])

    @property
    def service(self) -> str:
        return self.services[-1]


@dataclass
class Sink:
    """`port` is where it listens in truth."""

    port: int
    conversations: list[Conversation]
    tasks: set[Any]
    loop: asyncio.AbstractEventLoop

    def ended(self, count: int = 1, seconds: float = 10) -> list[Conversation]:
        """The conversations, once there are `count` and all of them are over."""
        for _ in range(int(seconds / 0.02)):
            if len(self.conversations) >= count and all(c.spoken for c in self.conversations):
                return self.conversations
            threading.Event().wait(0.02)
        raise AssertionError(f"not over: {self.conversations}")

    def until(self, true: Callable[[Conversation], Any], seconds: float = 10) -> Conversation:
        """The first conversation of which `true` is true."""
        for _ in range(int(seconds / 0.02)):
            for conversation in list(self.conversations):
                if true(conversation):
                    return conversation
            threading.Event().wait(0.02)
        raise AssertionError(f"never: {self.conversations}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)


@contextmanager
def answering(
    port: int,
    address: str = "192.0.2.7",
    keys: Keys | None = None,
    name: str | None = None,
    limits: Limits | None = None,
    resolve: Any = None,
) -> Iterator[Sink]:
    """A sink whose clients believe that they speak with that port of that address."""
    limits = limits or Limits(seconds=8, idle=3, silence=0.2)
    shared = keys or Keys()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setblocking(False)
    loop = asyncio.new_event_loop()
    sink = Sink(listener.getsockname()[1], [], set(), loop)

    async def one(connection: socket.socket, told: Conversation) -> None:
        first = await _peeked(connection)
        heard = recognise(first, port)
        context = Context(Endpoint(address, port), name, told.tell, shared, limits, resolve)
        told.spoken = await converse(connection, first, heard, context)

    async def serve() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            told = Conversation()
            sink.conversations.append(told)
            task = loop.create_task(one(connection, told))
            sink.tasks.add(task)
            task.add_done_callback(sink.tasks.discard)

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.create_task(serve())
        sink.tasks.add(server)
        loop.run_forever()
        for task in list(sink.tasks):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*sink.tasks, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(15)
        listener.close()
        assert not thread.is_alive()


async def _peeked(connection: socket.socket) -> bytes:
    for _ in range(int(PEEK / 0.01)):
        try:
            return connection.recv(8192, socket.MSG_PEEK)
        except BlockingIOError:
            await asyncio.sleep(0.01)
        except OSError:
            return b""
    return b""
