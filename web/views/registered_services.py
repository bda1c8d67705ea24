"""/services: the services that register jobs, with their instances, jobs, keys and owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks
from app.connections.services import NewKey
from app.errors import ValidationFailed
from app.integrations.callbacks.endpoint import MOST_CALLS, Endpoint, LastCall
from app.integrations.services.model import Instance, Service, distinct_versions
from app.integrations.services.service import Overview
from app.jobs.model import Job
from app.jobs.registered import Drift, drift
from app.paging import Page
from templates_lib.messages import say, say_many
from web.current import actor, services
from web.views.common import page_number, tell

blueprint = Blueprint("service_pages", __name__, url_prefix="/services")

PAGE_SIZE = 50  # services of the list, and jobs on the page of a service


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service as the list shows it. `state` is `online`, `offline`, `stale`, or `quiet` for one that sends no heartbeats. `failing` and
    `drifted` are its jobs that need attention."""

    overview: Overview
    state: str
    online: list[Instance]
    versions: list[str]
    failing: list[Job]
    drifted: list[Job]
    last_run_at: datetime | None

    @property
    def service(self) -> Service:
        return self.overview.service


@blueprint.get("")
def list_services() -> str:
    """Shows all services, by name."""
    page = services().registered.page(actor(), page=page_number(), limit=PAGE_SIZE)
    return render_template("services.html", page=page, rows=[_row(overview) for overview in page.items])


@blueprint.get("/<name>")
def show(name: str) -> str:
    """Shows one service: its instances, its jobs and what admins changed of them, its connection."""
    return _page(name)


@blueprint.post("/<name>/rotate")
def rotate(name: str) -> str:
    """Makes a signing key and shows it once."""
    return _page(name, key=services().registered.rotate_key(actor(), name))


@blueprint.post("/<name>/retire-key")
def retire_key(name: str) -> Any:
    """Makes the newest signing key the only one."""
    services().registered.retire_old_key(actor(), name)
    tell(say("The previous signing key is no longer valid"))
    return redirect(url_for(".show", name=name))


@blueprint.post("/<name>/hand-over")
def hand_over(name: str) -> Any:
    """Gives the service to another account; shows the page again with what was typed if there is no such account."""
    owner = request.form.get("owner", "").strip()
    try:
        services().registered.hand_over(actor(), name, owner)
    except ValidationFailed as failed:
        return _page(name, owner=owner, owner_error=failed.errors[0].message), failed.status
    tell(say("The service {name} belongs to {owner} now", name=name, owner=owner))
    return redirect(url_for(".show", name=name))


@blueprint.post("/<name>/delete")
def delete(name: str) -> Any:
    """Removes the service and retires its jobs."""
    retired = services().registered.remove(actor(), name)
    tell(say_many("Service removed and {count} job retired", "Service removed and {count} jobs retired", len(retired)))
    return redirect(url_for(".list_services"))


def _page(name: str, *, key: NewKey | None = None, owner: str = "", owner_error: str = "") -> str:
    """`key` is a signing key that was just made; `owner` is the text of an owner that could not be taken, and `owner_error` says why."""
    overview = services().registered.get(actor(), name)
    jobs = Page.cut(overview.jobs, page=page_number(), limit=PAGE_SIZE)
    return render_template(
        "service.html",
        row=_row(overview),
        overview=overview,
        jobs=jobs,
        drifts={job.id: _drifts(job) for job in jobs.items},
        handlers=_without_instance(overview),
        calls=_last_calls(overview),
        condition=next((item for item in services().connections.conditions() if item.name == name), None),
        manages=lacks(actor(), May.MANAGE_SERVICES) is None,
        key=key,
        owner=owner,
        owner_error=owner_error,
    )


def _row(overview: Overview) -> ServiceRow:
    now, service = services().clock.now(), overview.service
    online = service.online(now)
    if service.is_stale(now):
        state = "stale"
    elif not service.instances:
        state = "quiet"
    else:
        state = "online" if online else "offline"
    return ServiceRow(
        overview=overview,
        state=state,
        online=online,
        versions=distinct_versions(online),
        failing=[job for job in overview.jobs if job.last_status in {"failed", "timeout"}],
        drifted=overview.drifted,
        last_run_at=max((job.last_run_at for job in overview.jobs if job.last_run_at), default=None),
    )


def _last_calls(overview: Overview) -> list[tuple[Endpoint, LastCall]]:
    """Returns the newest calls to all endpoints, each with its endpoint, the newest first."""
    calls = [(endpoint, call) for endpoint in overview.endpoints for call in endpoint.last_calls]
    return sorted(calls, key=lambda item: item[1].at, reverse=True)[:MOST_CALLS]


def _drifts(job: Job) -> list[Drift]:
    registered = job.registered
    return drift(registered.declared, registered.overrides) if registered else []


def _without_instance(overview: Overview) -> list[Job]:
    """Returns the jobs whose runs wait because the instances that are online do not take them. A service none of whose instances is online
    is called at its base address."""
    service, now = overview.service, services().clock.now()
    if not service.online(now):
        return []
    return [job for job in overview.jobs if job.definition.enabled and not service.able(job.definition.name, now)]
