"""A run as JSON, and read again. Times are seconds since the epoch; bytes that no path is made of are base64 (RFC 4648)."""

import base64
import binascii
from typing import Any

from scanner.model import Json, Kind
from scanner.model.run import (
    Attempt,
    ChangeKind,
    Endpoint,
    FileChange,
    FileState,
    How,
    Namespace,
    Process,
    Program,
    Query,
    Run,
    Socket,
    Withheld,
)
from scanner.reports import jsonread as r
from scanner.reports.jsontext import canonical


def run(value: Run) -> dict[str, Any]:
    return {
        "how": value.how,
        "subject": value.subject,
        "started": value.started,
        "ended": value.ended,
        "episode": value.episode,
        "image": value.image,
        "command": value.command,
        "exit_code": value.exit_code,
        "stopped": value.stopped,
        "changes": map(change, value.changes),
        "processes": map(process, value.processes),
        "sockets": map(socket, value.sockets),
        "namespace": None if value.namespace is None else _namespace(value.namespace),
        "queries": map(query, value.queries),
        "attempts": map(attempt, value.attempts),
        "withheld": [{"what": one.what, "why": one.why} for one in value.withheld],
        "unseen": value.unseen,
        "dropped": canonical(value.dropped),
        "output": octets(value.output),
    }


def change(value: FileChange) -> dict[str, Json]:
    return {
        "path": name(value.path),
        "change": value.change,
        "place": value.place,
        "user": value.user,
        "executable": value.executable,
        "expected": value.expected,
        "before": None if value.before is None else _state(value.before),
        "after": None if value.after is None else _state(value.after),
    }


def _state(value: FileState) -> Json:
    return {
        "kind": value.kind,
        "mode": value.mode,
        "uid": value.uid,
        "gid": value.gid,
        "size": value.size,
        "modified": value.modified,
        "changed": value.changed,
        "digest": value.digest,
        "link_target": name(value.link_target),
        "capability": value.capability,
    }


def process(value: Process) -> dict[str, Json]:
    return {
        "pid": value.pid,
        "parent": value.parent,
        "inner": value.inner,
        "command": value.command,
        "executable": name(value.executable),
        "program": value.program,
        "digest": value.digest,
        "started": value.started,
        "ended": value.ended,
        "exit_code": value.exit_code,
        "uid": value.uid,
        "user": value.user,
        "working_dir": name(value.working_dir),
        "cpu": value.cpu,
        "devices": value.devices,
        "environment": value.environment,
    }


def socket(value: Socket) -> dict[str, Json]:
    return {
        "kind": value.kind,
        "family": value.family,
        "state": value.state,
        "local": _endpoint(value.local),
        "remote": _endpoint(value.remote),
        "inode": value.inode,
        "pids": value.pids,
        "says": value.says,
    }


def query(value: Query) -> dict[str, Json]:
    return {
        "time": value.time,
        "name": value.name,
        "type": value.type,
        "server": _endpoint(value.server),
        "transport": value.transport,
        "pid": value.pid,
        "count": value.count,
    }


def attempt(value: Attempt) -> dict[str, Json]:
    return {
        "time": value.time,
        "last": value.last,
        "protocol": value.protocol,
        "target": _endpoint(value.target),
        "name": value.name,
        "source": _endpoint(value.source),
        "pid": value.pid,
        "service": value.service,
        "details": canonical(value.details),
        "first": octets(value.first),
        "sent": value.sent,
        "count": value.count,
    }


def _endpoint(value: Endpoint | None) -> Json:
    return None if value is None else {"address": value.address, "port": value.port}


def _namespace(value: Namespace) -> Json:
    return {
        "interfaces": value.interfaces,
        "routes": value.routes,
        "resolvers": value.resolvers,
        "search": value.search,
        "firewall": value.firewall,
    }


def name(value: bytes | None) -> str | None:
    """A path; what is not UTF-8 in it as lone surrogates."""
    return None if value is None else value.decode("utf-8", "surrogateescape")


def octets(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


# ---- reading


def octets_again(value: Any) -> Any:
    """The bytes that `octets` wrote."""
    try:
        read = base64.b64decode(r.text(value), validate=True)
    except (binascii.Error, ValueError) as e:
        raise r.Wrong("is not base64") from e
    if octets(read) != value:
        raise r.Wrong("is not base64 as sandscan writes it")
    return read


def _dropped(value: Any) -> Any:
    return {key: r.at(f".{key}", r.integer(0), one) for key, one in r.of(dict, "an object")(value).items()}


_code = r.of(int, "a whole number")
_time = r.optional(r.number)
_pid = r.optional(r.integer(0))
_maybe = r.optional(r.text)
_ENDPOINT = r.record(Endpoint, address=r.text, port=r.optional(r.integer(0)))
_STATE = r.record(
    FileState,
    kind=r.one_of(Kind),
    mode=r.integer(0),
    uid=r.integer(0),
    gid=r.integer(0),
    size=r.integer(0),
    modified=_time,
    changed=_time,
    digest=_maybe,
    link_target=r.optional(r.raw),
    capability=r.text,
)
_CHANGE = r.record(
    FileChange,
    path=r.raw,
    change=r.one_of(ChangeKind),
    place=r.text,
    user=_maybe,
    executable=r.flag,
    expected=_maybe,
    before=r.optional(_STATE),
    after=r.optional(_STATE),
)
_PROCESS = r.record(
    Process,
    pid=r.integer(0),
    parent=r.integer(0),
    inner=_pid,
    command=r.texts,
    executable=r.optional(r.raw),
    program=r.one_of(Program),
    digest=_maybe,
    started=_time,
    ended=_time,
    exit_code=r.optional(_code),
    uid=_pid,
    user=_maybe,
    working_dir=r.optional(r.raw),
    cpu=_time,
    devices=r.texts,
    environment=r.texts,
)
_SOCKET = r.record(
    Socket,
    kind=r.text,
    family=r.text,
    state=r.text,
    local=r.optional(_ENDPOINT),
    remote=r.optional(_ENDPOINT),
    inode=r.integer(0),
    pids=r.array(r.integer(0)),
    says=r.text,
)
_NAMESPACE = r.record(Namespace, interfaces=r.texts, routes=r.texts, resolvers=r.texts, search=r.texts, firewall=_maybe)
_QUERY = r.record(
    Query,
    time=r.number,
    name=r.text,
    type=r.text,
    server=_ENDPOINT,
    transport=r.text,
    pid=_pid,
    count=r.integer(1),
)
_ATTEMPT = r.record(
    Attempt,
    time=r.number,
    last=_time,
    protocol=r.text,
    target=_ENDPOINT,
    name=_maybe,
    source=r.optional(_ENDPOINT),
    pid=_pid,
    service=r.text,
    details=r.free,
    first=octets_again,
    sent=r.integer(0),
    count=r.integer(1),
)
RUN = r.record(
    Run,
    how=r.one_of(How),
    subject=r.text,
    started=r.number,
    ended=r.number,
    episode=_maybe,
    image=_maybe,
    command=r.texts,
    exit_code=r.optional(_code),
    stopped=r.text,
    changes=r.array(_CHANGE),
    processes=r.array(_PROCESS),
    sockets=r.array(_SOCKET),
    namespace=r.optional(_NAMESPACE),
    queries=r.array(_QUERY),
    attempts=r.array(_ATTEMPT),
    withheld=r.array(r.record(Withheld, what=r.text, why=r.text)),
    unseen=r.texts,
    dropped=_dropped,
    output=octets_again,
)
"""Reads what `run` wrote."""
