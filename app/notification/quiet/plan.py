"""Decides which entries become messages now, which wait, and which are held. Everything here is pure.

For each channel:

1. An alert that is announced several times before it is sent is one entry. The others are held as repeated.
2. A recovery is sent only if its alert was. If its alert still waits, both are in one message.
3. What a mute, maintenance or quiet hours hold is held. Afterwards `plan_releases` sends what still fires, once.
4. An alert whose cause is the subject of an open alert, such as a broken connection, is listed in the message about the cause. If that
   message has been sent already, the alert is held.
5. All others are grouped. A group waits for a short time, so that one message has them all, and has at most one message per interval.
6. A channel gets MOST_MESSAGES messages per interval. If there are more groups, the last ones share one message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.notification.announcing import AlertSeverity
from app.notification.message import MessageKind
from app.notification.quiet.entry import Entry, Hold, Why
from app.notification.quiet.grouping import Group, Pace, Root, group_of, many_of, root_group
from app.notification.quiet.hours import QuietHours
from app.notification.quiet.muting import Mute

MOST_MESSAGES = 10  # to a channel per interval; the messages that share the rest come on top, one for each kind
RECHECK = timedelta(minutes=1)  # after which a hold is looked at again: it may have ended early
_URGENCY = tuple(AlertSeverity)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMessage:
    """The last message of a group, and how many entries it had."""

    batch: str
    at: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the decisions depend on. `hours` are by the id of a channel, `last` by the id of a group, and `lately` by the key of a target:
    how many messages it got within the last interval. `maintenance` is its reason, and None while it is off. `firing` are the incidents
    that are not resolved, and `told` those of which an alarm was sent, each with the target."""

    now: datetime
    mutes: Sequence[Mute] = ()
    hours: Mapping[str, QuietHours] = field(default_factory=dict)
    maintenance: str | None = None
    roots: Sequence[Root] = ()
    firing: Collection[str] = frozenset()
    told: Collection[tuple[str, str]] = frozenset()
    last: Mapping[str, LastMessage] = field(default_factory=dict)
    lately: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that is to be sent now: the entries of one group, oldest first. `root` is the id of the entry about their cause."""

    group: Group
    entries: tuple[Entry, ...]
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: drafts become messages, entries are held, and entries are due at other times. All others wait."""

    drafts: tuple[Draft, ...] = ()
    holds: tuple[tuple[Entry, Hold], ...] = ()
    waits: tuple[tuple[Entry, datetime], ...] = ()


def group_ids(entries: Iterable[Entry], pace: Pace) -> set[str]:
    """Returns the ids of all groups that these entries may be in."""
    ids = set[str]()
    for entry in entries:
        group = group_of(entry, pace)
        ids |= {group.id, many_of(group).id}
        if entry.is_root:
            ids.add(root_group(entry).id)
    return ids


# -- the ends of holds ------------------------------------------------------------------------------------------------


def plan_releases(held: Iterable[Entry], situation: Situation, pace: Pace) -> Plan:
    """Decides about entries whose hold is to be looked at: each is held on, waits again, or is held for good."""
    holds, waits = list[tuple[Entry, Hold]](), list[tuple[Entry, datetime]]()
    for entry in held:
        hold = hold_of(entry, situation)
        why = entry.hold.why if entry.hold else Why.REPEATED
        if hold is not None:
            goes_on = entry.hold is not None and (entry.hold.why, entry.hold.by) == (hold.why, hold.by)
            holds.append((entry, replace(hold, at=entry.hold.at) if goes_on and entry.hold else hold))
        elif entry.kind is MessageKind.FIRING and entry.incident in situation.told:
            holds.append((entry, Hold(why=Why.REPEATED, at=situation.now, final=True)))
        elif entry.kind is MessageKind.RECOVERY and entry.incident not in situation.told:
            holds.append((entry, Hold(why=Why.NOT_TOLD, at=situation.now, final=True)))
        elif entry.is_alarm and entry.announcement.incident_id not in situation.firing:
            holds.append((entry, _for_good(entry, situation.now)))
        else:
            # The jobs that a cause has broken get some time to recover after it.
            waits.append((entry, situation.now + (pace.interval if why is Why.ROOT_CAUSE else timedelta())))
    return Plan(holds=tuple(holds), waits=tuple(waits))


