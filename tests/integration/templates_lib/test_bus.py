"""Commands over a real nats-server: who hears them, who may send them, and what an answer decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest

from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.config import Settings, load_settings
from app.errors import ValidationFailed
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node, build_services
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from templates_lib.base import ConnectionGrant, JobResult, TemplateError
from templates_lib.connections.nats import KIND, may_send
from templates_lib.message_command.template import MessageCommand
from templates_lib.own import Own
from tests.builders.nats import USERS, running_nats
from tests.running import Ctx
from tests.support import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a nats-server with JetStream; `jobs` may publish to `jobs.>` alone."""
    with running_nats(tmp_path_factory.mktemp("nats"), config=USERS) as running:
        yield running.url


@pytest.fixture
def bus(server: str, ctx: Ctx) -> Ctx:
    settings = {"servers": [server], "subjects": ["jobs.>", "other.x"], "username": "jobs", "password": "jobs-password"}
    ctx.grants["bus"] = ConnectionGrant("bus", "nats", settings)
    return ctx


def command(**changes: Any) -> dict[str, Any]:
    return {"connection": "bus", "subject": "jobs.start", "payload": {"olderThanDays": 30}, **changes}


@asynccontextmanager
async def boss(server: str) -> Any:
    client = await nats.connect(server, user="boss", password="boss-password")
    try:
        yield client
    finally:
        await client.close()


def with_listener(server: str, ctx: Ctx, params: dict[str, Any], hear: Callable[[Any], Awaitable[None]]) -> JobResult:
    """Run the command while somebody listens on its subject."""

    async def both() -> JobResult:
        async with boss(server) as client:
            await client.subscribe(params["subject"], cb=hear)
            await client.flush()
            result = await MessageCommand().run(params, ctx())
            await client.flush()
            await asyncio.sleep(0.1)
            return result

    return asyncio.run(both())


def test_whoever_listens_gets_it(server: str, bus: Ctx) -> None:
    heard: list[Any] = []

    async def hear(message: Any) -> None:
        heard.append(message)

    result = with_listener(server, bus, command(), hear)
    assert result.message == "Published to jobs.start"
    (message,) = heard
    assert json.loads(message.data) == {"olderThanDays": 30}
    own = {"Jobwright-Execution": "exec-1", "Jobwright-Attempt": "1", "Idempotency-Key": "exec-1"}
    assert message.headers == {**own, "X-Request-Id": "exec-1"}
    shown = MessageCommand().preview(command(), bus())
    assert (shown.data["payload"], len(heard)) == ('{"olderThanDays":30}', 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"success": true, "deleted": 3}', None),
        (b"done", None),
        (b"", None),
        (b"[1]", None),
        (b'{"success": false, "error": "locked"}', "The service says: locked"),
        (b'{"success": false}', "The service says that the run failed"),
    ],
)
def test_an_answer_decides(answer: bytes, error: str | None, server: str, bus: Ctx) -> None:
    async def reply(message: Any) -> None:
        await message.respond(answer)

    run = lambda: with_listener(server, bus, command(how="request", subject="jobs.ask"), reply)
    if error is None:
        assert run().data["answer"] == answer.decode()
        return
    with pytest.raises(TemplateError, match=error) as failed:
        run()
    assert not failed.value.permanent


def test_no_answer_and_nobody(server: str, bus: Ctx) -> None:
    async def silent(message: Any) -> None:
        return

    with pytest.raises(TemplateError, match=r"No answer within 0\.3 s"):
        with_listener(server, bus, command(how="request", subject="jobs.silent", timeout=0.3), silent)
    with pytest.raises(TemplateError, match="Nobody answers") as nobody:
        asyncio.run(MessageCommand().run(command(how="request", subject="jobs.nobody"), bus()))
    assert not nobody.value.permanent


def test_a_stream_has_it_once_however_often_it_is_retried(server: str, bus: Ctx) -> None:
    async def work() -> tuple[list[JobResult], int]:
        async with boss(server) as client:
            await client.jetstream().add_stream(name="ORDERS", subjects=["jobs.stored"])
            results = [await MessageCommand().run(command(how="store", subject="jobs.stored"), bus(attempt=n)) for n in (1, 2)]
            info = await client.jetstream().stream_info("ORDERS")
            return results, info.state.messages

    results, stored = asyncio.run(work())
    assert stored == 1
    assert [one.data["sequence"] for one in results] == [1, 1]
    assert "it was there already" in results[1].message
    with pytest.raises(TemplateError, match="No stream takes") as refused:
        asyncio.run(MessageCommand().run(command(how="store", subject="jobs.unknown"), bus()))
    assert refused.value.permanent


def test_no_refusal_of_the_server_is_overtaken_by_success(server: str, bus: Ctx) -> None:
    """It says so beside what was sent, and the client's ping may be quicker than the message."""
    for _ in range(60):
        with pytest.raises(TemplateError, match="ermissions"):
            asyncio.run(MessageCommand().run(command(subject="other.x"), bus()))


