"""The messages between the executor, the zygotes and the processes of attempts: one class for each, one `encode`, one `decode`.

Two kinds of connection carry them:

- executor and zygote: a Unix socket that keeps the bounds of messages (SOCK_SEQPACKET, unix(7)), one message in a packet. MakeZygote and
  Fork come with file descriptors.
- executor and attempt process: a stream socket, one message in a line.

Every job process holds this module, so it imports almost nothing. The messages are named tuples because a frozen dataclass takes ten
times as long to define (650 µs against 65 µs), which the start of the root would pay for each class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

LONGEST_PACKET = 65_536  # bytes of one message between executor and zygote

# A value as the process of an attempt sends it. The code of a template can write anything to its socket, by mistake or on purpose, so the
# executor checks such values (app.executors.reports) and relies on no type.
Unchecked: TypeAlias = Any


class StopReason(StrEnum):
    """Why an attempt was ended before it ended by itself."""

    TIMEOUT = "timeout"  # it ran longer than it may
    CANCEL = "cancel"  # a person stopped it
    REPLACED = "replaced"  # a newer run of its job takes its place
    LEASE_LOST = "lease_lost"  # its node may no longer run it, or its zygote died
    DRAIN = "drain"  # its node stops; the run goes back to the queue
    PROCESSES = "processes"  # it started more processes than it may
    FLOOD = "flood"  # it sent a message larger than any may be
    BROKEN = "broken"  # its template cannot be imported


class Limits(NamedTuple):
    """What each attempt may use. The zygotes get it once, at their start."""

    memory_bytes: int
    cpu_seconds: int
    open_files: int
    file_bytes: int  # the size of one file
    processes: int
    result_bytes: int  # of the result as JSON


# -- from the executor to a zygote -------------------------------------------------------------------------------------


class MakeZygote(NamedTuple):
    """To the root: fork a zygote that imports the class `load`, "module:class". One descriptor: the new zygote's own socket."""

    load: str


class Fork(NamedTuple):
    """Fork a process for attempts. Two descriptors: the socket for its messages, and the pipe for what it prints."""

    process_id: str  # the executor's name for it
    timeout_seconds: float | None  # None for a reused process: the executor knows which attempt it works on
    grace_seconds: float  # between SIGTERM and SIGKILL at the timeout
    files: str  # the path of its own folder
    stores: bool  # whether its template writes to file stores
    reused: bool = False  # whether it runs several attempts, one after the other
    most_runs: int = 1  # a reused process ends after so many attempts
    mark: str = ""  # a reused process prints it, an execution id and the end of the line before each attempt


class Stop(NamedTuple):
    """End a process and all its descendants: SIGTERM now, SIGKILL after the grace. 0 seconds of grace mean SIGKILL now."""

    process_id: str
    grace_seconds: float
    reason: StopReason


# -- from a zygote to the executor -------------------------------------------------------------------------------------


class Ready(NamedTuple):
    """The zygote takes messages now. It names the protections that the kernel gives to its processes (cage.CageFeatures)."""

    landlock: int = 0
    mounts: bool = False
    network: bool = False


class Broken(NamedTuple):
    """The zygote could not import its template, and ends."""

    error: str


class Ended(NamedTuple):
    """A process and all its descendants are gone."""

    process_id: str
    status: int  # the wait status (wait(2))
    reason: StopReason | None  # why the zygote ended it; None if it ended by itself
    usage: Mapping[str, float]  # cpu_seconds and max_memory_mb


# -- from the executor to the process of an attempt --------------------------------------------------------------------


