"""What alert rules about the installation look at. Each function finds what is wrong at an instant, by the condition of a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.approvals.store import APPROVING, PENDING
from app.factory.outboxes import outboxes
from app.mongo import Document
from app.notification.announcing import Subject, SubjectKind
from app.notification.delivery import UNDELIVERED
from app.notification.incidents.troubles import PRODUCT, Source, Trouble
from app.notification.rules.conditions import Condition
from app.notification.rules.timing import Overdue
from app.scheduling.node_record import SILENT_AFTER, NodeRole, NodeSeen
from app.shapes import DAMAGED
from templates_lib.messages import say

if TYPE_CHECKING:
    from app.config import Settings
    from app.factory.stores import Stores

EXPIRED_FOR = timedelta(days=7)  # after that, nobody misses a token
MOST_FOUND = 500  # of one kind, which is more than anybody reads
Settled = Mapping[str, Any]  # the condition of a rule


def sources_of(settings: Settings, stores: Stores) -> Mapping[str, Source]:
    """Returns what finds troubles, by the type of a condition."""
    return {
        Condition.CONNECTION_DOWN: _bound(stores, connections_down),
        Condition.SERVICE_STALE: _bound(stores, silent_services),
        Condition.NODE_LOST: _bound(stores, lost_nodes),
        Condition.SCHEDULER_STALLED: _bound(stores, stalled_schedulers),
        Condition.LEASES_LOST: _bound(stores, lost_leases),
        Condition.FOLLOW_UP_GIVEN_UP: lambda _condition, _now: given_up(settings, stores),
        Condition.NOT_DELIVERED: _bound(stores, not_delivered),
        Condition.APPROVAL_WAITING: _bound(stores, waiting_approvals),
        Condition.CREDENTIAL_EXPIRES: _bound(stores, expiring_tokens),
    }


def _bound(stores: Stores, find: Callable[[Stores, Settled, datetime], Iterator[Trouble]]) -> Source:
    return lambda condition, now: find(stores, condition, now)


def connections_down(stores: Stores, condition: Settled, _now: datetime) -> Iterator[Trouble]:
    """Yields the connections that fail their tests, since the first one that failed. An incident begins after so many in a row."""
    health = stores.health.all()
    for row in stores.connections.all():
        found = health.get(row["_id"])
        if found is None or found.works is not False or found.version != row["version"]:
            continue
        words = say("The connection does not answer: {message}", message=found.message)
        made = _trouble(SubjectKind.CONNECTION, row["_id"], row["name"], found.since, words)
        yield replace(made, begins=found.failures >= condition["failures"])


def silent_services(stores: Stores, _condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the services that are silent, since their time to live was over."""
    for service in stores.services.with_time_to_live():
        if service.damaged or service.ttl_seconds is None or not service.is_stale(now):
            continue
        heard = max([service.seen_at, *(instance.seen_at for instance in service.instances)])
        words = say("The service was silent for longer than its time to live ({seconds} s).", seconds=service.ttl_seconds)
        yield _trouble(SubjectKind.SERVICE, service.name, service.name, heard + timedelta(seconds=service.ttl_seconds), words)