def _for_good(entry: Entry, now: datetime) -> Hold:
    """Returns the last hold of an entry, without an end: what it told is over."""
    return replace(entry.hold or Hold(why=Why.REPEATED, at=now), final=True)


def hold_of(entry: Entry, situation: Situation) -> Hold | None:
    """Returns why an entry must not be sent now; None if nothing holds it."""
    announcement, now = entry.announcement, situation.now
    for mute in situation.mutes:
        if mute.holds(announcement, now):
            return Hold(why=Why.MUTE, by=mute.id, name=mute.reason, at=now, until=mute.ends_at, final=not entry.is_alarm)
    if situation.maintenance is not None:
        return Hold(why=Why.MAINTENANCE, name=situation.maintenance, at=now)
    hours = situation.hours.get(entry.target.channel_id)
    end = hours.end_at(now) if hours is not None and announcement.severity not in hours.passing else None
    if end is not None:
        return Hold(why=Why.QUIET_HOURS, by=entry.target.channel_id, name=entry.target.channel, at=now, until=end)
    root = _told_root(entry, situation)
    return None if root is None else Hold(why=Why.ROOT_CAUSE, by=root.incident_id, name=root.name, at=now)


def _told_root(entry: Entry, situation: Situation) -> Root | None:
    """Returns the open cause of an alarm of which this channel knows."""
    if not entry.is_alarm or entry.is_root:
        return None
    causes = (root for root in situation.roots if root.takes(entry.announcement))
    return next((root for root in causes if (root.incident_id, entry.target_key) in situation.told), None)


# -- messages ---------------------------------------------------------------------------------------------------------


def plan_messages(waiting: Iterable[Entry], situation: Situation, pace: Pace) -> Plan:
    """Decides about entries that wait."""
    by_target = defaultdict[str, list[Entry]](list)
    for entry in sorted(waiting, key=lambda entry: (entry.announcement.at, entry.created_at, entry.id)):
        by_target[entry.target_key].append(entry)
    plans = [_plan_target(entries, situation, pace) for entries in by_target.values()]
    return Plan(
        drafts=tuple(draft for plan in plans for draft in plan.drafts),
        holds=tuple(hold for plan in plans for hold in plan.holds),
        waits=tuple(wait for plan in plans for wait in plan.waits),
    )


def _plan_target(entries: Sequence[Entry], situation: Situation, pace: Pace) -> Plan:
    going, with_alarm, holds = _sift(entries, situation)
    roots = [entry for entry in going if entry.is_root]
    groups = dict[Group, list[Entry]]()
    for entry in going:
        root = next((root for root in roots if _is_cause(root, entry)), None)
        group = group_of(entry, pace) if root is None else root_group(root)
        groups.setdefault(group, []).extend([entry, *with_alarm.get(entry.id, ())])
    drafts, waits = list[Draft](), list[tuple[Entry, datetime]]()
    for group, members in groups.items():
        due = _due_at(group, members, situation, pace)
        if due > situation.now:
            waits += _postponed(members, due)
        else:
            drafts.append(Draft(group=group, entries=tuple(members), root=_root_in(group, members)))
    kept, late = _within_budget(drafts, situation, pace)
    return Plan(drafts=tuple(kept), holds=tuple(holds), waits=tuple(waits + late))


