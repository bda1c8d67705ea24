"""All stores of the registry, each made once over one database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pymongo.database import Database

from app.accounts.preference_store import PreferenceStore
from app.accounts.store import SessionStore, TokenStore, UserStore
from app.approvals.store import ApprovalStore
from app.audit.store import AuditStore, SettingsStore
from app.connections.health_store import HealthStore
from app.connections.store import ConnectionStore
from app.execution.acknowledgement_store import AcknowledgementStore
from app.execution.day_store import DayStore
from app.execution.end_store import EndStore
from app.execution.history_store import HistoryStore
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore
from app.execution.measured_store import MeasuredStore
from app.execution.review_store import ReviewStore
from app.execution.statistics_store import StatisticsStore
from app.handover.store import HandOverStore
from app.imports.store import ImportStore
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.integrations.inbound.address_store import AddressStore
from app.integrations.inbound.delivery_store import DeliveryStore
from app.integrations.inbound.seen_store import SeenStore
from app.integrations.nats.publishing import PublishEvent, PublishExecution
from app.integrations.services.store import ServiceStore
from app.jobs.dependency_store import DependencyStore
from app.jobs.dispatch_store import DispatchStore
from app.jobs.draft_store import DraftStore
from app.jobs.list_store import ListStore
from app.jobs.move_store import MoveStore
from app.jobs.note_store import NoteStore
from app.jobs.registry_store import RegistryStore
from app.jobs.shadow_store import ShadowStore
from app.jobs.usage_store import UsageStore
from app.jobtemplates.preset_store import PresetStore
from app.jobtemplates.store import TemplateStore
from app.metrics.totals_store import TotalsStore
from app.mongo import Document
from app.notification.channel_store import ChannelStateStore, ChannelStore
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.digests.store import DigestStore
from app.notification.incidents.store import IncidentStore
from app.notification.monitor.store import MonitorStore
from app.notification.quiet.batch_store import BatchStore
from app.notification.quiet.entry_store import EntryStore
from app.notification.quiet.mute_store import MuteStore
from app.notification.rules.store import AlertRuleStore
from app.notification.turn_store import Turns
from app.outbox.event_store import event_outbox
from app.outbox.events import StoredEvent
from app.outbox.store import OutboxStore
from app.queue.claim_store import ClaimStore
from app.queue.deferral_store import DeferralStore
from app.queue.execution import Execution
from app.queue.owing import Owing
from app.queue.release_store import ReleaseStore
from app.queue.start_limits import StartLimits
from app.queue.start_store import StartStore
from app.queue.store import QueueStore, execution_outbox
from app.samples.store import SampleStore
from app.scheduling.calendar_store import CalendarStore
from app.scheduling.gathering_store import GatheringStore
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores by what they keep. They hold no memory of a caller, so whoever needs some may share them."""

    users: UserStore
    sessions: SessionStore
    tokens: TokenStore
    preferences: PreferenceStore
    audit: AuditStore
    settings: SettingsStore
    connections: ConnectionStore
    health: HealthStore
    templates: TemplateStore
    presets: PresetStore
    jobs: RegistryStore
    dispatch: DispatchStore
    lists: ListStore
    usage: UsageStore
    dependencies: DependencyStore
    drafts: DraftStore
    moves: MoveStore
    notes: NoteStore
    shadows: ShadowStore
    queue: QueueStore
    claims: ClaimStore
    deferrals: DeferralStore
    starts: StartStore
    releases: ReleaseStore
    endpoints: EndpointStore
    history: HistoryStore
    statistics: StatisticsStore
    measured: MeasuredStore
    review: ReviewStore
    acknowledgements: AcknowledgementStore
    logs: LogStore
    days: DayStore
    run_limits: RunLimits
    owed_by_executions: OutboxStore[Execution]
    owed_by_events: OutboxStore[StoredEvent]
    calendars: CalendarStore
    gatherings: GatheringStore
    maintenance: MaintenanceStore
    nodes: NodeStore
    approvals: ApprovalStore
    samples: SampleStore
    imports: ImportStore
    hand_overs: HandOverStore
    services: ServiceStore
    inbound_addresses: AddressStore
    inbound_deliveries: DeliveryStore
    inbound_seen: SeenStore
    totals: TotalsStore
    channels: ChannelStore
    channel_states: ChannelStateStore
    notification_deliveries: NotificationDeliveryStore
    monitor: MonitorStore
    alert_rules: AlertRuleStore
    incidents: IncidentStore
    ends: EndStore
    digests: DigestStore
    announcements: EntryStore
    announcement_batches: BatchStore
    mutes: MuteStore
    turns: Turns

    @property
    def start_limits(self) -> StartLimits:
        """The limits of runs that jobs set themselves."""
        return StartLimits(self.starts, self.queue)

    def unpublished(self) -> int:
        """How many executions and jobs have events that the bus does not have yet."""
        return self.owed_by_executions.count(PublishExecution.name) + self.owed_by_events.count(PublishEvent.name)

    @classmethod
    def over(cls, database: Database[Document], owing: Owing) -> Self:
        """The stores of a database. `owing` says which ends of executions owe something."""
        templates = TemplateStore(database)
        return cls(
            users=UserStore(database),
            sessions=SessionStore(database),
            tokens=TokenStore(database),
            preferences=PreferenceStore(database),
            audit=AuditStore(database),
            settings=SettingsStore(database),
            connections=ConnectionStore(database),
            health=HealthStore(database),
            templates=templates,
            presets=PresetStore(database),
            jobs=RegistryStore(database),
            dispatch=DispatchStore(database),
            lists=ListStore(database),
            usage=UsageStore(database),
            dependencies=DependencyStore(database),
            drafts=DraftStore(database),
            moves=MoveStore(database),
            notes=NoteStore(database),
            shadows=ShadowStore(database),
            queue=QueueStore(database, owing, templates.needs_of),
            claims=ClaimStore(database, owing),
            deferrals=DeferralStore(database),
            starts=StartStore(database),
            releases=ReleaseStore(database),
            endpoints=EndpointStore(database),
            history=HistoryStore(database),
            statistics=StatisticsStore(database),
            measured=MeasuredStore(database),
            review=ReviewStore(database),
            acknowledgements=AcknowledgementStore(database),
            logs=LogStore(database),
            days=DayStore(database),
            run_limits=RunLimits(database),
            owed_by_executions=execution_outbox(database),
            owed_by_events=event_outbox(database),
            calendars=CalendarStore(database),
            gatherings=GatheringStore(database),
            maintenance=MaintenanceStore(database),
            nodes=NodeStore(database),
            approvals=ApprovalStore(database),
            samples=SampleStore(database),
            imports=ImportStore(database),
            hand_overs=HandOverStore(database),
            services=ServiceStore(database),
            inbound_addresses=AddressStore(database),
            inbound_deliveries=DeliveryStore(database),
            inbound_seen=SeenStore(database),
            totals=TotalsStore(database),
            channels=ChannelStore(database),
            channel_states=ChannelStateStore(database),
            notification_deliveries=NotificationDeliveryStore(database),
            monitor=MonitorStore(database),
            alert_rules=AlertRuleStore(database),
            incidents=IncidentStore(database),
            ends=EndStore(database),
            digests=DigestStore(database),
            announcements=EntryStore(database),
            announcement_batches=BatchStore(database),
            mutes=MuteStore(database),
            turns=Turns(database),
        )