def lost_nodes(stores: Stores, _condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the nodes that were not stopped and do not respond. A node that is stopped removes its record; one that was started again has
    another id, and the same host and role."""
    nodes = stores.nodes.all()
    alive = {(node.host, node.role) for node in nodes if node.lives(now)}
    for node in nodes:
        if not node.lives(now) and not node.drained and (node.host, node.role) not in alive:
            words = say("The node does not respond since {seen} and was not stopped.", seen=_instant(node.seen_at))
            yield _trouble(SubjectKind.NODE, node.id, node.host, node.seen_at + SILENT_AFTER, words)


def stalled_schedulers(stores: Stores, condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the schedulers that respond and plan nothing."""
    for node in stores.nodes.all():
        if node.role != NodeRole.SCHEDULER or not node.lives(now):
            continue
        ticked_at = _ticked_at(node)
        at = ticked_at + timedelta(seconds=condition["over_seconds"])
        if at <= now:
            words = say("The scheduler has planned nothing since {at}.", at=_instant(ticked_at))
            yield _trouble(SubjectKind.NODE, node.id, node.host, at, words)


def lost_leases(stores: Stores, condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the installation, if enough attempts were lost."""
    lost = stores.ends.lost_since(now - timedelta(seconds=condition["within_seconds"]), max(MOST_FOUND, condition["count"]))
    if len(lost) >= condition["count"]:
        at, execution_id = lost[0]
        words = say("Runs that lost a lock within {seconds} s: {count}.", count=len(lost), seconds=condition["within_seconds"])
        yield _of_installation("leases", at, execution_id, words)


def given_up(settings: Settings, stores: Stores) -> Iterator[Trouble]:
    """Yields the installation for each carrier that has given up a follow-up, since the newest of them."""
    for carrier, outbox in outboxes(settings, stores):
        count = outbox.count_given_up_of(carrier)
        newest = next((owed for _, owed in outbox.given_up(MOST_FOUND) if owed.what == carrier), None) if count else None
        if newest is not None and newest.given_up_at is not None:
            words = say("Follow-ups that were given up ({carrier}): {count}.", carrier=carrier, count=count)
            yield _of_installation(f"follow-ups {carrier}", newest.given_up_at, carrier, words)


def not_delivered(stores: Stores, condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the installation if notifications did not arrive lately, since the newest of them. The one that a rule sends about it itself
    counts too, which makes no further message: the incident is open."""
    lost = stores.notification_deliveries.lost(now - timedelta(seconds=condition["within_seconds"]), UNDELIVERED, MOST_FOUND)
    if lost:
        at, delivery_id = max((at, delivery_id) for delivery_id, at in lost)
        words = say("Notifications that did not arrive within {seconds} s: {count}.", seconds=condition["within_seconds"], count=len(lost))
        yield _of_installation("notifications", at, delivery_id, words)


def waiting_approvals(stores: Stores, condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the requests about which nobody has decided, since they have waited for too long."""
    long_ago = now - timedelta(seconds=condition["over_seconds"])
    where: Document = {"state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}, "requested_at": {"$lte": long_ago}}
    rows, _ = stores.approvals.page(where, skip=0, limit=MOST_FOUND)
    for row in rows:
        words = say("{by} waits for a decision since {at}.", by=row["requested_by"]["email"], at=_instant(row["requested_at"]))
        due = row["requested_at"] + timedelta(seconds=condition["over_seconds"])
        yield _trouble(SubjectKind.APPROVAL, row["_id"], row["job_name"], due, words)


def expiring_tokens(stores: Stores, condition: Settled, now: datetime) -> Iterator[Trouble]:
    """Yields the tokens that are in use and expire soon, or expired lately: whoever uses such a token is refused."""
    users = {user.id: user for user in stores.users.all()}
    for row in stores.tokens.of(None):
        owner, expires = users.get(row["user_id"]), row["expires_at"]
        is_used = owner is not None and not owner.disabled and row["revoked_at"] is None and DAMAGED not in row
        soon = now + timedelta(seconds=condition["before_seconds"])
        if owner is None or not is_used or expires is None or not now - EXPIRED_FOR < expires <= soon:
            continue
        words = say("The API token of {owner} expires at {at}.", owner=owner.email, at=_instant(expires))
        at = max(expires - timedelta(seconds=condition["before_seconds"]), row["created_at"])
        yield _trouble(SubjectKind.TOKEN, row["_id"], row["name"], at, words)


def _trouble(kind: SubjectKind, subject_id: str, name: str, at: datetime, why: str) -> Trouble:
    return Trouble(subject=Subject(kind=kind, id=subject_id, name=name), overdue=Overdue(at, "", why))


def _of_installation(about: str, at: datetime, event_id: str, why: str) -> Trouble:
    return Trouble(subject=Subject(kind=SubjectKind.INSTALLATION, id=about, name=PRODUCT), overdue=Overdue(at, event_id, why))


def _ticked_at(node: NodeSeen) -> datetime:
    return node.seen_at - timedelta(seconds=node.tick_age_seconds)


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
