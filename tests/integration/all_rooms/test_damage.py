"""Damaged documents in every collection: each list, export and tick goes on, healthy records are served, the damaged ones are named."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import Decimal128
from flask.testing import FlaskClient
from pymongo.errors import WriteError

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.config import Settings
from app.connections.health_store import HealthStore
from app.doctor import Doctor
from app.errors import FieldError
from app.executors.base import Executor, Run, Sink
from app.factory import Store, build_node
from app.integrations.inbound.delivery_store import DeliveryStore
from app.integrations.inbound.model import Delivery, Outcome
from app.jobs.filters import JobFilter
from app.jobs.shadow_store import ShadowStore
from app.notification.channel_store import ChannelStateStore
from app.notification.monitor.store import MonitorStore
from app.notification.quiet.batch_store import Batch, BatchStore
from app.notification.quiet.entry_store import EntryStore
from app.notification.turn_store import Turns
from app.queue.model import Attempt, Reason, Status, Trigger
from app.sandbox.protocol import StopReason
from app.scheduling.node_store import Heartbeat, NodeStore
from app.services import Services
from tests.builders.announcements import announcement, entry
from tests.builders.queue import execution_document
from tests.conftest import START, Api, app_of
from tests.lengths import LONG
from tests.support import PASSWORD

REST, JOBS = "/api/admin", "/api/admin/scheduler-jobs"
GONE = object()
DAMAGES: dict[str, Any] = {
    "gone": GONE,
    "null": None,
    "object": {},
    "strange object": {"type": {"x": 1}, "status": 5, "at": []},
    "list": [],
    "list of null": [None, {}, 5],
    "number": 12.5,
    "negative": -7,
    "text": "bogus",
    "long": "x" * 3000,
    "true": True,
}


class Recording(Executor):
    """Takes runs and starts nothing."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def start(self, sink: Sink, *, on_free: Any, begin_until: Any = None) -> None:
        pass

    def capacity(self) -> int:
        return 500

    def submit(self, runs: Sequence[Run]) -> None:
        self.runs += runs

    def stop(self, execution_id: str, reason: StopReason, *, grace_seconds: float | None = None) -> None:
        pass

    def held(self) -> dict[str, Attempt]:
        return {}

    def close(self) -> None:
        pass


