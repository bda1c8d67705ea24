"""The stage of inbound webhooks: addresses of jobs, and the reception of requests to them."""

from __future__ import annotations

from dataclasses import dataclass

from app.approvals.service import Approvals
from app.connections.vault import Vault
from app.execution.runs import JobServices, Runs
from app.factory.ground import Ground
from app.factory.people import People
from app.factory.templates import Materials
from app.integrations.inbound.addresses import Addresses
from app.integrations.inbound.reception import JobSide, Reception
from app.integrations.inbound.repeats import Repeats
from app.integrations.inbound.signing_keys import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Inbound webhooks, by who uses them: people who manage addresses, and programs that send to them."""

    addresses: Addresses
    reception: Reception


def build_inbound(ground: Ground, people: People, materials: Materials, *, jobs: JobServices, runs: Runs, approvals: Approvals) -> Inbound:
    """Builds the stage."""
    stores, clock, keys = ground.stores, ground.clock, SigningKeys(Vault(ground.keys))
    side = JobSide(
        registry=jobs.registry,
        parameters=jobs.parameters,
        triggers=materials.triggers,
        rests=materials.resting.rests,
        runs=runs,
        approvals=approvals,
    )
    return Inbound(
        addresses=Addresses(
            addresses=stores.inbound_addresses,
            deliveries=stores.inbound_deliveries,
            registry=jobs.registry,
            parameters=jobs.parameters,
            keys=keys,
            audit=ground.audit,
            clock=clock,
        ),
        reception=Reception(
            addresses=stores.inbound_addresses,
            deliveries=stores.inbound_deliveries,
            repeats=Repeats(stores.inbound_seen),
            users=stores.users,
            keys=keys,
            rates=people.rates,
            jobs=side,
            clock=clock,
        ),
    )