class Start(NamedTuple):
    """Run an attempt: all that its process is told."""

    execution_id: str
    attempt: int
    now: str  # the template's "now", ISO 8601
    parameters: Mapping[str, Any]
    connections: Mapping[str, tuple[str, Mapping[str, Any]]]  # by name: the kind of the connection and its decrypted settings
    files: str  # the folder of the attempt
    folders: Sequence[str]  # folders of its file stores
    allowed_hosts: Sequence[str]
    own: tuple[str, str]  # the database and the data folder of Jobwright itself, which no connection may lead to
    dry: bool  # run the template's preview, which changes nothing
    begin_until: float  # the attempt may begin until then, in seconds of `kernel.boot_seconds`
    triggered_by: str = ""
    triggered_by_user: str | None = None
    timeout_seconds: float = 3600.0  # how long the attempt may take
    route: tuple[str, str] | None = None  # the base address and the id of the instance of a service that the attempt goes to
    callback: tuple[str, str] | None = None  # the address of its reports, and the token in that address
    correlation_id: str = ""  # of the request that caused it, or the id of the execution
    traceparent: str = ""  # the span that its calls stand below
    traced: bool = False  # whether its calls become spans
    commands: tuple[Sequence[str], Sequence[str]] | None = None  # the programs that it may start, and the folders in which these may work


class StopRun(NamedTuple):
    """To a reused process: stop this attempt; drop it if it has not begun."""

    execution_id: str


# -- from the process of an attempt to the executor --------------------------------------------------------------------


class Begun(NamedTuple):
    """The attempt begins. A reused process sends it before each one, so that what follows is known to belong to it."""

    execution_id: Unchecked


class TooLate(NamedTuple):
    """The attempt was not begun: `begin_until` was over when the process read it."""

    execution_id: Unchecked


class Dropped(NamedTuple):
    """A reused process dropped an attempt that it had not begun, as StopRun asked."""

    execution_id: Unchecked


class Log(NamedTuple):
    """One line of the attempt's log."""

    text: Unchecked
    level: Unchecked  # a name of Python's logging
    at: Unchecked  # seconds since 1970


class Progress(NamedTuple):
    """How far the attempt is: `done` of `total`, which is None if it is not known."""

    done: Unchecked
    total: Unchecked
    note: Unchecked


class End(NamedTuple):
    """How the attempt ended: with an `error`, cancelled, with a result, or deferred: another program goes on with it."""

    execution_id: Unchecked
    result: Unchecked = None  # {message, …}; beside an error, what was achieved before it
    error: Unchecked = None  # {type, message, permanent, traceback, retry_after_seconds}
    deferred: Unchecked = None  # {heartbeat_seconds}
    cancelled: Unchecked = False  # it stopped at a safe point, as it was asked to
    seconds: Unchecked = None  # how long it ran; only from a reused process
    usage: Unchecked = None  # as in Ended; only from a reused process
    reusable: Unchecked = False  # whether the process takes further attempts
    calls: Unchecked = None  # the calls over HTTP that it made, if they are traced (templates_lib.call_notes)


Message: TypeAlias = MakeZygote | Fork | Stop | Ready | Broken | Ended | Start | StopRun | Begun | TooLate | Dropped | Log | Progress | End
_CLASSES: dict[str, Any] = {
    message.__name__: message
    for message in (MakeZygote, Fork, Stop, Ready, Broken, Ended, Start, StopRun, Begun, TooLate, Dropped, Log, Progress, End)
}
_WITH_REASON = (Stop, Ended)
_to_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


class ProtocolError(Exception):
    """The data is no message."""


def encode(message: Message) -> bytes:
    """Returns the message as one line of JSON without its end: an object of its fields, with its class's name as `message`.

    A value that JSON does not know becomes its text; half of a surrogate pair becomes a question mark.
    """
    fields = dict(zip(message._fields, message, strict=True))
    fields["message"] = type(message).__name__
    return _to_json(fields).encode("utf-8", errors="replace")


def decode(data: bytes | bytearray) -> Message:
    """Returns the message that `data` holds. Raises ProtocolError if it holds none.

    The names of the fields are checked, their types are not (see Unchecked).
    """
    try:
        fields = json.loads(data)
        kind = _CLASSES[fields.pop("message")]
        if kind in _WITH_REASON and fields["reason"] is not None:
            fields["reason"] = StopReason(fields["reason"])
        message: Message = kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error}"[:200]) from error
    return message