class House:
    """A registry with something in each collection."""

    def __init__(self, services: Services, store: Store, actor: Actor, settings: Settings, clock: ManualClock) -> None:
        self.services, self.store, self.db, self.actor, self.settings, self.clock = services, store, store.database, actor, settings, clock
        app = app_of(services, csrf=False)
        self.api = Api(app, services.tokens.create(SYSTEM, email=actor.email, name="kept"))
        self.client: FlaskClient = app.test_client()
        self.client.post("/sign-in", data={"email": actor.email, "password": PASSWORD})
        self._fill()
        self.executor = Recording()
        self.node = build_node(settings, store, services, self.executor)

    def _fill(self) -> None:
        services, actor, now = self.services, self.actor, self.clock.now()
        services.tokens.create(SYSTEM, email=actor.email, name="other")
        services.accounts.create_user(SYSTEM, email="bert@example.com", password=PASSWORD, role=Role.ADMIN)
        services.calendars.create(actor, "holidays", {"timezone": "UTC", "dates": [{"from": "2026-12-24", "to": "2026-12-26"}]})
        connection = services.connections.create(
            actor, name="mail", kind="smtp", settings={"host": "127.0.0.1", "port": 1, "security": "none", "sender": "a@example.com"}
        )
        health = HealthStore(self.db)
        health.claim(connection["_id"], 1, None, now=now, until=now + timedelta(hours=1))
        body = {
            "name": "healthy",
            "template_type": "noop",
            "schedule": {"type": "cron", "expression": "0 * * * *", "calendars": ["holidays"]},
            "tags": ["a"],
        }
        self.job, _ = services.jobs.create(actor, body)
        self.job = services.jobs.update(actor, self.job.id, {"priority": 6, "notifications": {"on_failure": ["a@example.com"]}})
        self.after, _ = services.jobs.create(actor, {"name": "follower", "template_type": "noop", "depends_on": [{"job": self.job.id}]})
        services.jobs.create(actor, {"name": "often", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}})
        services.pausing.pause(
            actor,
            services.jobs.create(
                actor, {"name": "resting", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 90}}
            )[0].id,
            {"reason": "why"},
        )
        services.notes.add(actor, self.job.id, "a note")
        services.drafts.keep(actor, "noop", [("d.name", "x")])
        services.presets.save(actor, "noop", "mine", {"seconds": 1})
        services.templates.derive(actor, {"type": "derived_noop", "base": "noop"})
        services.templates.publish(actor, "derived_noop")
        services.templates.set_standing(actor, "noop", {"note": "kept"})
        services.preferences.save_view(actor, "view", "enabled=true")
        self.db["template_moves"].insert_one(
            {
                "_id": "move",
                "template_type": "derived_noop",
                "to": 1,
                "at": now,
                "by": "x",
                "jobs": [{"id": self.job.id, "name": "healthy", "version": 1, "template_version": 1}],
                "rolled_back": None,
            }
        )
        self.db["gatherings"].insert_one(
            {"_id": self.after.id, "revision": 1, "arrived": [[self.job.id, "e"]], "seen": ["e"], "owed": [], "at": now}
        )
        self.db["metric_totals"].insert_one({"_id": "executions", "until": now, "counts": {"executions|cron|success": 2.0}})
        self.db["run_limits"].insert_one({"_id": actor.id, "at": [now]})
        address = services.inbound.create(actor, self.job.id, {"name": "sender", "proof": "github", "events": ["push"]}).address
        refused = [FieldError("/parameters/seconds", "is wrong")]
        delivery = Delivery(
            id="delivery",
            address_id=address.id,
            job_id=self.job.id,
            at=now,
            outcome=Outcome.REFUSED,
            status=422,
            sender="192.0.2.1",
            reason="wrong",
            errors=tuple(refused),
        )
        DeliveryStore(self.db).add(delivery)
        channel = services.channels.create(actor, name="ops", type="webhook", settings={"url": "http://127.0.0.1:1/hook"})
        services.channels.test(actor, channel["_id"])
        ChannelStateStore(self.db).note_unreachable(channel["_id"], at=now, scout_at=now)
        services.digests.create(actor, {"name": "ops", "to": ["channel:ops"], "every": "daily", "at": "07:00", "timezone": "UTC"})
        services.digests.set_mine(actor, {"every": "weekly", "at": "07:00"})
        monitor = MonitorStore(self.db)
        monitor.claim_ping(now=now, until=now, longest=timedelta(hours=1))
        monitor.note_ping(at=now, next_at=now, problem="no")
        monitor.open(["deliveries"], now=now)
        alert = replace(entry(announcement("healthy", to=("channel:ops",))), created_at=now, due_at=now)
        EntryStore(self.db).add([alert])
        batch = Batch(id="batch", group="g", target_key=alert.target_key, kind=alert.kind, at=now, ids=(alert.id,))
        BatchStore(self.db).begin(batch)
        mute = {"reason": "why", "ends_at": (now + timedelta(hours=1)).isoformat(), "jobs": ["healthy"]}
        services.mutes.create(actor, mute)
        Turns(self.db).take("quiet", "nobody", now=now - timedelta(hours=1), lasts=timedelta(seconds=1))
        sample = {"state": "ready", "by": actor.email, "at": now, "database": "shop", "failing_hour": 3}
        self.db["samples"].insert_one({"_id": "sample", **sample, "connections": [], "jobs": [self.job.id]})
        services.imports.create(
            actor,
            source="crontab:web1:/etc/crontab",
            entry="e",
            plan="p",
            body={"name": "imported", "template_type": "noop", "schedule": {"type": "manual"}},
        )
        times = {"due_at": now, "last_due_at": now, "at": now}
        ShadowStore(self.db).add([{"_id": "s", "job_id": self.job.id, "outcome": "run", "reason": None, "count": 1, **times}])
        moved = {"job_id": self.job.id, "connection": "c", "by": actor.email, "epoch": 1, "since": now, "at": now}
        self.db["hand_overs"].insert_one({"_id": "test_scheduler", **moved, "stage": "moving"})
        mark = {"failed_at": now, "by": actor.email, "at": now, "note": "known", "dismissed": False}
        self.db["acknowledgements"].insert_one({"_id": self.job.id, "execution_id": "e", **mark})
        NodeStore(self.db).beat("node", Heartbeat(host="h", clock=now, tick_age_seconds=0.1))
        services.settings_trail.record("h", {"PORT": "1"}, {"KEY": "s"})
        admin = replace(actor, id="other", email="bert@example.com", role="admin")
        danger = {"name": "danger", "template_type": "misbehave", "parameters": {"how": "raise"}}
        services.exchange.apply(admin, f"jobwright: 1\njobs:\n- {json.dumps(danger)}\n")
        self._runs()
        services.overview.month(actor, now) if hasattr(services.overview, "month") else None

    def _runs(self) -> None:
        now, rows = self.clock.now(), []
        for place, status in enumerate((Status.SUCCESS, Status.FAILED, Status.SKIPPED, Status.QUEUED, Status.RUNNING, Status.RETRYING)):
            row = execution_document(
                self.job,
                now=now - timedelta(minutes=10 - place),
                triggered_by=Trigger.SCHEDULE,
                scheduled_for=now - timedelta(hours=place + 1),
                execution_id=f"run-{status}",
                status=status,
                reason=Reason.OVERLAP if status is Status.SKIPPED else None,
            )
            attempt = {
                "number": 1,
                "started_at": now,
                "completed_at": now,
                "status": status.value,
                "error": {"type": "E", "message": "m", "permanent": False, "kind": "error", "traceback": ""}
                if status is Status.FAILED
                else None,
                "host": "h",
                "worker": "w",
                "duration_seconds": 1.5,
                "usage": {"cpu_seconds": 1.0},
            }
            if status not in {Status.SKIPPED, Status.QUEUED}:
                row |= {
                    "attempts": [attempt],
                    "started_at": now,
                    "duration_seconds": 1.5,
                    "last_token": 1,
                    "progress": {"done": 1, "total": 2, "note": ""},
                    "error": attempt["error"],
                }
            if status is Status.SUCCESS:
                row |= {
                    "result": {"message": "done", "n": 1},
                    "owed": [{"what": "followers", "at": now, "tries": 0, "error": None, "given_up_at": None}],
                    "resolved": [{"pointer": "/x", "value": 1}],
                    "caused_by": ["x"],
                    "line": ["x"],
                    "depth": 1,
                    "due_times": {"first": now, "last": now, "count": 2},
                }
            if status is Status.FAILED:
                row |= {
                    "owed": [
                        {"what": "self_pause", "at": now, "tries": 0, "error": None, "given_up_at": None},
                        {"what": "notify", "at": now - timedelta(minutes=1), "tries": 0, "error": None, "given_up_at": None},
                    ],
                    "result": {"message": "half"},
                }
            if status is Status.RUNNING:
                row |= {
                    "lease": {"owner": "dead", "claim": "c", "token": 1, "expires_at": now - timedelta(minutes=5)},
                    "slots": [f"{self.job.id}#0"],
                    "cancel": {"by": "x", "at": now},
                }
                row.pop("queue_rank", None)
            rows.append(row)
        self.db["job_executions"].insert_many(rows)
        lines = [{"timestamp": now, "level": level, "message": level} for level in ("info", "error")]
        self.db["execution_logs"].insert_many(
            [
                {"_id": f"run-{status}/00001.0000000{n}", "attempt": 1, "count": 2, "levels": ["error", "info"], "lines": lines}
                for status in ("success", "failed")
                for n in (1, 2)
            ]
        )
        self.db["execution_days"].insert_one(
            {"_id": f"{now - timedelta(days=1):%Y-%m-%d}", "hours": {"1": {"success": 2}}, "seconds": {"1": 3.0}, "counted_at": now}
        )

    # -- damage -----------------------------------------------------------------------------------------------------------

    def damage(self, collection: str, how: Any) -> list[tuple[Any, str]]:
        """Copies of each document of a collection with one field damaged each; returns their ids and the fields."""
        made: list[tuple[Any, str]] = []
        for document in list(self.db[collection].find()):
            for name in [*(name for name in document if name != "_id"), *(["_id"] if how is not GONE else [])]:
                copied = self._copy(collection, document, f"{len(made)}")
                if how is GONE:
                    copied.pop(name)
                else:
                    copied[name] = copy.deepcopy(how)
                if name == "_id" and isinstance(how, list):
                    continue  # no id may be a list
                try:
                    self.db[collection].insert_one(copied)
                except WriteError:  # unique, or two lists of one index
                    continue
                made.append((copied["_id"], name))
        return made

    def _copy(self, collection: str, document: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """Another document of the same kind: what is unique is another."""
        copied = copy.deepcopy(dict(document))
        if collection == "job_drafts":
            copied["_id"] = {**document["_id"], "kind": f"other {mark}"}
        elif collection == "execution_days":
            copied["_id"] = f"{self.clock.now() - timedelta(days=2 + int(mark)):%Y-%m-%d}"
        elif collection == "execution_logs":
            copied["_id"] = f"{str(document['_id']).rpartition('/')[0]}/00002.{mark.rjust(8, '0')}"
        else:
            copied["_id"] = f"{document['_id']}-{mark}"
        for name in ("name", "email", "hash", "creator_seat", "handle"):
            if collection != "preferences" and isinstance(copied.get(name), str):
                copied[name] = f"{copied[name]}{'#' if name == 'creator_seat' else ''}{int(mark) + 50}"
        for name in ("seat", "seq"):
            if isinstance(copied.get(name), int):
                copied[name] += 1000 + int(mark)
        if collection == "job_revisions":
            copied["version"] += 1000 + int(mark)
        if "scheduled_for" in copied and collection == "job_executions":
            copied["scheduled_for"] -= timedelta(days=1 + int(mark))
            copied.pop("slots", None) if mark != "" and document["status"] != "running" else None
            if "slots" in copied:
                copied["slots"] = [f"{self.job.id}#{int(mark) + 10}"]
        return copied

    # -- walking ----------------------------------------------------------------------------------------------------------

    def addresses(self, ids: Sequence[tuple[Any, str]], collection: str) -> tuple[list[str], list[str]]:
        """(served, may be absent): what must be there, and what may be 404, 409 or 422 but no fault."""
        job, run = self.job.id, "run-success"
        kind = "derived_noop"
        rest = [
            "approvals",
            "audit-events",
            "calendars",
            "channels",
            "connections",
            "deliveries",
            "digests",
            "mutes",
            "announcements",
            "job-executions",
            "job-templates",
            "maintenance",
            "imports",
            "sample-data",
            "scheduler-jobs",
            "tokens",
            "users",
            "scheduler-jobs/export",
            "scheduler-jobs/export?format=json",
            "audit-events/export?format=csv",
            "audit-events/export?format=jsonl",
            f"scheduler-jobs/{job}/inbound",
            f"scheduler-jobs/{job}/inbound/deliveries",
            f"job-executions/{run}",
            f"job-executions/{run}/logs",
            f"job-templates/{kind}",
            f"job-templates/{kind}/presets",
            "job-templates/noop/presets",
            f"job-templates/{kind}/moves",
            f"job-templates/{kind}/record",
            f"job-templates/{kind}/impact",
            f"scheduler-jobs/{job}",
            f"scheduler-jobs/{job}/dependencies",
            f"scheduler-jobs/{job}/executions",
            f"scheduler-jobs/{job}/notes",
            f"scheduler-jobs/{job}/revisions",
            f"scheduler-jobs/{job}/shadow-runs",
            f"scheduler-jobs/{job}/stats",
            *(f"scheduler-jobs?sort={sort}&limit=100" for sort in ("name", "-updated_at", "next_run_at", "last_run_at")),
            "scheduler-jobs?search=healthy",
            "scheduler-jobs?broken=true",
            "scheduler-jobs?paused=true",
            "scheduler-jobs?tag=a",
        ]
        pages = [
            "/",
            "/sample-data",
            "/account",
            "/approvals",
            "/approvals?state=failed",
            "/audit",
            "/calendar",
            "/calendar?view=week",
            "/calendar?view=day",
            "/calendars",
            "/calendars/holidays",
            "/channels",
            "/connections",
            "/deliveries",
            "/digests",
            "/digests/mine",
            "/mutes",
            "/announcements",
            "/executions",
            "/executions?status=failed",
            f"/executions/{run}",
            f"/executions/{run}/log",
            f"/executions/{run}/log.txt",
            "/executions/run-failed",
            "/executions/run-failed/compare",
            "/executions/run-queued",
            "/executions/run-running",
            f"/executions/{run}/retry-with",
            "/health",
            "/health/detailed",
            "/metrics",
            "/ready",
            "/jobs",
            "/jobs?sort=-last_run_at",
            "/jobs?q=healthy",
            "/jobs?page=2",
            f"/jobs/{job}",
            f"/jobs/{job}/edit",
            f"/jobs/{job}/revisions",
            f"/jobs/{job}/run-with",
            f"/jobs/{job}/row",
            f"/jobs/{job}/export.yaml",
            "/jobs/export.yaml",
            "/jobs/export.json",
            "/jobs/new?template=noop",
            f"/jobs/{self.after.id}",
            "/maintenance",
            "/palette?q=h",
            "/services",
            "/service-accounts",
            "/system",
            "/templates",
            "/templates/noop",
            f"/templates/{kind}",
            f"/jobs/{job}/inbound",
            f"/templates/{kind}/draft",
            f"/templates/{kind}/standing",
            f"/templates/{kind}/impact/1",
            "/users",
            f"/users/{self.actor.id}",
        ]
        own = {
            "dynamic_jobs": [
                "/jobs/{}",
                "/jobs/{}/edit",
                "/jobs/{}/revisions",
                "/jobs/{}/row",
                "/jobs/{}/run-with",
                "/jobs/{}/export.yaml",
                "/jobs/{}/pause",
                "/jobs/{}/backfill",
                REST + "/scheduler-jobs/{}",
                REST + "/scheduler-jobs/{}/dependencies",
                REST + "/scheduler-jobs/{}/revisions",
                REST + "/scheduler-jobs/{}/stats",
            ],
            "job_executions": [
                "/executions/{}",
                "/executions/{}/log",
                "/executions/{}/compare",
                "/executions/{}/live",
                "/executions/{}/retry-with",
                REST + "/job-executions/{}",
                REST + "/job-executions/{}/logs",
            ],
            "connections": ["/connections/{}", REST + "/connections/{}"],
            "channels": ["/channels/{}", REST + "/channels/{}"],
            "deliveries": ["/deliveries/{}", REST + "/deliveries/{}"],
            "digests": ["/digests/{}", "/digests/{}/preview", REST + "/digests/{}", REST + "/digests/{}/preview"],
            "mutes": ["/mutes/{}", REST + "/mutes/{}"],
            "inbound_addresses": [f"/jobs/{job}/inbound/{{}}", f"{REST}/scheduler-jobs/{job}/inbound/{{}}"],
            "calendars": ["/calendars/{}", REST + "/calendars/{}"],
            "users": ["/users/{}", REST + "/users/{}", REST + "/users/{}/tokens"],
            "approvals": ["/approvals/{}", "/approvals/{}/preview", REST + "/approvals/{}"],
            "job_templates": [
                "/templates/{}",
                "/templates/{}/draft",
                REST + "/job-templates/{}",
                REST + "/job-templates/{}/record",
                REST + "/job-templates/{}/export",
            ],
        }
        forms = own.get(collection, [])
        each = (
            [
                form.format(key)
                for number, (key, _) in enumerate(ids)
                for form in forms[number % len(forms) :: 4] + forms[:1]
                if isinstance(key, str) and "/" not in key and len(key) < 300
            ]
            if forms
            else []
        )
        return [f"{REST}/{path}" for path in rest] + pages, each

    def get(self, path: str) -> Any:
        return self.api("GET", path) if path.startswith(REST) else self.client.get(path)

    def ticks(self) -> dict[str, Any]:
        node, planning, running = self.node, self.node.planning, self.node.running
        return {
            "dispatch": planning.parts.dispatcher.tick,
            "claim": running.parts.runner.claim,
            "cancels": running.parts.runner.carry_out_cancels,
            "leases": running.parts.runner.keep_leases,
            "put back": running.parts.runner.put_back,
            "sweep at once": planning.parts.sweeper.tick,
            **{f"outbox {carrier.name}": carrier.tick for carrier in planning.parts.carriers},
            **dict(planning.upkeep_steps()),
            "announcements": planning.parts.quieting.tick,
            "notifications": planning.parts.sender.send_due,
            "digests": planning.parts.digests.tick,
            "monitor": lambda: planning.parts.watch.tick(ticks_move=True),
            "retention": planning.parts.retention.tick,
            "probes": planning.parts.probes.tick,
            "maintenance reason": planning.parts.maintenance.reason,
            "templates in use": running.parts.templates_in_use,
            "beat": node._beats.tick,
            "nodes": self.services.nodes,
        }


@pytest.fixture
def house(services: Services, store: Store, super_admin: Actor, settings: Settings, clock: ManualClock) -> House:
    return House(services, store, super_admin, settings, clock)


COLLECTIONS = [
    "dynamic_jobs",
    "job_revisions",
    "job_executions",
    "execution_logs",
    "execution_days",
    "acknowledgements",
    "connections",
    "connection_health",
    "users",
    "api_tokens",
    "sessions",
    "calendars",
    "job_templates",
    "template_presets",
    "job_drafts",
    "job_notes",
    "shadow_runs",
    "hand_overs",
    "inbound_addresses",
    "inbound_deliveries",
    "template_moves",
    "approvals",
    "audit_log",
    "nodes",
    "preferences",
    "gatherings",
    "run_limits",
    "settings_seen",
    "samples",
    "imports",
    "metric_totals",
    "channels",
    "channel_states",
    "deliveries",
    "digests",
    "monitor",
    "announcements",
    "announcement_batches",
    "mutes",
    "notification_turns",
]
# Whose absence of a field is no damage: it always may be missing.
SILENT = {"job_drafts", "run_limits"}


# In `make check` one case in eight: each collection meets one or two of the damages, and each damage two or three of the collections.
CASES = [
    (collection, how)
    for row, collection in enumerate(COLLECTIONS)
    for column, how in enumerate(DAMAGES)
    if LONG or (3 * row + column) % 8 == 0
]


@pytest.mark.parametrize(("collection", "how"), CASES)
def test_damage_breaks_no_page_and_no_tick(house: House, collection: str, how: str) -> None:
    made = house.damage(collection, DAMAGES[how])
    assert made, "nothing of this collection is there to damage"
    served, maybe = house.addresses(made, collection)
    wrong = [f"{path}: {answer.status_code}" for path in served if (answer := house.get(path)).status_code not in {200, 302}]
    wrong += [f"{path}: {answer.status_code}" for path in maybe if (answer := house.get(path)).status_code >= 500]
    wrong += [
        f"doctor: {found.subject}: {found.text}"
        for found in Doctor(house.services, house.store).examine()
        if "the check failed" in found.text
    ]
    for _ in range(2):
        house.clock.advance(61 * 60)
        for name, tick in house.ticks().items():
            try:
                tick()
            except Exception as error:
                wrong.append(f"tick {name}: {error!r}")
    assert wrong == []
    names = [job["name"] for job in house.api("GET", f"{JOBS}?limit=100&search=healthy").get_json()["jobs"]]
    assert "healthy" in names
    assert "healthy" in house.services.exchange.export(house.actor, "yaml", JobFilter(search="healthy"))
    assert house.db[collection].count_documents({"_id": {"$in": [key for key, _ in made]}}) >= len(made) - sum(
        1 for _ in made if collection in {"connection_health", "job_executions", "gatherings"}
    )


def test_a_duration_that_is_no_number_breaks_no_timeline(house: House) -> None:
    row = house.db["job_executions"].find_one({"_id": "run-success"}) or {}
    odd = [Decimal128("5"), Decimal128("NaN"), float("nan"), "5"]
    house.db["job_executions"].insert_many(
        [
            {
                **row,
                "_id": f"odd-{n}",
                "scheduled_for": house.clock.now() - timedelta(days=n + 2),
                "duration_seconds": one,
                "completed_at": house.clock.now(),
            }
            for n, one in enumerate(odd)
        ]
    )
    for path in ("/", "/calendar", "/calendar?view=day"):
        assert house.get(path).status_code == 200, path


ODD_ROWS = [
    {},
    {"from": "x", "to": "y", "days": ["mon"]},
    {"from": "2026-02-30"},
    {"from": 5, "days": "mon", "to": None},
    {"from": "01:00", "days": ["mon"]},
]


@pytest.mark.parametrize("row", ODD_ROWS, ids=str)
@pytest.mark.parametrize("field", ["dates", "weekly"])
def test_a_damaged_row_of_a_calendar_is_left_out_and_told(house: House, field: str, row: dict[str, Any]) -> None:
    kept = {"days": ["mon"], "from": "01:00", "to": "02:00"} if field == "weekly" else {"from": "2026-12-24", "to": "2026-12-26"}
    house.db["calendars"].update_one({"_id": "holidays"}, {"$set": {field: [row, kept]}})
    paths = (
        "/",
        "/calendar",
        "/calendars",
        "/calendars/holidays",
        f"{REST}/calendars",
        f"{REST}/calendars/holidays",
        f"/jobs/{house.job.id}",
    )
    assert {path: house.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    assert house.api("GET", f"{REST}/calendars/holidays").get_json()["calendar"][field] == [kept]
    assert f"/{field}/0 cannot be read" in house.client.get("/calendars").get_data(as_text=True)


# -- what becomes of a damaged record ------------------------------------------------------------------------------------


BROKEN_SCHEDULES = [
    {},
    None,
    5,
    "x",
    {"type": "bogus"},
    {"type": "cron"},
    {"type": "interval"},
    {"type": "interval", "interval_seconds": "5"},
    {"type": "once"},
    {"type": "cron", "expression": "0 * * * *", "strange": 1},
]


@pytest.mark.parametrize("schedule", BROKEN_SCHEDULES, ids=str)
def test_a_job_with_a_damaged_schedule_is_shown_with_the_reason_and_neither_run_nor_changed(house: House, schedule: Any) -> None:
    jobs, key = house.db["dynamic_jobs"], house.job.id
    jobs.update_one({"_id": key}, {"$set": {"schedule": schedule, "next_run_at": house.clock.now()}})
    stored = jobs.find_one({"_id": key})
    shown = house.api("GET", f"{JOBS}/{key}").get_json()["job"]
    assert "/schedule" in shown["schedule_error"]
    page = house.client.get(f"/jobs/{key}")
    assert (page.status_code, "/schedule" in page.get_data(as_text=True)) == (200, True)
    assert shown["schedule_error"] in [one["schedule_error"] for one in house.api("GET", f"{JOBS}?limit=100").get_json()["jobs"]]
    house.clock.advance(3600)
    for _ in range(2):
        house.node.planning.parts.dispatcher.tick()
    assert house.db["job_executions"].count_documents({"job_id": key, "queued_at": {"$gte": house.clock.now()}}) == 0
    assert house.db["job_executions"].count_documents({"job_name": "often", "queued_at": {"$gte": house.clock.now()}}) > 0
    assert "healthy" in house.services.directory.broken()
    left = jobs.find_one({"_id": key}) or {}
    assert {**left, "schedule_error": None} == {**(stored or {}), "schedule_error": None}
    for method, path, body in (
        ("POST", "run", {}),
        ("POST", "enable", {}),
        ("POST", "disable", {}),
        ("POST", "pause", {"reason": "x"}),
        ("PUT", "", {"priority": 2}),
    ):
        answer = house.api(method, f"{JOBS}/{key}/{path}".rstrip("/"), body)
        assert answer.status_code == (200 if path == "enable" and answer.status_code == 200 else 409), (path, answer.get_data(as_text=True))
    assert (jobs.find_one({"_id": key}) or {})["schedule"] == (stored or {})["schedule"]
    mended = house.api("PUT", f"{JOBS}/{key}", {"schedule": {"type": "interval", "interval_seconds": 60}})
    assert (mended.status_code, mended.get_json()["job"]["schedule_error"]) == (200, None)
    house.clock.advance(120)
    house.node.planning.parts.dispatcher.tick()
    assert house.db["job_executions"].count_documents({"job_id": key, "queued_at": {"$gte": house.clock.now()}}) > 0


def test_a_damaged_job_can_be_deleted(house: House) -> None:
    house.db["dynamic_jobs"].update_one({"_id": house.after.id}, {"$set": {"schedule": {}, "tags": 5}})
    assert house.api("DELETE", f"{JOBS}/{house.after.id}").status_code == 200


@pytest.mark.parametrize("field", ["parameters", "retry_policy", "timeout_seconds", "attempts", "status", "job_id", "rank"])
def test_a_damaged_execution_is_not_run_and_says_why_while_others_run(house: House, field: str) -> None:
    house.db["job_executions"].delete_many({"status": {"$in": ["running", "retrying"]}})
    row = house.db["job_executions"].find_one({"_id": "run-queued"}) or {}
    house.db["job_executions"].insert_one(
        {**row, "_id": "broken", "scheduled_for": house.clock.now(), field: {"x": 1} if field != "parameters" else 5}
    )
    house.node.running.parts.runner.claim()
    assert [run.attempt.execution_id for run in house.executor.runs] == ["run-queued"]
    left = house.db["job_executions"].find_one({"_id": "broken"}) or {}
    assert (left["status"], left["error"]["type"], f"/{field}" in left["error"]["message"]) == ("failed", "DamagedRecord", True)
    assert f"/{field}" in house.client.get("/executions/broken").get_data(as_text=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "bogus"),
        ("role", None),
        ("disabled", "no"),
        ("groups", "north"),
        ("groups", None),
        ("kind", 5),
        ("totp", "x"),
        ("identity", 5),
    ],
)
def test_an_account_whose_rights_cannot_be_read_is_closed(house: House, field: str, value: Any) -> None:
    assert house.api("GET", JOBS).status_code == 200
    house.db["users"].update_one({"_id": house.actor.id}, {"$set": {field: value}})
    assert house.api("GET", JOBS).status_code == 401
    assert house.client.get("/jobs").status_code == 302


