"""Looks whether this installation works: an outside monitor is called while it does, and mail is sent when it is stuck."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.clock import Clock
from app.events import get_logger
from app.notification.monitor.emergency import MAIL_SECONDS, EmergencyMail
from app.notification.monitor.model import Incident, MonitorState, Symptoms, stuck_parts
from app.notification.monitor.ping import PING_SECONDS, Pinger
from app.notification.monitor.store import MonitorStore

log = get_logger(__name__)

# A claim of a node that was killed ends after this time. It is longer than what is claimed can take.
PING_CLAIM, MAIL_CLAIM = timedelta(seconds=2 * PING_SECONDS), timedelta(seconds=2 * MAIL_SECONDS)
RETRY = timedelta(seconds=60)  # after a mail that could not be sent
LONGEST = timedelta(days=31)  # between two mails
GAP = timedelta(seconds=60)  # between two looks: after a longer one, this node was away, or its clock was set


class Watch:
    """One node at a time calls the monitor every `every`, if the ticks of the node move and nothing has been due for longer than `after`.

    A database that does not answer ends a look with an error, so that the monitor hears nothing. A node that has just started, or that was
    away, calls nothing stuck before it has looked for as long as `after`: what was due meanwhile needs its time. `remind` is the time
    between two mails about one incident; zero for one mail only. Either of `pinger` and `mail` may be missing.
    """

    def __init__(
        self,
        *,
        store: MonitorStore,
        look: Callable[[], Symptoms],
        pinger: Pinger | None,
        mail: EmergencyMail | None,
        clock: Clock,
        every: timedelta,
        after: timedelta,
        remind: timedelta,
    ) -> None:
        self._store, self._look, self._pinger, self._mail, self._clock = store, look, pinger, mail, clock
        self._every, self._after, self._remind = every, after, remind
        self._looked_at = self._looks_since = datetime.min.replace(tzinfo=UTC)

    @property
    def is_set(self) -> bool:
        """Whether there is anything to do."""
        return self._pinger is not None or self._mail is not None

    def tick(self, *, ticks_move: bool) -> None:
        """Looks once. `ticks_move` says that this node looks for due jobs in time."""
        now = self._clock.now()
        stuck = stuck_parts(self._look(), now, self._after)
        if self._knows(now):
            self._judge(stuck)
        self._send_mail()
        if ticks_move and not self._is_stuck(stuck):
            self._ping()

    def _knows(self, now: datetime) -> bool:
        """Returns whether this node has looked for long enough to judge."""
        if abs(now - self._looked_at) > GAP:
            self._looks_since = now
        self._looked_at = now
        return now - self._looks_since >= self._after

    def _judge(self, stuck: tuple[str, ...]) -> None:
        now = self._clock.now()
        if stuck:
            if self._store.open(stuck, now=now):
                log.error("monitor.stuck", parts=",".join(stuck))
        elif self._store.close(now=now, after=self._after):
            log.info("monitor.moves")

    def _is_stuck(self, stuck: tuple[str, ...]) -> bool:
        """Returns whether an incident is open and still goes on."""
        incident = self._store.incident() if stuck else None
        return incident is not None and incident.is_open

    def _ping(self) -> None:
        now = self._clock.now()
        if self._pinger is None or not self._store.claim_ping(now=now, until=now + PING_CLAIM, longest=self._every + PING_CLAIM):
            return
        before = self._store.pings()
        problem = self._pinger.ping()
        self._store.note_ping(at=self._clock.now(), next_at=now + self._every, problem=problem)
        if problem:
            log.warning("monitor.unreachable", reason=problem)
        elif before.problem:
            log.info("monitor.reached")

    def _send_mail(self) -> None:
        if self._mail is None:
            return
        now = self._clock.now()
        incident = self._store.claim_mail(now=now, until=now + MAIL_CLAIM, longest=LONGEST)
        if incident is None:
            return
        problem = self._mail.send(incident, now)
        next_at = now + RETRY if problem else now + self._remind if incident.is_open and self._remind else None
        self._store.note_mail(incident, at=self._clock.now(), next_at=next_at, problem=problem)
        if problem:
            log.error("monitor.mail_failed", reason=problem)
        else:
            log.warning("monitor.mailed", incident=incident.id, open=incident.is_open)


class Monitor:
    """What people read of it, in any process."""

    def __init__(self, store: MonitorStore, *, monitored: bool, warned: bool) -> None:
        self._store, self._monitored, self._warned = store, monitored, warned

    def state(self) -> MonitorState:
        """Returns how the calls of the monitor go, and the incident that is open."""
        incident = self._store.incident()
        return MonitorState(monitored=self._monitored, warned=self._warned, pings=self._store.pings(), stuck=_if_open(incident))


def _if_open(incident: Incident | None) -> Incident | None:
    return incident if incident is not None and incident.is_open else None
