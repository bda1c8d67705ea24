"""The services that the faces (REST, web, CLI) call; app.factory fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.accounts.auditors import Auditors
from app.accounts.preferences import Preferences
from app.accounts.rates import Rates
from app.accounts.service import Accounts
from app.accounts.signin import SignIn
from app.accounts.single_signon import SingleSignOn
from app.accounts.tokens import Tokens
from app.approvals.service import Approvals
from app.audit.service import AuditTrail
from app.audit.settings import SettingsTrail
from app.broker.inspection import BrokerLook
from app.bulk.service import Bulk
from app.clock import Clock
from app.config import Settings
from app.connections.resealing import Resealing
from app.connections.service import Connections
from app.exchange.service import Exchange
from app.execution.attention import Attention
from app.execution.backfill_runs import BackfillRuns
from app.execution.given_up import GivenUp
from app.execution.history import History
from app.execution.logs import Logs
from app.execution.overview import Overview
from app.execution.previews import Previews
from app.execution.runs import Runs
from app.execution.unplaced import Unplaced
from app.handover.service import HandOvers
from app.imports.service import Imports
from app.integrations.callbacks.reports import Callbacks
from app.integrations.inbound.addresses import Addresses
from app.integrations.inbound.reception import Reception
from app.integrations.job_types.service import JobTypes
from app.integrations.nats.command_connection import CommandConnection
from app.integrations.services.registration import ServiceRegistration
from app.integrations.services.service import RegisteredServices
from app.jobs.deleted import DeletedJobs
from app.jobs.dependencies import Dependencies
from app.jobs.directory import JobDirectory
from app.jobs.drafts import Drafts
from app.jobs.moves import Moves
from app.jobs.notes import Notes
from app.jobs.outlook import Outlook
from app.jobs.parameters import JobParameters
from app.jobs.pausing import Pausing
from app.jobs.registration import Registrations
from app.jobs.service import JobRegistry
from app.jobs.shadowing import Shadowing
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.presets import Presets
from app.jobtemplates.service import Templates
from app.jobtemplates.sharing import Sharing
from app.keys import KeyRing
from app.metrics.service import Metrics
from app.node.state import NodeState
from app.notification.deliveries import Deliveries
from app.notification.digests.sending import DigestWriter
from app.notification.digests.service import Digests
from app.notification.incidents.explaining import Explanations
from app.notification.incidents.previewing import TextPreviews
from app.notification.incidents.service import Incidents
from app.notification.monitor.watch import Monitor
from app.notification.posting import Posting
from app.notification.quiet.held import Announced
from app.notification.quiet.mutes import Mutes
from app.notification.rules.service import AlertRules
from app.notification.service import Channels
from app.outbox.event_store import Events
from app.samples.service import Samples
from app.scheduling.backfill import Backfills
from app.scheduling.bus_state import BusState
from app.scheduling.calendar_service import Calendars
from app.scheduling.forecast import Forecast
from app.scheduling.maintenance import Maintenance
from app.scheduling.node_control import NodeControl
from app.scheduling.node_record import NodeSeen
from app.scheduling.resting import RestingTemplates
from app.scheduling.triggers import Triggers
from app.signals import Leaving, Signal
from app.traces.base import Traces

SESSION_SECRET = "s"  # where the cookie of a session has its secret  # noqa: S105
# Names in Flask's `app.extensions`: the services, and the function that answers errors of pages.
EXTENSION = "jobwright"
PAGE_ERRORS = "jobwright.page_errors"


@dataclass(frozen=True, kw_only=True)
class Services:
    """One object a process.

    `gathered` says of a job which of those that it depends on have ended so far, with the executions. `ping` raises where the database does
    not answer; `migrated` says whether it has all migrations that this program knows. `role` is that of the process, `leaving` says that it
    stops, and `node` how its node is: None without one. `engine_age` is None without an engine, and `bus` without one in this process.
    `broker` begins to look at the message broker; None where the process uses none. `unpublished` says how many records have events that
    the bus does not have yet.
    """

    settings: Settings
    clock: Clock
    accounts: Accounts
    signin: SignIn
    single_signon: SingleSignOn
    rates: Rates
    tokens: Tokens
    preferences: Preferences
    audit: AuditTrail
    auditors: Auditors
    settings_trail: SettingsTrail
    connections: Connections
    resealing: Resealing
    catalogue: Catalogue
    templates: Templates
    resting: RestingTemplates
    moves: Moves
    sharing: Sharing
    presets: Presets
    jobs: JobRegistry
    directory: JobDirectory
    deleted_jobs: DeletedJobs
    pausing: Pausing
    shadowing: Shadowing
    dependencies: Dependencies
    parameters: JobParameters
    outlook: Outlook
    drafts: Drafts
    notes: Notes
    approvals: Approvals
    inbound: Addresses
    reception: Reception
    exchange: Exchange
    bulk: Bulk
    imports: Imports
    hand_overs: HandOvers
    callbacks: Callbacks
    runs: Runs
    previews: Previews
    backfill_runs: BackfillRuns
    history: History
    logs: Logs
    given_up: GivenUp
    queued: Signal
    owed: Signal
    told: Signal
    channels: Channels
    deliveries: Deliveries
    alert_rules: AlertRules
    incidents: Incidents
    explanations: Explanations
    posting: Posting
    monitor: Monitor
    digests: Digests
    digest_writer: DigestWriter
    mutes: Mutes
    announced: Announced
    text_previews: TextPreviews
    events: Events
    overview: Overview
    attention: Attention
    unplaced: Unplaced
    nodes: Callable[[], list[NodeSeen]]
    node_control: NodeControl
    triggers: Triggers
    forecast: Forecast
    gathered: Callable[[str], dict[str, str]]
    calendars: Calendars
    maintenance: Maintenance
    backfills: Backfills
    samples: Samples
    metrics: Metrics
    registered: RegisteredServices
    registration: ServiceRegistration
    registrations: Registrations
    job_types: JobTypes
    command_connection: CommandConnection
    keys: KeyRing
    ping: Callable[[], None]
    migrated: Callable[[], bool]
    role: str = "web"
    traces: Traces = field(default_factory=Traces)
    leaving: Leaving = field(default_factory=Leaving)
    node: Callable[[], NodeState | None] = lambda: None
    engine_age: Callable[[], float | None] = lambda: None
    bus: Callable[[], BusState | None] = lambda: None
    broker: Callable[[], BrokerLook | None] = lambda: None
    unpublished: Callable[[], int] = lambda: 0