@pytest.mark.parametrize(("field", "value"), [("expires_at", "never"), ("scopes", None), ("scopes", [5]), ("user_id", {})])
def test_a_token_whose_bounds_cannot_be_read_is_good_for_nothing(house: House, field: str, value: Any) -> None:
    house.db["api_tokens"].update_many({}, {"$set": {field: value}})
    assert house.api("GET", JOBS).status_code == 401


def test_the_doctor_and_the_log_name_what_is_damaged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.db["calendars"].update_one({"_id": "holidays"}, {"$set": {"timezone": 7, "version": "x"}})
    house.db["connections"].update_many({}, {"$set": {"kind": 5}})
    told = [found.text for found in Doctor(house.services, house.store).examine() if found.subject == "Records"]
    assert any("holidays in calendars" in text and "/timezone is the number 7" in text for text in told)
    assert any("in connections (mail)" in text and "/kind is the number 5" in text for text in told)
    page = house.client.get("/connections").get_data(as_text=True)
    assert "/kind is the number 5" in page
    assert "record.damaged" in caplog.text


def test_one_damaged_event_does_not_stop_the_audit_trail(house: House) -> None:
    house.db["audit_log"].insert_one({"_id": "odd", "seq": "zzz"})
    assert house.api("PUT", f"{JOBS}/{house.job.id}", {"priority": 3}).status_code == 200


