"""What is stored: the audit trail, templates, and documents that are damaged."""

from __future__ import annotations

from collections.abc import Iterator

from app.accounts import shape as accounts
from app.approvals.store import APPROVAL
from app.audit.store import EVENT
from app.audit.store import SEEN as SETTINGS_SEEN
from app.connections.health_store import HEALTH
from app.connections.store import CONNECTION
from app.factory import Store
from app.findings import Finding, Level
from app.handover.store import HAND_OVER
from app.imports.store import IMPORT
from app.integrations.callbacks.endpoint_store import ENDPOINT
from app.integrations.inbound.address_store import ADDRESS
from app.integrations.inbound.delivery_store import DELIVERY as INBOUND_DELIVERY
from app.integrations.inbound.seen_store import SEEN as INBOUND_SEEN
from app.integrations.services.store import SERVICE
from app.jobs import shape as jobs
from app.jobtemplates.preset_store import PRESET
from app.jobtemplates.store import TEMPLATE
from app.metrics.totals_store import TOTALS
from app.mongo import Records
from app.notification.channel_store import CHANNEL, STATE
from app.notification.delivery_store import DELIVERY
from app.notification.digests.store import DIGEST
from app.notification.incidents.store import INCIDENT
from app.notification.monitor.store import MONITOR
from app.notification.quiet.batch_store import BATCH
from app.notification.quiet.entry_record import ENTRY
from app.notification.quiet.mute_store import MUTE
from app.notification.rules.store import RULE
from app.notification.turn_store import TURN
from app.outbox.events import EVENT as DOMAIN_EVENT
from app.queue import shape as executions
from app.samples.store import SAMPLE
from app.scheduling.calendar_store import CALENDAR
from app.scheduling.gathering_store import GATHERING
from app.scheduling.maintenance_store import SWITCH
from app.scheduling.node_store import NODE
from app.services import Services
from app.shapes import DAMAGED
from templates_lib.messages import amount

MOST_RECORDS = 10_000  # checked records of each collection
MOST_NAMED = 20  # damaged records that are named
SHAPES = {
    "dynamic_jobs": jobs.JOB,
    "job_revisions": jobs.REVISION,
    "job_notes": jobs.NOTE,
    "shadow_runs": jobs.SHADOW_RUN,
    "hand_overs": HAND_OVER,
    "job_drafts": jobs.DRAFT,
    "template_moves": jobs.MOVE,
    "job_executions": executions.EXECUTION,
    "execution_logs": executions.CHUNK,
    "execution_days": executions.DAY,
    "acknowledgements": executions.ACKNOWLEDGEMENT,
    "users": accounts.USER,
    "api_tokens": accounts.TOKEN,
    "sessions": accounts.SESSION,
    "preferences": accounts.PREFERENCE,
    "connections": CONNECTION,
    "connection_health": HEALTH,
    "calendars": CALENDAR,
    "job_templates": TEMPLATE,
    "template_presets": PRESET,
    "approvals": APPROVAL,
    "audit_log": EVENT,
    "nodes": NODE,
    "switches": SWITCH,
    "monitor": MONITOR,
    "digests": DIGEST,
    "gatherings": GATHERING,
    "services": SERVICE,
    "inbound_addresses": ADDRESS,
    "inbound_deliveries": INBOUND_DELIVERY,
    "channels": CHANNEL,
    "deliveries": DELIVERY,
    "imports": IMPORT,
    "job_starts": executions.STARTS,
    "run_limits": executions.LIMIT,
    "endpoints": ENDPOINT,
    "inbound_seen": INBOUND_SEEN,
    "channel_states": STATE,
    "alert_rules": RULE,
    "incidents": INCIDENT,
    "announcements": ENTRY,
    "announcement_batches": BATCH,
    "mutes": MUTE,
    "notification_turns": TURN,
    "samples": SAMPLE,
    "metric_totals": TOTALS,
    "settings_seen": SETTINGS_SEEN,
    "domain_events": DOMAIN_EVENT,
}


def check_audit(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields where the chain of the audit trail is broken."""
    report = services.audit.verify()
    if report.breaks:
        yield Finding(
            "Audit trail",
            Level.PROBLEM,
            "; ".join(f"event {place.seq}: {place.reason}" for place in report.breaks),
            "Someone changed the trail in the database. Keep a copy, and compare it with the log (audit.written) and with backups.",
        )
        return
    unsealed = f", {report.unsealed} older than the chain" if report.unsealed else ""
    yield Finding(
        "Audit trail", Level.OK, f"{report.events} events are intact{unsealed}; the last is {report.head.seq}, {report.head.seal[:16]}…"
    )


def check_templates(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields the templates that cannot be loaded."""
    catalogue = services.catalogue
    for name, reason in catalogue.broken.items():
        yield Finding("Templates", Level.PROBLEM, f"{name} cannot be loaded: {reason}", "Its jobs do not run. Reinstall it.")
    if not catalogue.broken:
        yield Finding("Templates", Level.OK, f"{amount(len(catalogue.types()), 'template')} loaded")


def check_records(_services: Services, store: Store) -> Iterator[Finding]:
    """Yields the documents that do not have the shape of their collection, of the newest of each collection."""
    damaged = 0
    for name, shape in SHAPES.items():
        for row in Records(store.database, name, shape).find().sort("$natural", -1).limit(MOST_RECORDS):
            if DAMAGED in row:
                damaged += 1
                if damaged <= MOST_NAMED:
                    name_of_row = row.get("name") or row.get("email") or row.get("job_name") or ""
                    text = f"{row['_id']} in {name}{f' ({name_of_row})' if name_of_row else ''} is damaged: {row[DAMAGED]}"
                    yield Finding("Records", Level.PROBLEM, text, "Jobwright does not use it. Repair it in the database, or delete it.")
    if damaged > MOST_NAMED:
        yield Finding("Records", Level.PROBLEM, amount(damaged - MOST_NAMED, "more damaged record"), "The log names each (record.damaged).")
    if not damaged:
        yield Finding("Records", Level.OK, "all records are readable")
