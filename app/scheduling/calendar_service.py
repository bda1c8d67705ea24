"""The registry of calendars: people and programs change them, and schedules name them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, ValidationFailed
from app.events import get_logger
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause
from app.jobs.usage_store import UsageStore
from app.mongo import Document
from app.scheduling.calendar_store import CalendarStore
from app.scheduling.calendars import SCHEMA, Blackout, Blackouts, Calendar, problems
from app.validation import SchemaValidator
from app.validation.names import normal
from app.validation.together import beside, sound
from app.zones import is_zone
from templates_lib.messages import say, say_many

log = get_logger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
LOOK_AHEAD = timedelta(days=366)
_RECORD_FIELDS = ("_id", "version", "updated_by", "updated_at")  # of a stored calendar, beside its body


class Calendars:
    """The registry of calendars; implements app.scheduling.triggers.CalendarBook."""

    def __init__(self, store: CalendarStore, usage: UsageStore, dispatch: DispatchStore, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._usage, self._dispatch, self._audit, self._clock = store, usage, dispatch, audit, clock
        self._validator = SchemaValidator(SCHEMA)
        self._cached: dict[str, tuple[int, Calendar]] = {}  # (version, calendar) by name

    # -- for schedules --------------------------------------------------------------------------------------------

    def of(self, names: Sequence[str]) -> Blackouts:
        """The blackouts of these calendars together. A name without a calendar has none.

        It asks the database once, and once more for each calendar that has changed."""
        versions = self._store.versions(names)
        for name, version in versions.items():
            if self._cached.get(name, (None, None))[0] != version:
                row = self._store.get(name)
                if row is not None:
                    self._cached[name] = (row["version"], _calendar(row))
        return Blackouts([self._cached[name][1] for name in names if name in versions and name in self._cached])

    def names(self) -> Collection[str]:
        """The names of all calendars."""
        return self._store.names()

    # -- for people and programs ----------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[Document]:
        """All calendars, by name."""
        require(actor, May.SEE_CALENDARS)
        return self._store.all()

    def get(self, actor: Actor, name: str) -> Document:
        """The calendar of a name. Raises NotFound."""
        require(actor, May.SEE_CALENDARS)
        return self._row_of(name)

    def upcoming(self, row: Document, count: int = 8) -> list[Blackout]:
        """The next blackouts of a stored calendar within a year, the present one first. Empty if its time zone is unknown here."""
        if not is_zone(row["timezone"]):
            return []
        now = self._clock.now()
        return Blackouts([_calendar(row)]).between(now, now + LOOK_AHEAD)[:count]

    def used_by(self, actor: Actor, name: str) -> list[str]:
        """The names of the jobs that name the calendar and that the actor may see."""
        require(actor, May.SEE_CALENDARS)
        return self._usage.names_on(name, groups=actor.groups)

    def create(self, actor: Actor, name: str, body: Any) -> Document:
        """Adds a calendar. Its name never changes. Raises ValidationFailed, DuplicateName."""
        require(actor, May.CHANGE_CALENDARS)
        name = normal(name)
        self._check(body, name)
        row = self._new_row(actor, name, body, version=1)
        with self._audit.action(actor, "calendar.create", kind="calendar", target_id=name, name=name, diff=field_diff({}, dict(body))):
            self._store.add(row)
        return row

    def update(self, actor: Actor, name: str, body: Any, *, version: int | None = None) -> Document:
        """Replaces the body. Jobs that wait for the end of one of its blackouts are planned anew at once.

        Raises ValidationFailed, NotFound; StaleVersion if the calendar no longer has `version`."""
        require(actor, May.CHANGE_CALENDARS)
        before = self._row_of(name)
        if version is not None and version != before["version"]:
            raise StaleVersion(version, before["version"])
        self._check(body)
        row = self._new_row(actor, name, body, version=before["version"] + 1)
        diff = field_diff(body_of(before), dict(body))
        with self._audit.action(actor, "calendar.update", kind="calendar", target_id=name, name=name, diff=diff):
            if not self._store.replace_version(row, version=before["version"]):
                raise StaleVersion(before["version"], before["version"] + 1)
            self._replan_jobs(name)
        return row

    def delete(self, actor: Actor, name: str) -> None:
        """Removes a calendar. Raises NotFound; Conflict if a job names it."""
        require(actor, May.CHANGE_CALENDARS)
        self._row_of(name)
        using = self._usage.names_on(name)
        if using:
            seen = self._usage.names_on(name, groups=actor.groups)[:5]  # the actor may know how many there are, but not all their names
            raise Conflict(
                say_many(
                    "{count} job uses this calendar ({jobs}). Remove the calendar from the job first.",
                    "{count} jobs use this calendar ({jobs}). Remove the calendar from the jobs first.",
                    len(using),
                    jobs=", ".join(seen) or say("of other groups"),
                )
            )
        with self._audit.action(actor, "calendar.delete", kind="calendar", target_id=name, name=name):
            self._store.delete(name)
            self._replan_jobs(name)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _row_of(self, name: str) -> Document:
        row = self._store.get(name)
        if row is None:
            raise NotFound("calendar", name)
        return row

    def problems(self, body: Any, name: str | None = None) -> list[FieldError]:
        """Returns everything that keeps `body` (any JSON value) from being a calendar's rules and, with `name`, a new calendar from being
        called so: errors at pointers into the body, those of the name at `/name`."""
        wrong = self._validator.errors(body)
        errors = beside(wrong, problems(sound(body, wrong)))
        if name is None:
            return errors
        if NAME.fullmatch(normal(name)) is None:
            error = FieldError(
                "/name", "must start with a letter or digit. It may contain letters, digits, spaces, and . _ - (at most 100 characters)"
            )
            return [error, *errors]
        if self._store.get(normal(name)) is not None:
            return [*DuplicateName(normal(name)).errors, *errors]
        return errors

    def _check(self, body: Any, name: str | None = None) -> None:
        """Raises ValidationFailed with all problems, DuplicateName where the name is the only one."""
        errors = self.problems(body, name)
        if name is not None and errors == list(DuplicateName(name).errors):
            raise DuplicateName(name)
        if errors:
            raise ValidationFailed(errors)

    def _new_row(self, actor: Actor, name: str, body: Mapping[str, Any], *, version: int) -> Document:
        return {"_id": name, "version": version, "updated_by": actor.email, "updated_at": self._clock.now(), **body}

    def _replan_jobs(self, name: str) -> None:
        count = self._dispatch.look_again(Cause.CALENDAR, name, self._clock.now())
        log.info("calendar.changed", calendar=name, jobs=count)


def _calendar(row: Document) -> Calendar:
    """The calendar in a stored document. If its rules cannot be read, the log says so and the calendar has no blackouts."""
    try:
        return Calendar(row["_id"], body_of(row))
    except Exception as error:  # rules that a person wrote into the database may fail in any way
        log.warning("record.damaged", collection="calendars", id=row["_id"], reason=f"{type(error).__name__}: {error}"[:200])
        return Calendar(row["_id"], {"timezone": "UTC"})


def body_of(row: Document) -> dict[str, Any]:
    """The part of a stored calendar that a person wrote."""
    return {key: value for key, value in row.items() if key not in _RECORD_FIELDS}