INCOMPUTABLE: list[dict[str, Any]] = [
    {"type": "cron", "expression": "x"},
    {"type": "cron", "expression": "0 0 31 2 *"},
    {"type": "cron", "expression": "0 * * * *", "timezone": "Nowhere/Else"},
    {"type": "interval", "interval_seconds": 2**53},
]


@pytest.mark.parametrize("schedule", INCOMPUTABLE, ids=str)
def test_a_schedule_that_cannot_be_computed_breaks_no_forecast(house: House, schedule: Any) -> None:
    house.db["dynamic_jobs"].update_one({"_id": house.job.id}, {"$set": {"schedule": schedule}})
    own = [f"/jobs/{house.job.id}", f"/jobs/{house.job.id}/edit", f"{JOBS}/{house.job.id}"]
    pages = ["/", "/calendar", "/calendar?view=day", "/jobs/new?template=noop", f"/jobs/{house.after.id}/edit", *own]
    assert {path: house.get(path).status_code for path in pages} == dict.fromkeys(pages, 200)
    acts = [("POST", "enable"), ("POST", "pause"), ("POST", "resume"), ("POST", "disable"), ("DELETE", ""), ("POST", "undelete")]
    for method, path in acts:
        assert house.api(method, f"{JOBS}/{house.job.id}/{path}".rstrip("/"), {}).status_code < 500, path


@pytest.mark.parametrize("value", [START, float("nan"), float("-inf")], ids=str)
def test_parameters_that_json_cannot_say_break_no_export(house: House, value: Any) -> None:
    parameters = {"seconds": 1, "a": [{"b": value}]}
    house.db["dynamic_jobs"].update_one({"_id": house.job.id}, {"$set": {"parameters": parameters}})
    house.db["job_executions"].update_one({"_id": "run-success"}, {"$set": {"parameters": parameters, "result": parameters}})
    for path in (f"{JOBS}/export?format=json", f"{JOBS}/{house.job.id}", f"{REST}/job-executions/run-success", "/jobs/export.json"):
        answer = house.get(path)
        assert answer.status_code == 200
        json.loads(answer.get_data(), parse_constant=pytest.fail)
    assert "/parameters/a/0/b" in house.client.get(f"/jobs/{house.job.id}").get_data(as_text=True)
