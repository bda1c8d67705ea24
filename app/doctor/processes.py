"""Other processes: nodes, and the servers that jobs and events go to."""

from __future__ import annotations

from collections.abc import Iterator

from app.connections.store import ConnectionStore
from app.doctor.machine import skew_finding
from app.errors import StartError
from app.factory import Store
from app.findings import Finding, Level
from app.integrations.nats.connection import find_server
from app.notification.monitor.model import part_words
from app.scheduling.node_store import SILENT_AFTER, NodeRole, NodeStore
from app.services import Services
from app.traces.base import require_opentelemetry
from templates_lib.messages import amount

MOST_UNPUBLISHED = 1_000  # records that owe events to the bus while it answers; a node publishes more than that in a second


def check_nodes(services: Services, store: Store) -> Iterator[Finding]:
    """Yields whether schedulers are online and look for due jobs, whether workers take all routes and hear the broker, and how clocks
    differ."""
    now, seen = services.clock.now(), NodeStore(store.database).all()
    live = [node for node in seen if node.lives(now)]
    if not any(node.role == NodeRole.SCHEDULER for node in live):
        yield Finding("Nodes", Level.WARNING, "no scheduler is online", "Start `jobwright serve` or `jobwright scheduler`.")
    for route in services.node_control.untaken_routes():
        text = f"no worker that is online takes the route {route}, so its runs wait"
        yield Finding("Nodes", Level.WARNING, text, f"Start `jobwright worker --routes {route}`.")
    for node in live:
        if node.tick_age_seconds > SILENT_AFTER.total_seconds():
            text = f"the scheduler of {node.id} has not ticked for {node.tick_age_seconds:.0f} s"
            yield Finding("Nodes", Level.PROBLEM, text, "Look for `tick.failed` in its log and restart it.")
        elif node.hears is False:
            text = f"no message from the broker reaches the worker {node.id}"
            yield Finding("Nodes", Level.PROBLEM, text, "Look for `broker.away` and `worker.deaf` in its log.")
        else:
            yield skew_finding("Nodes", node.id, node.skew_seconds)


def check_connections(services: Services, store: Store) -> Iterator[Finding]:
    """Yields the connections that did not answer the last test. The scheduler tests each every JOBWRIGHT_PROBE_SECONDS."""
    tested, count = services.connections.conditions(), len(ConnectionStore(store.database).all())
    silent = [condition for condition in tested if not condition.works]
    for condition in silent:
        text = f"{condition.name} ({condition.kind.name}) does not answer: {condition.message}"
        yield Finding("Connections", Level.WARNING, text, "Check its address and credentials on the page Connections.")
    if not silent:
        untested = f", {count - len(tested)} not tested yet" if count > len(tested) else ""
        yield Finding("Connections", Level.OK, f"{len(tested)} of {count} answer{untested}" if count else "there are none")


def check_bus(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields whether the NATS server answers, and how many events wait for it."""
    settings = services.settings
    if not settings.nats_url:
        return
    owed = services.unpublished()
    try:
        server, version = find_server(settings.nats_servers)
    except Exception as error:
        text = f"NATS_URL cannot be reached: {type(error).__name__}: {str(error)[:200]}"
        kept = f" Events of {amount(owed, 'record')} are published when it returns." if owed else ""
        advice = f"Start the NATS server with JetStream (nats-server --jetstream), or correct NATS_URL.{kept}"
        yield Finding("Bus", Level.PROBLEM, text, advice)
        return
    text = f"NATS {version} at {server} answers, with JetStream"
    if owed > MOST_UNPUBLISHED:
        yield Finding("Bus", Level.WARNING, f"{text}; events of {owed:,} records are unpublished", "Look for `bus.` events in the log.")
    else:
        yield Finding("Bus", Level.OK, text)


def check_monitor(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields whether follow-ups or notifications are stuck, whether the outside monitor takes calls, and whether somebody gets mail."""
    settings, state = services.settings, services.monitor.state()
    if state.stuck is not None:
        for part in state.stuck.parts:
            text = f"{part_words(part)} Noticed at {state.stuck.since:%Y-%m-%d %H:%M} UTC."
            yield Finding("Monitor", Level.PROBLEM, text, "Look for `tick.failed` in the logs of the schedulers and restart them.")
        if state.stuck.problem:
            text = f"no mail about it could be sent: {state.stuck.problem}"
            yield Finding("Monitor", Level.PROBLEM, text, "Check JOBWRIGHT_EMERGENCY_CONNECTION on the page Connections.")
    if state.pings.problem and state.monitored:
        text = f"the outside monitor takes no calls: {state.pings.problem}"
        yield Finding("Monitor", Level.PROBLEM, text, "Check JOBWRIGHT_MONITOR_URL. A private host must be in JOBWRIGHT_ALLOWED_HOSTS.")
    if bool(settings.emergency_to) != bool(settings.emergency_connection):
        text = "only one of JOBWRIGHT_EMERGENCY_TO and JOBWRIGHT_EMERGENCY_CONNECTION is set"
        yield Finding("Monitor", Level.WARNING, text, "Set both, or nobody gets mail if Jobwright is stuck.")
    elif state.warned and settings.emergency_connection not in services.connections.options("smtp"):
        text = f"there is no SMTP connection {settings.emergency_connection!r}"
        yield Finding("Monitor", Level.WARNING, text, "Create it, or change JOBWRIGHT_EMERGENCY_CONNECTION.")
    elif state.stuck is None and not (state.monitored and state.pings.problem):
        last = f"{state.pings.pinged_at:%Y-%m-%d %H:%M:%S} UTC" if state.pings.pinged_at is not None else "never"
        monitored = f"; the outside monitor last took a call: {last}" if state.monitored else "; no outside monitor is set"
        yield Finding("Monitor", Level.OK, f"follow-ups and notifications move{monitored}")


def check_collector(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields whether the collector takes spans, where traces are on."""
    if services.settings.traces == "off":
        return
    try:
        require_opentelemetry()
        from app.traces.otlp import look_at_collector  # noqa: PLC0415 - OpenTelemetry is imported where it is asked for

        address, problem = look_at_collector()
    except StartError as error:
        yield Finding("Traces", Level.PROBLEM, str(error))
        return
    if problem:
        text = f"the collector at {address} takes no spans: {problem}"
        yield Finding("Traces", Level.WARNING, text, "Start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT. Spans are dropped meanwhile.")
    else:
        yield Finding("Traces", Level.OK, f"the collector at {address} takes spans")
