"""Which ends of executions owe something, and to whom. The write that ends an execution records it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

from app.jobs.model import Notifications
from app.outbox.handler import Handler
from app.queue.execution import Execution
from app.queue.model import ENDED, Attempt, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What handlers go by. `followed`: other jobs run after its job, as far as is known."""

    job_id: str
    status: Status
    notifications: Notifications
    pause_after_failures: int
    dry: bool
    is_backfill: bool
    followed: bool

    @classmethod
    def of_attempt(cls, attempt: Attempt, status: Status, *, followed: bool) -> Self:
        """The end of an execution by the end of this attempt."""
        return cls(
            job_id=attempt.job_id,
            status=status,
            notifications=attempt.notifications,
            pause_after_failures=attempt.pause_after_failures,
            dry=attempt.dry,
            is_backfill=attempt.stands_for is not None,
            followed=followed,
        )

    @classmethod
    def of_execution(cls, execution: Execution) -> Self:
        """The end of an execution that has ended."""
        return cls(
            job_id=execution.job_id,
            status=Status(execution.status),
            notifications=execution.notifications,
            pause_after_failures=execution.pause_after_failures,
            dry=execution.dry,
            is_backfill=execution.stands_for is not None,
            followed=True,
        )


class EndHandler(Handler[Execution]):
    """Wants some of the ends of executions. `statuses` are those that it ever wants. With `attempts` it also wants the start of each
    attempt, and each failure that is tried again."""

    statuses: ClassVar[frozenset[Status]] = ENDED
    attempts: ClassVar[bool] = False

    @classmethod
    def wants(cls, end: End) -> bool:  # noqa: ARG003 - by default every end of its statuses
        """Whether it wants an end with one of its statuses. Pure: it is asked by whoever writes ends."""
        return True

    @classmethod
    def rests(cls) -> bool:
        """Whether it wants no end at all for now, as far as this process knows."""
        return False

    def wants_still(self, record: Execution) -> bool:
        """Ends that were written many at a time are owed to whoever may want them; here each is looked at."""
        if record.is_live:
            return self.attempts
        return record.status in self.statuses and self.wants(End.of_execution(record))


EndHandlers: TypeAlias = Iterable[type[EndHandler]]


class Owing:
    """The names of the handlers that an end is owed to."""

    def __init__(self, handlers: EndHandlers = ()) -> None:
        self._handlers = tuple(handlers)

    def of(self, end: End) -> tuple[str, ...]:
        """Of one end, about which all is known."""
        return tuple(
            handler.name for handler in self._handlers if end.status in handler.statuses and not handler.rests() and handler.wants(end)
        )

    def of_status(self, status: Status) -> tuple[str, ...]:
        """Of ends about which only the status is known: whoever may want one of them."""
        return tuple(handler.name for handler in self._handlers if status in handler.statuses and not handler.rests())

    @property
    def of_attempt(self) -> tuple[str, ...]:
        """Of the start of an attempt, and of a failure that is tried again."""
        return tuple(handler.name for handler in self._handlers if handler.attempts)
