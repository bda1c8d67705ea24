"""Each store of accounts, connections, templates and what hangs on them does the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from app.accounts.model import AccountKind, Role, User
from app.accounts.preference_store import PreferenceStore
from app.accounts.store import SessionStore, TokenStore, UserStore
from app.accounts.throttle import PAIR, Throttle
from app.approvals.store import ApprovalStore
from app.audit.chain import BEGINNING, Head
from app.audit.store import AuditFilter, AuditStore, SettingsStore
from app.connections.health_store import HealthStore
from app.connections.store import ConnectionStore
from app.errors import DuplicateName, LimitReached
from app.jobtemplates.preset_store import PresetStore
from app.jobtemplates.store import TemplateStore
from app.metrics.totals_store import Totals, TotalsStore
from app.mongo import Document
from app.shapes import DAMAGED

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
Data = Database[Document]


# -- accounts ---------------------------------------------------------------------------------------------------------


def user(name: str = "ada", **fields: Any) -> User:
    chosen = {"name": name, "role": Role.ADMIN, "password_hash": "$argon2id$x", "created_at": NOW, "groups": ("north",), **fields}
    return User(id=f"id-{name}", email=f"{name}@example.com", **chosen)


def test_an_account_is_found_by_each_of_its_names(database: Data) -> None:
    users = UserStore(database)
    assert not users.any_exists()
    users.add(user("ada", identity={"issuer": "https://id.example.com", "subject": "7"}))
    users.add(user("bert", role=Role.SUPER_ADMIN))
    assert users.any_exists()
    assert users.get("id-ada") == users.by_email(" ADA@example.com ") == users.by_identity("https://id.example.com", "7")
    assert users.get("id-nobody") is None
    assert [account.email for account in users.all()] == ["ada@example.com", "bert@example.com"]
    assert users.has_other(Role.SUPER_ADMIN, than="id-ada")
    assert not users.has_other(Role.SUPER_ADMIN, than="id-bert")


def test_an_address_belongs_to_one_account(database: Data) -> None:
    users = UserStore(database)
    users.add(user())
    with pytest.raises(DuplicateName):
        users.add(User(**{**{field: getattr(user(), field) for field in User.__dataclass_fields__}, "id": "another"}))


def test_a_change_is_made_at_the_version_that_was_read(database: Data) -> None:
    users = UserStore(database)
    users.add(user())
    first = users.get("id-ada")
    assert first is not None
    renamed = users.change(first, {"name": "Ada L."})
    assert renamed is not None
    assert (renamed.name, renamed.version, renamed.epoch) == ("Ada L.", 2, 0)
    assert users.change(first, {"name": "late"}) is None
    closed = users.change(renamed, {"disabled": True})
    assert closed is not None
    assert (closed.version, closed.epoch) == (3, 1), "a change of what proves an account ends its sessions"


def test_second_factors_and_resets_are_used_once(database: Data) -> None:
    users = UserStore(database)
    users.add(user())
    database["users"].update_one({"_id": "id-ada"}, {"$set": {"totp": {"sealed": "s1", "last_step": 5, "recovery": ["a", "b"]}}})
    assert [users.use_step("id-ada", step) for step in (5, 6, 6)] == [False, True, False]
    assert [users.use_recovery("id-ada", "a") for _ in range(2)] == [True, False]
    users.set_reset("id-ada", {"digest": "d", "expires_at": LATER})
    assert users.by_reset("d", LATER) is None
    found = users.by_reset("d", NOW)
    assert found is not None
    assert [users.finish_reset(found, "d", "new") for _ in range(2)] == [True, False]
    changed = users.get("id-ada")
    assert changed is not None
    assert (changed.password_hash, changed.epoch) == ("new", 1)
    users.seen("id-ada", LATER)
    users.seen("id-ada", NOW)
    users.rehash(found, "too late")
    changed = users.get("id-ada")
    assert changed is not None
    assert (changed.last_seen_at, changed.password_hash) == (LATER, "new")


def test_a_damaged_account_is_read_closed(database: Data) -> None:
    database["users"].insert_one({"_id": "odd", "email": "o@example.com", "role": 5, "created_at": NOW, "kind": AccountKind.PERSON.value})
    account = UserStore(database).get("odd")
    assert account is not None
    assert account.disabled
    assert "/role is the number 5" in account.damaged


def token(number: int, **fields: Any) -> Document:
    row = {"_id": f"t{number}", "hash": f"h{number}", "user_id": "u", "name": "t", "prefix": "jw_", "scopes": ["read"], "created_by": "u"}
    return {**row, "created_at": NOW + timedelta(minutes=number), "expires_at": None, "revoked_at": None, **fields}


def test_a_token_is_good_until_it_is_revoked_or_replaced(database: Data) -> None:
    tokens = TokenStore(database)
    for number in range(3):
        tokens.add(token(number, user_id="other" if number == 2 else "u"))
    assert [row["_id"] for row in tokens.of(None)] == ["t2", "t1", "t0"]
    assert [sorted(row) for row in tokens.of("u")] == [sorted({*token(0)} - {"hash"})] * 2
    first = tokens.by_hash("h0")
    assert first is not None
    assert [tokens.replace_hash(first, {"hash": "new", "rotated_at": NOW}) for _ in range(2)] == [True, False]
    assert tokens.by_hash("h0") is None
    assert [tokens.revoke("t0", NOW) for _ in range(2)] == [True, False]
    assert tokens.by_hash("new") is None
    tokens.mark_used("t1", LATER)
    tokens.mark_used("t1", NOW)
    assert (tokens.get("t1") or {})["last_used_at"] == LATER


def test_sessions_end_one_by_one_or_together(database: Data) -> None:
    sessions = SessionStore(database)
    for number in range(4):
        seen = NOW + timedelta(minutes=number)
        row = {"_id": f"s{number}", "user_id": "u", "handle": f"h{number}", "created_at": NOW, "seen_at": seen, "expires_at": LATER}
        sessions.add({**row, "pending": number == 3})
    assert [row["_id"] for row in sessions.of("u")] == ["s2", "s1", "s0"]
    sessions.touch("s0", LATER)
    assert (sessions.get("s0") or {})["seen_at"] == LATER
    assert [sessions.remove("s2"), sessions.remove("s2")] == [True, False]
    assert sessions.remove_of("u", handle="h1") == 1
    assert sessions.remove_of("u", but="s0") == 1
    assert sessions.remove_of("u") == 1


def test_preferences_keep_some_views_by_name(database: Data) -> None:
    preferences = PreferenceStore(database)
    assert preferences.get("u") == {}
    preferences.set_reading("u", "Europe/Berlin", "de")
    assert [preferences.put_view("u", name, "q=1", most=2) for name in ("b", "a", "c")] == [True, True, False]
    assert preferences.put_view("u", "a", "q=2", most=2)
    assert preferences.get("u") == {
        "_id": "u",
        "zone": "Europe/Berlin",
        "language": "de",
        "views": [{"name": "a", "query": "q=2"}, {"name": "b", "query": "q=1"}],
    }
    preferences.drop_view("u", ["b", "x"])
    assert [view["name"] for view in preferences.get("u")["views"]] == ["a"]


@pytest.mark.differs("date arithmetic")
def test_attempts_to_sign_in_are_counted_and_forgiven(database: Data) -> None:
    throttle = Throttle(database)
    for _ in range(PAIR.free):
        throttle.take(PAIR, "k", NOW)
    with pytest.raises(LimitReached) as waits:
        throttle.take(PAIR, "k", NOW)
    assert waits.value.retry_after_seconds == 1
    throttle.forget(PAIR, "k")
    throttle.take(PAIR, "k", NOW)


# -- audit, approvals ---------------------------------------------------------------------------------------------------


def event(seq: int, action: str = "job.update", **fields: Any) -> Document:
    row = {
        "seq": seq,
        "at": NOW + timedelta(minutes=seq),
        "action": action,
        "outcome": "done",
        "via": "api",
        "address": "192.0.2.1",
        "correlation_id": f"c{seq}",
        "actor": {"id": "u", "email": "Ada@example.com", "role": "admin"},
        "target": {"kind": "job", "id": f"j{seq}", "name": "j"},
        "diff": [],
        "seal": f"seal{seq}",
    }
    return {**row, **fields}


def test_events_stand_in_their_order_and_are_narrowed(database: Data) -> None:
    audit = AuditStore(database)
    assert audit.head() == Head(0, BEGINNING)
    assert [audit.append(event(seq, action)) for seq, action in ((1, "job.create"), (2, "job.update"), (3, "jobs.x"))] == [True] * 3
    assert not audit.append(event(3)), "a number is given once"
    assert audit.head() == Head(3, "seal3")
    found = lambda **narrow: [row["seq"] for row in audit.find(AuditFilter(**narrow))]
    assert found() == [3, 2, 1]
    assert found(action="job") == [2, 1]
    assert found(actor="ada@") == [3, 2, 1]
    assert found(target_id="j2") == [2]
    assert found(begin=NOW + timedelta(minutes=2), end=NOW + timedelta(minutes=3)) == [2]
    assert [row["seq"] for row in audit.find(AuditFilter(), before=3, limit=1)] == [2]
    assert [row["seq"] for row in audit.walk(AuditFilter())] == [row["seq"] for row in audit.walk_exact()] == [1, 2, 3]
    assert audit.actions() == ["job.create", "job.update", "jobs.x"]


def test_settings_that_were_seen_are_remembered(database: Data) -> None:
    settings = SettingsStore(database)
    assert settings.last("host") == {}
    settings.save("host", {"values": {"PORT": "8080"}})
    settings.save("host", {"values": {"PORT": "8081"}})
    assert settings.last("host") == {"values": {"PORT": "8081"}}


def test_a_request_waits_moves_once_and_ends(database: Data) -> None:
    approvals = ApprovalStore(database)
    row = {
        "_id": "a1",
        "operation": "create",
        "state": "pending",
        "job_id": "j1",
        "job_name": "j",
        "template_type": "noop",
        "via": "api",
        "version": 1,
        "diff": [],
        "parameters": None,
        "payload": {"x": 1},
        "subject": {"group": "north"},
        "requested_by": {"id": "u", "email": "a@example.com"},
        "requested_at": NOW,
        "expires_at": LATER,
        "decided_by": None,
        "decided_at": None,
        "note": "",
        "result": None,
        "preview": None,
    }
    assert [approvals.add(row), approvals.add(row)] == [True, False]
    assert approvals.waiting(NOW) == approvals.waiting(NOW, groups=["north"]) == 1
    assert approvals.waiting(NOW, groups=["south"]) == approvals.waiting(LATER) == 0
    assert ["payload" in one for one in approvals.waiting_for("j1", NOW)] == [False]
    approvals.set_preview("a1", {"state": "done"})
    moved = approvals.move("a1", {"state": "pending"}, {"state": "approved"})
    assert moved is not None
    assert (moved["state"], moved["preview"]) == ("approved", {"state": "done"})
    assert approvals.move("a1", {"state": "pending"}, {"state": "refused"}) is None
    rows, total = approvals.page({"job_id": "j1"}, skip=0, limit=10)
    assert ([one["_id"] for one in rows], total) == (["a1"], 1)


# -- connections, templates ---------------------------------------------------------------------------------------------


def connection(name: str, version: int = 1) -> Document:
    row = {"_id": f"c-{name}", "name": name, "kind": "smtp", "settings": {"host": "h"}, "version": version}
    return {**row, "created_by": "u", "updated_by": "u", "created_at": NOW, "updated_at": NOW}


def test_connections_are_replaced_at_their_version(database: Data) -> None:
    connections = ConnectionStore(database)
    connections.add(connection("mail"))
    connections.add(connection("backup"))
    with pytest.raises(DuplicateName):
        connections.add({**connection("mail"), "_id": "other"})
    assert [row["name"] for row in connections.all()] == ["backup", "mail"]
    assert [row["name"] for row in connections.by_names({"mail", "none"})] == ["mail"]
    assert [connections.replace_version(connection("mail", 2), version=1) for _ in range(2)] == [True, False]
    with pytest.raises(DuplicateName):
        connections.replace_version({**connection("mail", 3), "name": "backup"}, version=2)
    assert [connections.remove("c-mail"), connections.remove("c-mail")] == [True, False]
    assert connections.get("c-mail") is None


def test_the_health_of_a_connection_is_claimed_and_noted(database: Data) -> None:
    store = HealthStore(database)
    assert store.claim("c", 1, None, now=NOW, until=LATER)
    assert not store.claim("c", 1, None, now=NOW, until=LATER)
    note = lambda works, at: store.note("c", 1, works=works, message="$x", failures=0, at=at, next_at=LATER)
    note(True, NOW + timedelta(minutes=1))
    note(True, NOW + timedelta(minutes=2))
    health = store.all()["c"]
    assert (health.works, health.message, health.since, health.probed_at) == (
        True,
        "$x",
        NOW + timedelta(minutes=1),
        NOW + timedelta(minutes=2),
    )
    assert [store.claim("c", 2, health, now=NOW, until=NOW) for _ in range(2)] == [True, False]
    note(False, LATER)
    assert store.all()["c"].works, "the answer is of other settings"
    store.remove("c")
    assert store.all() == {}


def test_templates_are_changed_at_their_revision(database: Data) -> None:
    templates = TemplateStore(database)
    row = {"_id": "beat", "revision": 1, "base": "noop", "versions": []}
    templates.add(row)
    with pytest.raises(DuplicateName):
        templates.add(row)
    assert not templates.replace(row, revision=0)
    assert [templates.replace({**row, "revision": 2}, revision=1) for _ in range(2)] == [True, False]
    assert templates.replace({"_id": "noop", "revision": 1}, revision=0)
    assert sorted(one["_id"] for one in templates.all()) == ["beat", "noop"]
    assert (templates.get("beat") or {})["revision"] == 2
    assert [templates.remove("beat", revision=1), templates.remove("beat", revision=2)] == [False, True]


def test_presets_are_seen_by_their_owner_and_by_all(database: Data) -> None:
    presets = PresetStore(database)
    row = {"template_type": "noop", "parameters": {"seconds": 1}, "code_version": 1, "by": "u", "at": NOW}
    for name, owner, shared in (("b", "ada", False), ("a", "ada", True), ("c", "bert", False)):
        presets.put({**row, "_id": name, "name": name, "owner": owner, "shared": shared})
    presets.put({**row, "_id": "b", "name": "b2", "owner": "ada", "shared": False})
    assert [one["name"] for one in presets.of("noop", "ada")] == ["a", "b2"]
    assert [one["name"] for one in presets.of("noop", "bert")] == ["a", "c"]
    assert presets.count("noop") == 3
    presets.remove("a")
    assert presets.get("a") is None


def test_a_damaged_document_says_what_is_wrong_with_it(database: Data) -> None:
    database["connections"].insert_one({**connection("mail"), "kind": 5})
    row = ConnectionStore(database).get("c-mail") or {}
    assert row[DAMAGED] == "/kind is the number 5"


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_totals_move_on_by_one_node_at_a_time(database: Data) -> None:
    totals = TotalsStore(database)
    assert totals.read() is None
    totals.begin(NOW)
    totals.begin(LATER)
    assert totals.read() == Totals(NOW, {})
    key = ("templates", "shop.v1|100%$", "success")  # whatever a name has, it comes back
    assert totals.add({key: 2.0}, after=NOW, until=LATER)
    assert not totals.add({key: 2.0}, after=NOW, until=LATER)
    assert totals.add({}, after=LATER, until=LATER + timedelta(seconds=1))
    assert totals.read() == Totals(LATER + timedelta(seconds=1), {key: 2.0})


def test_damaged_totals_begin_again(database: Data) -> None:
    totals = TotalsStore(database)
    database["metric_totals"].insert_one({"_id": "executions", "until": NOW, "counts": {"claims": "many"}})
    assert totals.read() is None
    totals.begin(NOW)
    assert totals.read() == Totals(NOW, {})
