"""The stage of what jobs are made of: connections, templates, calendars and triggers."""

from __future__ import annotations

from dataclasses import dataclass

from app.accounts import shape as account_shape
from app.accounts.second_factor import SecondFactorSeal
from app.approvals import store as approval_store
from app.connections import store as connection_store
from app.connections.resealing import Resealing
from app.connections.service import Connections
from app.connections.vault import Vault
from app.factory.ground import Ground
from app.integrations.inbound import address_store
from app.jobs import shape as job_shape
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.parameters import ParameterPipeline
from app.jobtemplates.presets import Presets
from app.jobtemplates.service import Templates
from app.jobtemplates.sharing import Sharing
from app.keys import KeyRing
from app.notification import channel_store
from app.queue import shape as execution_shape
from app.scheduling.calendar_service import Calendars
from app.scheduling.node_control import NodeControl
from app.scheduling.resting import RestingTemplates
from app.scheduling.triggers import Triggers
from app.sealing import Seal, SealedFields
from templates_lib.own import Own


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What a job is made of, and the nodes that take its runs."""

    connections: Connections
    resealing: Resealing
    catalogue: Catalogue
    pipeline: ParameterPipeline
    templates: Templates
    resting: RestingTemplates
    presets: Presets
    sharing: Sharing
    calendars: Calendars
    triggers: Triggers
    node_control: NodeControl


def build_materials(ground: Ground, catalogue: Catalogue | None) -> Materials:
    """Build the stage, with the templates of this machine where no catalogue is given."""
    settings, stores, audit, clock, database = ground.settings, ground.stores, ground.audit, ground.clock, ground.store.database
    catalogue = (catalogue or Catalogue.discover()).over(stores.templates.all, clock.monotonic, is_empty=settings.is_empty)
    vault, own = Vault(ground.keys), Own(database.name, str(settings.data_path))
    connections = Connections(stores.connections, stores.health, vault, audit, clock, own=own, allowed_commands=settings.allowed_commands)
    resting = RestingTemplates(catalogue, stores.dispatch, clock)
    ground.template_on.connect(resting.settle)
    templates = Templates(
        store=stores.templates,
        catalogue=catalogue,
        in_use=stores.usage.count_of,
        audit=audit,
        clock=clock,
        switched_on=ground.template_on,
    )
    calendars = Calendars(stores.calendars, stores.usage, stores.dispatch, audit, clock)
    return Materials(
        connections=connections,
        resealing=Resealing(database, audit, _sealed_fields(ground.keys, vault)),
        catalogue=catalogue,
        pipeline=ParameterPipeline(connections, vault),
        templates=templates,
        resting=resting,
        presets=Presets(stores.presets, catalogue, audit, clock),
        sharing=Sharing(templates, catalogue, ground.keys, settings.trusted_template_keys),
        calendars=calendars,
        node_control=NodeControl(stores.nodes, audit, clock, dict(settings.celery_routes) if settings.by_celery else None),
        triggers=Triggers(max_lookahead_days=settings.max_lookahead_days, calendars=calendars),
    )


def _sealed_fields(keys: KeyRing, vault: Vault) -> list[tuple[SealedFields, Seal]]:
    """Every field of the database that may hold sealed values, with its seal."""
    secrets = (
        *connection_store.SEALED_FIELDS,
        *job_shape.SEALED_FIELDS,
        *execution_shape.SEALED_FIELDS,
        *approval_store.SEALED_FIELDS,
        *address_store.SEALED_FIELDS,
        *channel_store.SEALED_FIELDS,
    )
    return [*((fields, vault) for fields in secrets), *((fields, SecondFactorSeal(keys)) for fields in account_shape.SEALED_FIELDS)]
