"""Jobs as answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import request, url_for

from app.api.current import services
from app.api.etag import Versioned
from app.api.present import errors_json, jsonable
from app.connections.vault import mask
from app.jobs.model import Job, JobDefinition, to_plain
from app.jobs.registered import Registered, drift
from app.triggers.words import LANGUAGES
from app.validation.words import DEFAULT_LOCALE


def job_answer(job: Job, message: str | None = None, *, warnings: bool = False) -> Versioned:
    """Returns the envelope of a job; with `warnings`, also those of its definition."""
    body: dict[str, Any] = {"job": show_job(job)}
    if message is not None:
        body["message"] = message
    if warnings:
        body["warnings"] = warnings_json(job.definition)
    return Versioned(body=body, version=job.version)


def created_job(job: Job, message: str, *, warnings: bool = False) -> Versioned:
    """Returns the answer (201) to a request that has created a job."""
    body = job_answer(job, message, warnings=warnings).body
    return Versioned(body=body, version=job.version, status=201, location=url_for("Jobs.get_job", job_id=job.id))


def show_job(job: Job) -> dict[str, Any]:
    """Returns a job as JSON at this moment, in the language that the client asks for."""
    return job_json(job, now=services().clock.now(), locale=client_locale())


def client_locale() -> str:
    """Returns the language of `Accept-Language` that Jobwright has words in, else the default."""
    return request.accept_languages.best_match(LANGUAGES) or DEFAULT_LOCALE


def warnings_json(definition: JobDefinition) -> list[dict[str, str]]:
    """Returns what can be known to fail each run of a job."""
    return errors_json(services().outlook.warnings(definition))


def job_json(job: Job, *, now: datetime, locale: str = DEFAULT_LOCALE) -> dict[str, Any]:
    """Returns a job with `_id`, all fields of its definition and its record; secrets are masked. `schedule_words` are in the language
    `locale`; `ended` says whether the schedule has no due time after `now`."""
    definition = mask(to_plain(job.definition))
    definition["schedule"] = {key: value for key, value in definition["schedule"].items() if value is not None}
    record = {
        "id": job.id,
        "_id": job.id,
        "template_version": job.template_version,
        "origin": job.origin,
        "created_by": job.created_by,
        "created_at": job.created_at,
        "updated_by": job.updated_by,
        "updated_at": job.updated_at,
        "last_run_at": job.last_run_at,
        "next_run_at": job.next_run_at,
        "last_status": job.last_status,
        "schedule_words": job.definition.schedule.trigger.words(locale),
        "schedule_error": job.schedule_error,
        "version": job.version,
        "paused": _pause_json(job),
        "shadow": {name: getattr(job.shadow, name) for name in ("reason", "by", "at", "held_by")} if job.shadow else None,
        "ended": job.has_ended(now),
        **({"registered": _registered_json(job.registered)} if job.registered else {}),
    }
    answer: dict[str, Any] = jsonable({**definition, **record})
    return answer


def _registered_json(registered: Registered) -> dict[str, Any]:
    drifted = drift(registered.declared, registered.overrides)
    return {
        "service": registered.service,
        "display_name": registered.display_name,
        "job_type": registered.job_type,
        "retired_at": registered.retired_at,
        "overrides": [to_plain(override) for override in registered.overrides],
        "drift": [to_plain(item) for item in drifted],
    }


def _pause_json(job: Job) -> dict[str, Any] | None:
    pause = job.paused
    return {"cause": pause.cause.value, "reason": pause.reason, "until": pause.until, "by": pause.by, "at": pause.at} if pause else None