@pytest.mark.parametrize("how", ["request", "store"])
def test_a_refusal_is_told_instead_of_the_silence_that_it_makes(how: str, server: str, bus: Ctx) -> None:
    with pytest.raises(TemplateError, match="ermissions") as refused:
        asyncio.run(MessageCommand().run(command(how=how, subject="other.x", timeout=1), bus()))
    assert refused.value.permanent


def test_what_the_server_or_the_connection_refuses(server: str, bus: Ctx) -> None:
    with pytest.raises(TemplateError, match="does not reach") as ours:
        asyncio.run(MessageCommand().run(command(subject="elsewhere"), bus()))
    with pytest.raises(TemplateError, match="ermissions") as theirs:  # the connection allows it, and the server does not
        asyncio.run(MessageCommand().run(command(subject="other.x"), bus()))
    settings = bus.grants["bus"].settings
    bus.grants["bus"] = ConnectionGrant("bus", "nats", {**settings, "password": "wrong"})
    with pytest.raises(TemplateError, match="uthorization") as stranger:
        asyncio.run(MessageCommand().run(command(), bus()))
    assert ours.value.permanent
    assert theirs.value.permanent
    assert stranger.value.permanent
    bus.grants["bus"] = ConnectionGrant("bus", "nats", {**settings, "servers": ["nats://127.0.0.1:1"]})
    with pytest.raises(TemplateError) as away:
        asyncio.run(MessageCommand().run(command(), bus()))
    assert not away.value.permanent
    with pytest.raises(TemplateError, match="payload has"):
        MessageCommand().preview(command(payload="x" * 1_000_001), bus())


def test_the_connection_says_what_answers(server: str, bus: Ctx) -> None:
    assert KIND.probe(bus.grants["bus"].settings, Own()).startswith("NATS 2.")
    with pytest.raises(Exception, match="uthorization"):
        KIND.probe({**bus.grants["bus"].settings, "password": "wrong"}, Own())


@pytest.mark.parametrize(
    ("allowed", "subject", "may"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.b", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.b", "A.b", False),
        ("*.x", "a.y", False),
    ],
)
def test_subjects(allowed: str, subject: str, may: bool) -> None:
    assert may_send({"subjects": [allowed]}, subject) is may


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("subjects", "a..b"),
        ("subjects", "a.>.b"),
        ("subjects", ""),
        ("subjects", "$SYS.>"),
        ("subjects", "a b"),
        ("servers", "http://x"),
        ("servers", "nats://u:p@x"),
    ],
)
def test_what_a_connection_refuses(field: str, bad: str, services: Services, super_admin: Actor) -> None:
    settings = {"servers": ["nats://x:4222"], "subjects": ["a"], field: [bad]}
    with pytest.raises(ValidationFailed) as failed:
        services.connections.create(super_admin, name="n", kind="nats", settings=settings)
    assert [one.pointer for one in failed.value.errors] == [f"/settings/{field}/0"]


def test_a_subject_out_of_reach_is_refused_at_its_field(services: Services, super_admin: Actor, admin: Actor, tmp_path: Path) -> None:
    services.connections.create(
        super_admin, name="n", kind="nats", settings={"servers": ["nats://x:4222"], "subjects": ["jobs.*", "jobs.stop"]}
    )
    with pytest.raises(ValidationFailed) as failed:
        services.jobs.create(
            admin, {"name": "m", "template_type": "message_command", "parameters": {"connection": "n", "subject": "other.x"}}
        )
    assert [one.pointer for one in failed.value.errors] == ["/parameters/subject"]
    assert services.connections.explore(admin, "subjects", "n") == ["jobs.stop"]


# -- what jobs may send, and what must be in it -------------------------------------------------------------------------

ORDER = {
    "type": "object",
    "required": ["orderId", "until"],
    "properties": {"orderId": {"type": "integer", "minimum": 1}, "until": {"type": "string", "format": "date"}},
    "additionalProperties": False,
}
SETTINGS = {
    "servers": ["nats://127.0.0.1:4222"],
    "subjects": ["orders.>", "free"],
    "schemas": [{"subject": "orders.*.cancel", "schema": ORDER}, {"subject": "orders.>", "schema": {"type": "object"}}],
}


def pointers(failed: pytest.ExceptionInfo[ValidationFailed]) -> list[str]:
    return [error.pointer for error in failed.value.errors]


def message_job(subject: str, **parameters: Any) -> dict[str, Any]:
    return {"name": "m", "template_type": "message_command", "parameters": {"connection": "n", "subject": subject, **parameters}}