def _sift(entries: Sequence[Entry], situation: Situation) -> tuple[list[Entry], Mapping[str, Sequence[Entry]], list[tuple[Entry, Hold]]]:
    """Returns the entries that nothing holds; by the id of an alarm among them, the recovery that is in the same message; and the holds."""
    going, with_alarm, holds = list[Entry](), defaultdict[str, list[Entry]](list), list[tuple[Entry, Hold]]()
    repeated = _repeated(entries)
    alarms = dict[tuple[str, str], Entry]()
    for entry in entries:
        if entry.id in repeated:
            holds.append((entry, Hold(why=Why.REPEATED, at=situation.now, final=True)))
        elif entry.is_alarm:
            was_held = entry.hold is not None and entry.announcement.incident_id not in situation.firing
            hold = _for_good(entry, situation.now) if was_held else hold_of(entry, situation)
            if hold is not None:
                holds.append((entry, hold))
            else:
                going.append(entry)
                alarms[entry.incident] = entry
    for entry in entries:
        alarm = alarms.get(entry.incident)
        if entry.is_alarm:
            continue
        if entry.kind is MessageKind.RECOVERY and alarm is not None:
            with_alarm[alarm.id].append(entry)
        elif entry.kind is MessageKind.RECOVERY and entry.incident not in situation.told:
            holds.append((entry, Hold(why=Why.NOT_TOLD, at=situation.now, final=True)))
        elif (hold := hold_of(entry, situation)) is not None:
            holds.append((entry, hold))
        else:
            going.append(entry)
    return going, with_alarm, holds


def _repeated(entries: Sequence[Entry]) -> set[str]:
    """Returns the ids of alarms that say the same as another one: reminders beside the alert itself or before a newer one, and of what was
    held, all but the first."""
    by_incident = defaultdict[tuple[str, str], list[Entry]](list)
    for entry in entries:
        if entry.is_alarm:
            by_incident[entry.incident].append(entry)
    repeated = set[str]()
    for alarms in by_incident.values():
        firing = [entry for entry in alarms if entry.kind is MessageKind.FIRING]
        kept = [firing[0], *(entry for entry in firing[1:] if entry.hold is None)] if firing else alarms[-1:]
        repeated |= {entry.id for entry in alarms} - {entry.id for entry in kept}
    return repeated


def _is_cause(root: Entry, entry: Entry) -> bool:
    if entry is root:
        return True
    return (
        entry.is_alarm and not entry.is_root and Root.of(root.announcement.incident_id, root.announcement.subject).takes(entry.announcement)
    )


def _root_in(group: Group, members: Sequence[Entry]) -> str | None:
    return next((entry.id for entry in members if group.is_root and entry.is_root), None)


def _due_at(group: Group, members: Sequence[Entry], situation: Situation, pace: Pace) -> datetime:
    """Returns when a message of the group may be sent: the message about a cause when the alert about the cause is due."""
    asked = [entry for entry in members if entry.is_root] if group.is_root else members
    due = min(entry.due_at or situation.now for entry in asked)
    return max(due, _earliest(group, situation, pace) or due)


def _earliest(group: Group, situation: Situation, pace: Pace) -> datetime | None:
    last = situation.last.get(group.id)
    if last is None:
        return None
    is_reminder = group.kind is MessageKind.REMINDER and last.count > 1
    return last.at + (pace.repeat if is_reminder else pace.interval)


def _postponed(members: Iterable[Entry], due: datetime) -> list[tuple[Entry, datetime]]:
    return [(entry, due) for entry in members if entry.due_at is None or entry.due_at < due]


def _within_budget(drafts: list[Draft], situation: Situation, pace: Pace) -> tuple[list[Draft], list[tuple[Entry, datetime]]]:
    """Returns the drafts that the channel gets now, the most urgent first, and when the entries of the others are due."""
    if not drafts:
        return [], []
    drafts = sorted(drafts, key=_rank)
    left = MOST_MESSAGES - situation.lately.get(drafts[0].group.target, 0)
    if len(drafts) <= left:
        return drafts, []
    first = max(left - 1, 0)
    shared = dict[Group, list[Entry]]()
    for draft in drafts[first:]:
        shared.setdefault(many_of(draft.group), []).extend(draft.entries)
    kept, waits = drafts[:first], list[tuple[Entry, datetime]]()
    for group, entries in shared.items():
        due = _earliest(group, situation, pace)
        if due is not None and due > situation.now:
            waits += _postponed(entries, due)
        else:
            kept.append(Draft(group=group, entries=tuple(entries)))
    return kept, waits


def _rank(draft: Draft) -> tuple[int, bool, int, datetime]:
    urgency = max(_URGENCY.index(entry.announcement.severity) for entry in draft.entries)
    return -urgency, draft.root is None, -len(draft.entries), draft.entries[0].announcement.at