@pytest.mark.parametrize(
    ("subject", "parameters", "wrong"),
    [
        ("orders.7.cancel", {"payload": {"orderId": 7, "until": "2026-03-09"}}, []),
        (
            "orders.7.cancel",
            {"payload": {"orderId": 7, "until": {"$relative": "+7 days"}}},
            ["/parameters/payload/until"],
        ),  # an instant, not a day
        ("orders.7.cancel", {"payload": {"orderId": 7, "until": '{{ now | add: "+7 days" | date }}'}}, []),
        ("orders.7.cancel", {"payload": {"orderId": "{{ previous.result.id }}", "until": "2026-03-09"}}, []),  # only the run will know
        ("orders.7.cancel", {"payload": {"orderId": 0, "until": "soon"}}, ["/parameters/payload/orderId", "/parameters/payload/until"]),
        ("orders.7.cancel", {"payload": {"orderId": 7, "until": "2026-03-09", "x": 1}}, ["/parameters/payload/x"]),
        ("orders.7.cancel", {"payload": [1]}, ["/parameters/payload"]),
        ("orders.7.cancel", {}, ["/parameters/payload"]),
        ("orders.7.start", {"payload": {"any": "thing"}}, []),
        ("orders.7.start", {"payload": 1}, ["/parameters/payload"]),
        ("free", {"payload": 1}, []),
        ("free", {}, []),
        ("other", {"payload": 1}, ["/parameters/subject"]),
    ],
)
def test_the_schema_of_the_connection_judges_the_payload_at_the_save(
    subject: str, parameters: dict[str, Any], wrong: list[str], services: Services, super_admin: Actor, admin: Actor
) -> None:
    services.connections.create(super_admin, name="n", kind="nats", settings=SETTINGS)
    body = message_job(subject, **parameters)
    if not wrong:
        services.jobs.create(admin, body)
        return
    with pytest.raises(ValidationFailed) as failed:
        services.jobs.create(admin, body)
    assert pointers(failed) == wrong


def test_the_schema_of_the_connection_judges_the_resolved_payload_before_the_run(
    store: Store, settings: Settings, catalogue: Catalogue, server: str
) -> None:
    """A value that only the run knows is not what the schema asks for; and a schema that came after the save counts, too."""
    services = build_services(replace(settings, runs_per_hour=100), store, catalogue=catalogue)
    boss = SYSTEM
    row = services.connections.create(boss, name="n", kind="nats", settings={**SETTINGS, "servers": [server]})
    job, _ = services.jobs.create(boss, message_job("orders.7.cancel", payload={"orderId": "{{ job.name }}", "until": "2026-03-09"}))
    later, _ = services.jobs.create(boss, {**message_job("free", payload=1), "name": "later"})
    rules = [*SETTINGS["schemas"], {"subject": "free", "schema": {"type": "string"}}]
    services.connections.update(boss, row["_id"], name="n", settings={**SETTINGS, "servers": [server], "schemas": rules})
    node = build_node(settings, store, services, InlineExecutor(settings))
    node.start()
    try:
        with pytest.raises(ValidationFailed) as failed:
            services.runs.run_now(boss, later.id)
        assert pointers(failed) == ["/parameters/payload"]
        run = services.runs.run_now(boss, job.id)
        ended = eventually(lambda: (execution := services.history.get(boss, run.id)) and not execution.is_live and execution)
        assert ended.error is not None
        assert (ended.status, ended.error.type, len(ended.attempts)) == ("failed", "InvalidParameters", 1)
        assert "/payload/orderId" in ended.error.message
    finally:
        node.drain(5)
        services.samples.close()


@pytest.mark.parametrize(
    ("allowed", "subject", "may"),
    [("", "orders.1", True), ("orders.*", "orders.1", True), ("orders.*", "orders.1.x", False), ("a, orders.>", "orders.1.x", True)],
)
def test_allowed_commands_limits_every_connection(
    allowed: str, subject: str, may: bool, store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue
) -> None:
    setting = load_settings({"ALLOWED_COMMANDS": allowed}).allowed_commands
    services = build_services(replace(settings, allowed_commands=setting), store, clock=clock, catalogue=catalogue)
    services.connections.create(SYSTEM, name="n", kind="nats", settings={"servers": ["nats://127.0.0.1:4222"], "subjects": [">"]})
    if may:
        services.jobs.create(SYSTEM, message_job(subject))
    else:
        with pytest.raises(ValidationFailed, match="ALLOWED_COMMANDS") as failed:
            services.jobs.create(SYSTEM, message_job(subject))
        assert pointers(failed) == ["/parameters/subject"]
    services.samples.close()


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "nothing"}, "/settings/schemas/0/schema/type"),
        ({"$ref": "https://example.com/schema.json"}, "/settings/schemas/0/schema/$ref"),
        ({"properties": {"a": {"pattern": "("}}}, "/settings/schemas/0/schema/properties/a/pattern"),
        ("text", "/settings/schemas/0/schema"),
    ],
)
def test_a_schema_that_is_none_is_refused_at_its_place(schema: Any, pointer: str, services: Services, super_admin: Actor) -> None:
    settings = {**SETTINGS, "schemas": [{"subject": "orders.>", "schema": schema}]}
    with pytest.raises(ValidationFailed) as failed:
        services.connections.create(super_admin, name="n", kind="nats", settings=settings)
    assert pointers(failed) == [pointer]
