"""Every endpoint, every role, every scope: nobody reaches what the table of permissions denies, and nobody is kept from what it allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.accounts.model import Role, Scope
from app.accounts.permissions import May, lacks
from app.accounts.signin import Visitor
from app.audit.model import SYSTEM, Actor
from app.errors import ApprovalNeeded
from app.jobtemplates.catalogue import Catalogue
from app.notification.delivery import DeliveryFilter
from app.services import Services
from tests.conftest import app_of

OPEN = None  # anybody may
A = "/api/admin"
PAGE = "/templates/<kind>"
# The routes of other scheduler services.
NAMED, SCHEDULES, SCHEDULE = "/api/jobs/<job_name>", "/api/v1/schedules", "/api/v1/schedules/<schedule_id>"
TEMPLATE = f"{A}/job-templates/<template_type>"
CHANNEL = f"{A}/channels/<channel_id>"
DIGEST = f"{A}/digests/<digest_id>"
TEAM = {"to": ["ops@example.com"], "every": "daily", "at": "07:00", "timezone": "UTC"}
ALERT_RULE, INCIDENT = f"{A}/alert-rules/<rule_id>", f"{A}/incidents/<incident_id>"
JOB, RUN, CONNECTION, USER, TOKEN, ASK = (
    f"{A}/scheduler-jobs/<job_id>",
    f"{A}/job-executions/<execution_id>",
    f"{A}/connections/<connection_id>",
    f"{A}/users/<user_id>",
    f"{A}/tokens/<token_id>",
    f"{A}/approvals/<approval_id>",
)

SERVICE = "/api/services/<name>"

REST: dict[tuple[str, str], May | None] = {
    ("GET", "/api/openapi.json"): OPEN,
    ("GET", f"{RUN}/events"): May.SEE_EXECUTIONS,
    ("GET", "/api/problems"): OPEN,
    ("GET", "/api/problems/<problem>"): OPEN,
    ("GET", f"{A}/scheduler-jobs"): May.SEE_JOBS,
    ("POST", f"{A}/scheduler-jobs"): May.CHANGE_JOBS,
    ("GET", f"{A}/migrated-jobs"): May.MIGRATE_JOBS,
    ("POST", f"{A}/migrated-jobs/<name>"): May.MIGRATE_JOBS,
    ("GET", f"{A}/migrated-jobs/<name>/comparison"): May.MIGRATE_JOBS,
    ("POST", f"{A}/migrated-jobs/<name>/cut-over"): May.MIGRATE_JOBS,
    ("POST", f"{A}/migrated-jobs/<name>/roll-back"): May.MIGRATE_JOBS,
    ("POST", f"{A}/scheduler-jobs/validate"): May.CHANGE_JOBS,
    ("GET", f"{A}/scheduler-jobs/export"): May.SEE_JOBS,
    ("GET", f"{JOB}/revisions"): May.SEE_JOBS,
    ("GET", f"{JOB}/stats"): May.SEE_JOBS,
    ("POST", f"{JOB}/undelete"): May.CHANGE_JOBS,
    ("GET", f"{JOB}/dependencies"): May.SEE_JOBS,
    ("GET", f"{JOB}/notes"): May.SEE_JOBS,
    ("GET", JOB): May.SEE_JOBS,
    ("PUT", JOB): May.CHANGE_JOBS,
    ("DELETE", JOB): May.CHANGE_JOBS,
    ("POST", f"{JOB}/enable"): May.CHANGE_JOBS,
    ("POST", f"{JOB}/disable"): May.CHANGE_JOBS,
    ("POST", f"{JOB}/pause"): May.CHANGE_JOBS,
    ("GET", f"{JOB}/inbound"): May.SEE_JOBS,
    ("GET", f"{JOB}/inbound/deliveries"): May.SEE_JOBS,
    ("GET", f"{JOB}/inbound/<address_id>"): May.SEE_JOBS,
    ("POST", f"{JOB}/resume"): May.CHANGE_JOBS,
    ("POST", f"{JOB}/shadow"): May.CHANGE_JOBS,
    ("DELETE", f"{JOB}/shadow"): May.CHANGE_JOBS,
    ("GET", f"{JOB}/shadow-runs"): May.SEE_JOBS,
    ("POST", f"{JOB}/run"): May.RUN_JOBS,
    ("POST", f"{JOB}/backfill"): May.RUN_JOBS,
    ("DELETE", f"{JOB}/backfill"): May.CANCEL,
    ("GET", f"{JOB}/executions"): May.SEE_EXECUTIONS,
    ("GET", f"{A}/job-executions"): May.SEE_EXECUTIONS,
    ("GET", RUN): May.SEE_EXECUTIONS,
    ("GET", f"{RUN}/logs"): May.SEE_EXECUTIONS,
    ("POST", f"{RUN}/cancel"): May.CANCEL,
    ("POST", f"{RUN}/retry"): May.RUN_JOBS,
    ("PUT", f"{RUN}/acknowledgement"): May.ACKNOWLEDGE,
    ("DELETE", f"{RUN}/acknowledgement"): May.ACKNOWLEDGE,
    ("GET", f"{A}/outbox"): May.SEE_EXECUTIONS,
    ("POST", f"{A}/outbox/executions/<execution_id>/<what>/again"): May.RUN_JOBS,
    ("POST", f"{A}/outbox/events/<event_id>/<what>/again"): May.SWITCH_MAINTENANCE,
    ("GET", f"{A}/job-templates"): May.SEE_TEMPLATES,
    ("GET", f"{A}/job-templates/<template_type>"): May.SEE_TEMPLATES,
    ("GET", f"{A}/job-templates/<template_type>/schema"): May.SEE_TEMPLATES,
    ("GET", f"{TEMPLATE}/definition-schema"): May.SEE_TEMPLATES,
    ("GET", f"{TEMPLATE}/record"): May.SEE_TEMPLATES,
    ("POST", f"{A}/job-templates"): May.MANAGE_TEMPLATES,
    ("PUT", f"{TEMPLATE}/standing"): May.MANAGE_TEMPLATES,
    ("PUT", f"{TEMPLATE}/draft"): May.MANAGE_TEMPLATES,
    ("DELETE", f"{TEMPLATE}/draft"): May.MANAGE_TEMPLATES,
    ("POST", f"{TEMPLATE}/publish"): May.MANAGE_TEMPLATES,
    ("PUT", f"{TEMPLATE}/versions/<int:number>"): May.MANAGE_TEMPLATES,
    ("GET", f"{TEMPLATE}/impact"): May.MANAGE_TEMPLATES,
    ("POST", f"{TEMPLATE}/moves"): May.MANAGE_TEMPLATES,
    ("GET", f"{TEMPLATE}/moves"): May.SEE_TEMPLATES,
    ("POST", f"{TEMPLATE}/moves/<move_id>/roll-back"): May.MANAGE_TEMPLATES,
    ("GET", f"{TEMPLATE}/presets"): May.SEE_TEMPLATES,
    ("PUT", f"{TEMPLATE}/presets/<name>"): May.CHANGE_JOBS,
    ("GET", f"{A}/calendars"): May.SEE_CALENDARS,
    ("GET", f"{A}/calendars/<name>"): May.SEE_CALENDARS,
    ("POST", f"{A}/calendars"): May.CHANGE_CALENDARS,
    ("PUT", f"{A}/calendars/<name>"): May.CHANGE_CALENDARS,
    ("DELETE", f"{A}/calendars/<name>"): May.CHANGE_CALENDARS,
    ("GET", f"{A}/maintenance"): May.SEE_MAINTENANCE,
    ("GET", f"{A}/nodes"): May.SEE_NODES,
    ("GET", f"{A}/nodes/<node_id>"): May.SEE_NODES,
    ("POST", f"{A}/nodes/<node_id>/drain"): May.MANAGE_NODES,
    ("POST", f"{A}/nodes/<node_id>/resume"): May.MANAGE_NODES,
    ("PUT", f"{A}/maintenance"): May.SWITCH_MAINTENANCE,
    ("DELETE", f"{A}/maintenance"): May.SWITCH_MAINTENANCE,
    ("GET", f"{A}/connections"): May.NAME_CONNECTIONS,
    ("POST", f"{A}/connections"): May.MANAGE_CONNECTIONS,
    ("GET", CONNECTION): May.MANAGE_CONNECTIONS,
    ("PUT", CONNECTION): May.MANAGE_CONNECTIONS,
    ("DELETE", CONNECTION): May.MANAGE_CONNECTIONS,
    ("POST", f"{CONNECTION}/test"): May.MANAGE_CONNECTIONS,
    ("GET", f"{A}/channels"): May.SEE_CHANNELS,
    ("GET", f"{A}/channels/types"): May.SEE_CHANNELS,
    ("POST", f"{A}/channels"): May.MANAGE_CHANNELS,
    ("GET", CHANNEL): May.MANAGE_CHANNELS,
    ("PUT", CHANNEL): May.MANAGE_CHANNELS,
    ("DELETE", CHANNEL): May.MANAGE_CHANNELS,
    ("POST", f"{CHANNEL}/test"): May.MANAGE_CHANNELS,
    ("GET", f"{A}/digests"): May.SEE_DIGESTS,
    ("POST", f"{A}/digests"): May.MANAGE_DIGESTS,
    ("GET", DIGEST): May.SEE_DIGESTS,
    ("PUT", DIGEST): May.MANAGE_DIGESTS,
    ("DELETE", DIGEST): May.MANAGE_DIGESTS,
    ("GET", f"{DIGEST}/preview"): May.SEE_DIGESTS,
    ("GET", f"{A}/mutes"): May.SEE_MUTES,
    ("POST", f"{A}/mutes"): May.MUTE,
    ("POST", f"{A}/mutes/preview"): May.MUTE,
    ("GET", f"{A}/mutes/<mute_id>"): May.SEE_MUTES,
    ("PUT", f"{A}/mutes/<mute_id>"): May.MUTE,
    ("DELETE", f"{A}/mutes/<mute_id>"): May.MUTE,
    ("GET", f"{A}/announcements"): May.SEE_EXECUTIONS,
    ("GET", f"{A}/deliveries"): May.SEE_EXECUTIONS,
    ("GET", f"{A}/deliveries/<delivery_id>"): May.SEE_EXECUTIONS,
    ("POST", f"{A}/deliveries/<delivery_id>/replay"): May.RUN_JOBS,
    ("GET", f"{A}/alert-rules"): May.SEE_RULES,
    ("POST", f"{A}/alert-rules"): May.MANAGE_RULES,
    ("GET", f"{A}/alert-explanations/<execution_id>"): May.SEE_RULES,
    ("GET", ALERT_RULE): May.SEE_RULES,
    ("PUT", ALERT_RULE): May.MANAGE_RULES,
    ("DELETE", ALERT_RULE): May.MANAGE_RULES,
    ("POST", f"{ALERT_RULE}/enable"): May.MANAGE_RULES,
    ("POST", f"{ALERT_RULE}/disable"): May.MANAGE_RULES,
    ("GET", f"{A}/incidents"): May.SEE_RULES,
    ("GET", INCIDENT): May.SEE_RULES,
    ("POST", f"{INCIDENT}/acknowledge"): May.ACKNOWLEDGE,
    ("POST", f"{INCIDENT}/notes"): May.ACKNOWLEDGE,
    ("POST", f"{INCIDENT}/close"): May.ACKNOWLEDGE,
    ("GET", f"{A}/approvals"): May.SEE_APPROVALS,
    ("GET", ASK): May.SEE_APPROVALS,
    ("POST", f"{ASK}/approve"): May.DECIDE_APPROVALS,
    ("POST", f"{ASK}/refuse"): May.DECIDE_APPROVALS,
    ("GET", f"{A}/audit-events"): May.SEE_AUDIT,
    ("GET", f"{A}/audit-events/export"): May.SEE_AUDIT,
    ("GET", f"{A}/users"): May.MANAGE_ACCOUNTS,
    ("POST", f"{A}/users"): May.MANAGE_ACCOUNTS,
    ("GET", USER): May.MANAGE_ACCOUNTS,
    ("PATCH", USER): May.MANAGE_ACCOUNTS,
    ("POST", f"{USER}/reset"): May.MANAGE_ACCOUNTS,
    ("DELETE", f"{USER}/second-factor"): May.MANAGE_ACCOUNTS,
    ("GET", f"{USER}/tokens"): May.MANAGE_ACCOUNTS,
    ("POST", f"{USER}/tokens"): May.MANAGE_ACCOUNTS,
    ("GET", f"{A}/tokens"): May.MANAGE_ACCOUNTS,
    ("POST", f"{TOKEN}/rotate"): May.MANAGE_ACCOUNTS,
    ("DELETE", TOKEN): May.MANAGE_ACCOUNTS,
    ("GET", f"{A}/imports"): May.SEE_JOBS,
    ("POST", f"{A}/imports"): May.CHANGE_JOBS,
    ("DELETE", f"{A}/imports/<import_id>"): May.CHANGE_JOBS,
    ("GET", f"{A}/sample-data"): May.MANAGE_SAMPLE,
    ("PUT", f"{A}/sample-data"): May.MANAGE_SAMPLE,
    ("DELETE", f"{A}/sample-data"): May.MANAGE_SAMPLE,
    ("PUT", f"{JOB}/overrides"): May.CHANGE_JOBS,
    ("POST", "/api/jobs/register"): May.REGISTER_JOBS,
    ("GET", "/api/services"): May.SEE_SERVICES,
    ("GET", SERVICE): May.SEE_SERVICES,
    ("PUT", SERVICE): May.MANAGE_SERVICES,
    ("DELETE", SERVICE): May.MANAGE_SERVICES,
    ("PUT", f"{SERVICE}/manifest"): May.REGISTER_JOBS,
    ("POST", f"{SERVICE}/heartbeat"): May.REGISTER_JOBS,
    ("POST", f"{SERVICE}/keys/rotate"): May.MANAGE_SERVICES,
    ("DELETE", f"{SERVICE}/keys/previous"): May.MANAGE_SERVICES,
    ("GET", "/api/jobs"): May.SEE_JOBS,
    ("POST", "/api/jobs/trigger"): May.RUN_JOBS,
    ("GET", NAMED): May.SEE_JOBS,
    ("DELETE", NAMED): May.CHANGE_JOBS,
    ("POST", f"{NAMED}/trigger"): May.RUN_JOBS,
    ("POST", f"{NAMED}/enable"): May.CHANGE_JOBS,
    ("POST", f"{NAMED}/disable"): May.CHANGE_JOBS,
    ("PUT", f"{NAMED}/cron"): May.CHANGE_JOBS,
    ("GET", f"{NAMED}/history"): May.SEE_EXECUTIONS,
    ("GET", f"{NAMED}/stats"): May.SEE_EXECUTIONS,
    ("GET", SCHEDULES): May.SEE_JOBS,
    ("POST", SCHEDULES): May.CHANGE_JOBS,
    ("POST", f"{SCHEDULES}/bulk/create"): May.CHANGE_JOBS,
    ("GET", SCHEDULE): May.SEE_JOBS,
    ("PUT", SCHEDULE): May.CHANGE_JOBS,
    ("DELETE", SCHEDULE): May.CHANGE_JOBS,
    ("POST", f"{SCHEDULE}/pause"): May.CHANGE_JOBS,
    ("POST", f"{SCHEDULE}/resume"): May.CHANGE_JOBS,
    ("POST", f"{SCHEDULE}/trigger"): May.RUN_JOBS,
    ("GET", f"{SCHEDULE}/executions"): May.SEE_EXECUTIONS,
    ("GET", "/api/v1/executions"): May.SEE_EXECUTIONS,
    ("GET", "/api/v1/executions/running"): May.SEE_EXECUTIONS,
    ("GET", "/api/v1/executions/<execution_id>"): May.SEE_EXECUTIONS,
    ("GET", "/api/v1/executions/stats/<schedule_id>"): May.SEE_EXECUTIONS,
}
# What tells what there is besides what would be, or what is there and not one's own.
BOTH: dict[tuple[str, str], tuple[May, ...]] = {
    ("POST", f"{A}/job-templates/import"): (May.MANAGE_TEMPLATES, May.SEE_TEMPLATES),
    ("GET", f"{TEMPLATE}/export"): (May.MANAGE_TEMPLATES, May.SEE_TEMPLATES),
    ("DELETE", f"{TEMPLATE}/presets/<name>"): (May.CHANGE_JOBS, May.SEE_TEMPLATES),
    ("POST", f"{A}/alert-rules/preview"): (May.MANAGE_RULES, May.SEE_EXECUTIONS),
    ("POST", f"{JOB}/inbound"): (May.CHANGE_JOBS, May.RUN_JOBS),
    ("PUT", f"{JOB}/inbound/<address_id>"): (May.CHANGE_JOBS, May.RUN_JOBS),
    ("POST", f"{JOB}/inbound/<address_id>/rotate"): (May.CHANGE_JOBS, May.RUN_JOBS),
    ("DELETE", f"{JOB}/inbound/<address_id>"): (May.CHANGE_JOBS, May.RUN_JOBS),
    ("GET", f"{A}/job-types"): (May.MANAGE_TEMPLATES, May.SEE_JOBS),
    ("POST", f"{A}/scheduler-jobs/plan"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{A}/scheduler-jobs/bulk"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{SCHEDULES}/bulk/operation"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{JOB}/clone"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{A}/job-types/install"): (May.MANAGE_TEMPLATES, May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{JOB}/notes"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("DELETE", f"{JOB}/notes/<note_id>"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{JOB}/revisions/<int:number>/restore"): (May.CHANGE_JOBS, May.SEE_JOBS),
    ("POST", f"{A}/scheduler-jobs/apply"): (May.CHANGE_JOBS, May.SEE_JOBS),
}
BY_ADDRESS = ("POST", "/api/inbound/<secret>")  # who knows the secret of an address decides, not the role: test_inbound
# Reports of services: the secret address and the signature decide, whoever asks (tests/integration/callbacks/test_reports.py).
REPORTS = {("POST", f"/api/callbacks/<token>/{report}") for report in ("heartbeat", "progress", "logs", "extend", "complete", "fail")}
OWN_REQUEST = ("POST", f"{ASK}/withdraw")  # whose request it is decides, not the role: test_approvals

WEB: dict[tuple[str, str], May | None] = {
    ("GET", "/"): May.SEE_JOBS,
    ("GET", "/admin/scheduler"): OPEN,
    ("GET", "/api/docs"): OPEN,
    ("GET", "/sign-in"): OPEN,
    ("POST", "/sign-in"): OPEN,
    ("GET", "/sign-in/code"): OPEN,
    ("POST", "/sign-in/code"): OPEN,
    ("POST", "/sign-out"): OPEN,
    ("GET", "/sign-in/provider"): OPEN,
    ("GET", "/sign-in/provider/back"): OPEN,
    ("GET", "/reset/<secret>"): OPEN,
    ("POST", "/reset/<secret>"): OPEN,
    ("GET", "/static/<path:filename>"): OPEN,
    ("GET", "/health"): OPEN,
    ("GET", "/health/detailed"): OPEN,
    ("GET", "/metrics"): OPEN,  # from this machine (tests/unit/metrics/test_access.py)
    ("GET", "/api/asyncapi.json"): OPEN,
    ("GET", "/live"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/account"): May.OWN_ACCOUNT,
    ("POST", "/account/password"): May.OWN_ACCOUNT,
    ("GET", "/account/second-factor"): May.OWN_ACCOUNT,
    ("POST", "/account/second-factor"): May.OWN_ACCOUNT,
    ("POST", "/account/second-factor/remove"): May.OWN_ACCOUNT,
    ("POST", "/account/sessions/end"): May.OWN_ACCOUNT,
    ("GET", "/jobs/export.<any(yaml, json):kind>"): May.SEE_JOBS,
    ("GET", "/jobs/import"): May.CHANGE_JOBS,
    ("POST", "/jobs/import"): May.CHANGE_JOBS,
    ("POST", "/jobs/views"): May.OWN_ACCOUNT,
    ("POST", "/jobs/views/remove"): May.OWN_ACCOUNT,
    ("POST", "/jobs/bulk"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/revisions"): May.SEE_JOBS,
    ("POST", "/jobs/<job_id>/revisions/<int:number>/restore"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/export.<any(yaml, json):file_format>"): May.SEE_JOBS,
    ("POST", "/jobs/<job_id>/undelete"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/notes"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/notes/<note_id>/delete"): May.CHANGE_JOBS,
    ("GET", "/jobs/new/tried/<dry_run_id>"): May.CHANGE_JOBS,
    ("POST", "/jobs/new/draft"): May.CHANGE_JOBS,
    ("POST", "/jobs/new/draft/drop"): May.CHANGE_JOBS,
    ("GET", "/executions/<execution_id>/log"): May.SEE_EXECUTIONS,
    ("GET", "/executions/<execution_id>/log.txt"): May.SEE_EXECUTIONS,
    ("GET", "/executions/<execution_id>/compare"): May.SEE_EXECUTIONS,
    ("GET", "/calendar"): May.SEE_EXECUTIONS,
    ("GET", "/palette"): May.OWN_ACCOUNT,
    ("GET", "/job-types"): May.MANAGE_TEMPLATES,
    ("POST", "/job-types/install"): May.MANAGE_TEMPLATES,
    ("GET", "/service-accounts"): May.MANAGE_ACCOUNTS,
    ("GET", "/services"): May.SEE_SERVICES,
    ("GET", "/services/<name>"): May.SEE_SERVICES,
    ("POST", "/services/<name>/rotate"): May.MANAGE_SERVICES,
    ("POST", "/services/<name>/retire-key"): May.MANAGE_SERVICES,
    ("POST", "/services/<name>/hand-over"): May.MANAGE_SERVICES,
    ("POST", "/services/<name>/delete"): May.MANAGE_SERVICES,
    ("POST", "/jobs/<job_id>/overrides"): May.CHANGE_JOBS,
    ("GET", "/system"): May.SEE_JOBS,
    ("GET", "/nodes"): May.SEE_NODES,
    ("POST", "/nodes/<node_id>/drain"): May.MANAGE_NODES,
    ("POST", "/nodes/<node_id>/resume"): May.MANAGE_NODES,
    ("GET", "/help"): May.OWN_ACCOUNT,
    ("GET", "/help/<path:name>"): May.OWN_ACCOUNT,
    ("GET", "/help/pictures/<name>.png"): May.OWN_ACCOUNT,
    ("POST", "/account/reading"): May.OWN_ACCOUNT,
    ("GET", "/jobs"): May.SEE_JOBS,
    ("GET", "/jobs/<job_id>"): May.SEE_JOBS,
    ("GET", "/jobs/<job_id>/row"): May.SEE_JOBS,
    ("GET", "/jobs/new"): May.CHANGE_JOBS,
    ("POST", "/jobs/new"): May.CHANGE_JOBS,
    ("POST", "/jobs/schedule-preview"): May.SEE_JOBS,
    ("GET", "/jobs/<job_id>/edit"): May.SEE_JOBS,
    ("POST", "/jobs/<job_id>/edit"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/inbound"): May.SEE_JOBS,
    ("GET", "/jobs/<job_id>/inbound/new"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/inbound/new"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/inbound/<address_id>"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/inbound/<address_id>"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/inbound/<address_id>/rotate"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/inbound/<address_id>/delete"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/pause"): May.SEE_JOBS,
    ("POST", "/jobs/<job_id>/pause"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/resume"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/shadow"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/shadow/end"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/<any(enable, disable):action>"): May.CHANGE_JOBS,
    ("POST", "/jobs/<job_id>/delete"): May.CHANGE_JOBS,
    ("GET", "/jobs/<job_id>/backfill"): May.RUN_JOBS,
    ("POST", "/jobs/<job_id>/backfill"): May.RUN_JOBS,
    ("POST", "/jobs/<job_id>/backfill/cancel"): May.CANCEL,
    ("POST", "/jobs/<job_id>/run"): May.RUN_JOBS,
    ("GET", "/jobs/<job_id>/run-with"): May.SEE_JOBS,
    ("POST", "/jobs/<job_id>/run-with"): May.RUN_JOBS,
    ("GET", "/executions"): May.SEE_EXECUTIONS,
    ("GET", "/executions/<execution_id>"): May.SEE_EXECUTIONS,
    ("GET", "/executions/<execution_id>/live"): May.SEE_EXECUTIONS,
    ("POST", "/executions/<execution_id>/cancel"): May.CANCEL,
    ("POST", "/executions/<execution_id>/retry"): May.RUN_JOBS,
    ("POST", "/executions/retry"): May.RUN_JOBS,
    ("POST", "/executions/<execution_id>/acknowledge"): May.ACKNOWLEDGE,
    ("POST", "/executions/<execution_id>/unacknowledge"): May.ACKNOWLEDGE,
    ("POST", "/executions/<execution_id>/owed/<what>/again"): May.RUN_JOBS,
    ("POST", "/system/outbox/events/<event_id>/<what>/again"): May.SWITCH_MAINTENANCE,
    ("GET", "/executions/<execution_id>/retry-with"): May.SEE_EXECUTIONS,
    ("POST", "/executions/<execution_id>/retry-with"): May.RUN_JOBS,
    ("GET", "/templates"): May.SEE_TEMPLATES,
    ("GET", "/templates/<kind>"): May.SEE_TEMPLATES,
    ("GET", "/templates/preview"): May.TRY_SCHEMAS,
    ("POST", "/templates/preview"): May.TRY_SCHEMAS,
    ("GET", f"{PAGE}/standing"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/standing"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/derive"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/derive"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/draft"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/draft"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/draft/drop"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/publish"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/publish"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/impact/<int:version>"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/impact/<int:version>"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/impact/<int:version>/<job_id>"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/impact/<int:version>/<job_id>"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/moves/<move_id>/roll-back"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/versions/<int:version>/<any(published, deprecated, retired):state>"): May.MANAGE_TEMPLATES,
    ("GET", f"{PAGE}/export.json"): May.MANAGE_TEMPLATES,
    ("GET", "/templates/import"): May.MANAGE_TEMPLATES,
    ("POST", "/templates/import"): May.MANAGE_TEMPLATES,
    ("POST", f"{PAGE}/presets/<preset_id>/delete"): May.CHANGE_JOBS,
    ("GET", "/calendars"): May.SEE_CALENDARS,
    ("GET", "/calendars/new"): May.CHANGE_CALENDARS,
    ("POST", "/calendars/new"): May.CHANGE_CALENDARS,
    ("GET", "/calendars/<name>"): May.SEE_CALENDARS,
    ("POST", "/calendars/<name>"): May.CHANGE_CALENDARS,
    ("POST", "/calendars/<name>/delete"): May.CHANGE_CALENDARS,
    ("POST", "/account/docs-token"): May.OWN_ACCOUNT,
    ("GET", "/maintenance"): May.SWITCH_MAINTENANCE,
    ("POST", "/maintenance"): May.SWITCH_MAINTENANCE,
    ("POST", "/maintenance/end"): May.SWITCH_MAINTENANCE,
    ("GET", "/connections"): May.NAME_CONNECTIONS,
    ("GET", "/connections/new"): May.MANAGE_CONNECTIONS,
    ("POST", "/connections/new"): May.MANAGE_CONNECTIONS,
    ("GET", "/connections/<connection_id>"): May.MANAGE_CONNECTIONS,
    ("POST", "/connections/<connection_id>"): May.MANAGE_CONNECTIONS,
    ("POST", "/connections/<connection_id>/delete"): May.MANAGE_CONNECTIONS,
    ("POST", "/connections/<connection_id>/test"): May.MANAGE_CONNECTIONS,
    ("GET", "/channels"): May.SEE_CHANNELS,
    ("GET", "/channels/new"): May.MANAGE_CHANNELS,
    ("POST", "/channels/new"): May.MANAGE_CHANNELS,
    ("GET", "/channels/<channel_id>"): May.MANAGE_CHANNELS,
    ("POST", "/channels/<channel_id>"): May.MANAGE_CHANNELS,
    ("POST", "/channels/<channel_id>/delete"): May.MANAGE_CHANNELS,
    ("POST", "/channels/<channel_id>/test"): May.MANAGE_CHANNELS,
    ("GET", "/digests"): May.SEE_DIGESTS,
    ("GET", "/digests/new"): May.MANAGE_DIGESTS,
    ("POST", "/digests/new"): May.MANAGE_DIGESTS,
    ("GET", "/digests/mine"): May.SEE_EXECUTIONS,
    ("POST", "/digests/mine"): May.SEE_EXECUTIONS,
    ("GET", "/digests/mine/preview"): May.SEE_EXECUTIONS,
    ("GET", "/digests/<digest_id>"): May.SEE_DIGESTS,
    ("POST", "/digests/<digest_id>"): May.MANAGE_DIGESTS,
    ("GET", "/digests/<digest_id>/preview"): May.SEE_DIGESTS,
    ("POST", "/digests/<digest_id>/delete"): May.MANAGE_DIGESTS,
    ("GET", "/mutes"): May.SEE_MUTES,
    ("GET", "/mutes/new"): May.MUTE,
    ("POST", "/mutes/new"): May.MUTE,
    ("GET", "/mutes/<mute_id>"): May.SEE_MUTES,
    ("POST", "/mutes/<mute_id>"): May.MUTE,
    ("POST", "/mutes/<mute_id>/end"): May.MUTE,
    ("GET", "/announcements"): May.SEE_EXECUTIONS,
    ("GET", "/deliveries"): May.SEE_EXECUTIONS,
    ("GET", "/deliveries/<delivery_id>"): May.SEE_EXECUTIONS,
    ("POST", "/deliveries/<delivery_id>/replay"): May.RUN_JOBS,
    ("GET", "/rules"): May.SEE_RULES,
    ("GET", "/rules/new"): May.MANAGE_RULES,
    ("POST", "/rules/new"): May.MANAGE_RULES,
    ("GET", "/rules/<rule_id>"): May.SEE_RULES,
    ("POST", "/rules/<rule_id>"): May.MANAGE_RULES,
    ("POST", "/rules/<rule_id>/<any(enable, disable):action>"): May.MANAGE_RULES,
    ("POST", "/rules/<rule_id>/delete"): May.MANAGE_RULES,
    ("GET", "/incidents"): May.SEE_RULES,
    ("GET", "/incidents/<incident_id>"): May.SEE_RULES,
    ("POST", "/incidents/<incident_id>/acknowledge"): May.ACKNOWLEDGE,
    ("POST", "/incidents/<incident_id>/notes"): May.ACKNOWLEDGE,
    ("POST", "/incidents/<incident_id>/close"): May.ACKNOWLEDGE,
    ("GET", "/incidents/acknowledge/<token>"): OPEN,
    ("POST", "/incidents/acknowledge/<token>"): OPEN,
    ("GET", "/approvals"): May.SEE_APPROVALS,
    ("GET", "/approvals/<approval_id>"): May.SEE_APPROVALS,
    ("GET", "/approvals/<approval_id>/preview"): May.SEE_APPROVALS,
    ("POST", "/approvals/<approval_id>/<any(approve, refuse, withdraw):decision>"): May.DECIDE_APPROVALS,
    ("GET", "/sample-data"): May.MANAGE_SAMPLE,
    ("POST", "/sample-data/create"): May.MANAGE_SAMPLE,
    ("POST", "/sample-data/remove"): May.MANAGE_SAMPLE,
    ("GET", "/audit"): May.SEE_AUDIT,
    ("GET", "/audit/export.<kind>"): May.SEE_AUDIT,
    ("GET", "/users"): May.MANAGE_ACCOUNTS,
    ("GET", "/users/new"): May.MANAGE_ACCOUNTS,
    ("POST", "/users/new"): May.MANAGE_ACCOUNTS,
    ("GET", "/users/<user_id>"): May.MANAGE_ACCOUNTS,
    ("POST", "/users/<user_id>"): May.MANAGE_ACCOUNTS,
    ("POST", "/users/<user_id>/reset"): May.MANAGE_ACCOUNTS,
    ("POST", "/users/<user_id>/second-factor/remove"): May.MANAGE_ACCOUNTS,
    ("GET", "/users/<user_id>/tokens/new"): May.MANAGE_ACCOUNTS,
    ("POST", "/users/<user_id>/tokens/new"): May.MANAGE_ACCOUNTS,
    ("POST", "/tokens/<token_id>/rotate"): May.MANAGE_ACCOUNTS,
    ("POST", "/tokens/<token_id>/revoke"): May.MANAGE_ACCOUNTS,
}

COMMAND = {"name": "new", "schedule_type": "interval", "interval_seconds": 60, "target_command": "cmd.x"}
CALENDAR: dict[str, Any] = {"timezone": "UTC", "dates": [{"from": "2030-01-01"}]}
RULE: dict[str, Any] = {
    "name": "new",
    "condition": {"type": "failed"},
    "to": ["a@example.com"],
    "scope": {"kind": "group", "values": ["g"]},
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", f"{A}/imports"): {"source": "crontab:m:/t", "entry": "e", "plan": "p", "job": {"name": "imported", "template_type": "noop"}},
    ("POST", f"{A}/migrated-jobs/<name>"): {"connection": "none"},
    ("POST", f"{A}/migrated-jobs/<name>/roll-back"): {},
    ("POST", f"{A}/scheduler-jobs"): {"name": "new", "template_type": "noop"},
    ("POST", f"{A}/scheduler-jobs/validate"): {"name": "new", "template_type": "noop"},
    ("POST", f"{A}/scheduler-jobs/plan"): {"jobwright": 1, "jobs": []},
    ("POST", f"{A}/scheduler-jobs/apply"): {"jobwright": 1, "jobs": []},
    ("POST", f"{A}/scheduler-jobs/bulk"): {"action": "disable", "filter": {}},
    ("POST", f"{JOB}/clone"): {"name": "copy"},
    ("POST", f"{JOB}/notes"): {"text": "a note"},
    ("PUT", JOB): {"description": "x"},
    ("POST", "/api/jobs/trigger"): {"jobType": "theirs"},
    ("PUT", f"{NAMED}/cron"): {"cronExpression": "0 9 * * TUE"},
    ("POST", SCHEDULES): COMMAND,
    ("POST", f"{SCHEDULES}/bulk/create"): {"schedules": [COMMAND]},
    ("POST", f"{SCHEDULES}/bulk/operation"): {"schedule_ids": ["none"], "operation": "pause"},
    ("PUT", SCHEDULE): {"description": "x"},
    ("POST", f"{JOB}/pause"): {"reason": "x"},
    ("POST", f"{JOB}/shadow"): {"reason": "x"},
    ("POST", f"{JOB}/inbound"): {"name": "more", "proof": "secret"},
    ("PUT", f"{JOB}/inbound/<address_id>"): {"enabled": True},
    ("POST", f"{JOB}/backfill"): {"from": "2026-03-01T00:00:00Z", "to": "2026-03-01T02:00:00Z", "dry_run": False},
    ("POST", f"{A}/calendars"): {"name": "new", **CALENDAR},
    ("PUT", f"{A}/calendars/<name>"): CALENDAR,
    ("PUT", f"{A}/maintenance"): {"reason": "x"},
    ("POST", f"{A}/connections"): {"name": "new", "kind": "file_store", "settings": {"path": "/nowhere"}},
    ("POST", f"{A}/channels"): {"name": "new", "type": "webhook", "settings": {"url": "http://127.0.0.1:1/hook"}},
    ("POST", f"{A}/mutes"): {"reason": "x", "ends_at": "2026-03-02T20:00:00Z", "jobs": ["theirs"]},
    ("POST", f"{A}/mutes/preview"): {"jobs": ["theirs"]},
    ("PUT", f"{A}/mutes/<mute_id>"): {"reason": "x", "ends_at": "2026-03-02T20:00:00Z", "jobs": ["theirs"]},
    ("PUT", CHANNEL): {"name": "ops", "settings": {"url": "http://127.0.0.1:1/hook"}},
    ("POST", f"{A}/digests"): {"name": "new", **TEAM},
    ("PUT", DIGEST): {"name": "team", **TEAM},
    ("POST", f"{A}/alert-rules"): RULE,
    ("POST", f"{A}/alert-rules/preview"): RULE,
    ("PUT", ALERT_RULE): RULE,
    ("POST", f"{INCIDENT}/notes"): {"note": "x"},
    ("PUT", CONNECTION): {"name": "c", "settings": {"path": "/nowhere"}},
    ("POST", f"{A}/job-templates"): {"type": "newer", "base": "noop"},
    ("PUT", f"{TEMPLATE}/standing"): {},
    ("PUT", f"{TEMPLATE}/draft"): {"name": "d", "description": "d", "category": "d"},
    ("POST", f"{TEMPLATE}/moves"): {},
    ("PUT", f"{TEMPLATE}/versions/<int:number>"): {"state": "deprecated"},
    ("PUT", f"{TEMPLATE}/presets/<name>"): {"parameters": {}},
    ("POST", f"{A}/job-templates/import"): {
        "jobwright_template": 1,
        "type": "shared",
        "base": "noop",
        "base_version": 1,
        "definition": {"name": "d", "description": "d", "category": "d"},
    },
    ("POST", f"{A}/users"): {"email": "new@example.com", "role": "user"},
    ("PATCH", USER): {"name": "x"},
    ("POST", f"{USER}/tokens"): {"name": "x", "scopes": ["read"]},
    ("PUT", f"{JOB}/overrides"): {"field": "/priority", "keep": True},
    ("POST", "/api/jobs/register"): {"name": "x"},
    ("PUT", SERVICE): {"owner": "other@example.com"},
    ("PUT", f"{SERVICE}/manifest"): {"version": "1", "jobs": []},
    ("POST", f"{SERVICE}/heartbeat"): {"instance": "a"},
}


@pytest.fixture
def cast(services: Services) -> dict[str, Actor]:
    """Someone of each role, at a browser."""
    actors = {}
    for role in Role:
        user, _ = services.accounts.add(SYSTEM, {"email": f"{role.value}@example.com", "role": role.value})
        actors[role.value] = Actor(id=user.id, email=user.email, role=role.value, via="web")
    return actors


@pytest.fixture
def targets(services: Services, cast: dict[str, Actor]) -> dict[str, str]:
    """One of each thing, of somebody who is none of the callers."""
    boss = replace(SYSTEM, id="boss", email="boss@example.com")
    schedule = {"type": "cron", "expression": "0 * * * *"}
    job = services.jobs.create(boss, {"name": "theirs", "template_type": "noop", "schedule": schedule, "overlap": "allow"})[0]
    run = services.runs.run_now(boss, job.id)
    connection = services.connections.create(boss, name="c", kind="file_store", settings={"path": "/nowhere"})
    channel = services.channels.create(boss, name="ops", type="webhook", settings={"url": "http://127.0.0.1:1/hook"})
    services.channels.test(boss, channel["_id"])
    (delivery,), _ = services.deliveries.page(boss, DeliveryFilter(), limit=1)
    mute = {"reason": "Move", "ends_at": (services.clock.now() + timedelta(hours=1)).isoformat(), "jobs": ["theirs"]}
    services.calendars.create(boss, "cal", CALENDAR)
    rule = services.alert_rules.create(boss, {**RULE, "name": "theirs", "scope": {"kind": "job", "values": [job.id]}})
    other, _ = services.accounts.add(SYSTEM, {"email": "other@example.com", "role": "admin"})
    _, token = services.tokens.request(replace(boss, scopes=None), other.id, {"name": "t", "scopes": ["read"]})
    asker = Actor(id=other.id, email=other.email, role="admin", via="web")
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(asker, {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}})
    asked = services.approvals.ask(asker, needed.value.ask)
    return {
        "job_id": job.id,
        "address_id": services.inbound.create(boss, job.id, {"name": "a", "proof": "secret"}).address.id,
        "job_name": "theirs",
        "schedule_id": job.id,
        "dry_run_id": "none",
        "folder": "reference",
        "execution_id": run.id,
        "connection_id": connection["_id"],
        "channel_id": channel["_id"],
        "delivery_id": delivery.id,
        "digest_id": services.digests.create(boss, {"name": "team", **TEAM}).id,
        "mute_id": services.mutes.create(boss, mute).id,
        "rule_id": rule.id,
        "incident_id": "none",
        "node_id": "node",
        "user_id": other.id,
        "token_id": token["_id"],
        "approval_id": asked["_id"],
        "name": "cal",
        "problem": "not-found",
        "template_type": "noop",
        "kind": "noop",
        "secret": "x",
        "token": "x",
        "filename": "app.css",
    }


def address(rule: str, targets: dict[str, str]) -> str:
    path = rule.replace("<any(enable, disable):action>", "disable").replace("<any(approve, refuse, withdraw):decision>", "refuse")
    path = path.replace("<any(published, deprecated, retired):state>", "deprecated")
    path = (
        path.replace("<any(yaml, json):file_format>", "yaml")
        .replace("<any(yaml, json):kind>", "yaml")
        .replace("export.<kind>", "export.csv")
        .replace("<path:filename>", targets["filename"])
    )
    for name, value in {
        "int:number": "1",
        "int:version": "1",
        "move_id": "none",
        "preset_id": "none",
        "note_id": "none",
        "event_id": "none",
        "import_id": "none",
        "what": "notify",
        "path:name": "how-to/schedules",
        **targets,
    }.items():
        path = path.replace(f"<{name}>", value)
    assert "<" not in path, path
    return path


def test_every_endpoint_is_in_the_matrix(app: Flask) -> None:
    """A new endpoint needs a line here: who may reach it is decided, not left open."""
    found = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert found == {*REST, *BOTH, *WEB, *REPORTS, OWN_REQUEST, BY_ADDRESS}


@pytest.mark.parametrize(("method", "rule"), sorted(REPORTS))
def test_no_role_opens_the_address_of_a_report(method: str, rule: str, app: Flask, services: Services, cast: dict[str, Actor]) -> None:
    path, client = rule.replace("<token>", "e.1.1.x"), app.test_client()
    tokens = [services.tokens.create(SYSTEM, email=actor.email, name="t") for actor in cast.values()]
    for headers in ({}, *({"Authorization": f"Bearer {token}"} for token in tokens)):
        assert client.open(path, method=method, json={}, headers=headers).status_code == 404


def _denied(status: int, rule: str) -> bool:
    # Whose token it is is nobody's business: one that is another's is not there.
    return status in {401, 403} or (status == 404 and "<token_id>" in rule)


@pytest.mark.parametrize(("method", "rule"), sorted({**REST, **BOTH}), ids=lambda part: str(part))
def test_rest(method: str, rule: str, app: Flask, services: Services, cast: dict[str, Actor], targets: dict[str, str]) -> None:
    may, path, body = REST.get((method, rule)), address(rule, targets), BODIES.get((method, rule))
    all_of = BOTH.get((method, rule), (may,))
    client = app.test_client()

    def status(token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with client.open(path, method=method, json=body, headers=headers) as answer:
            return answer.status_code

    if all_of == (OPEN,):
        assert status(None) == 200
        return
    for token in (None, "jw_" + "x" * 43, "", "null"):
        assert status(token) == 401
    callers = [(role, scopes) for role in ("user", "admin") for scopes in (tuple(Scope),)]
    callers += [("super_admin", tuple(Scope(one) for one in Scope if one is not left_out)) for left_out in Scope]
    callers += [("super_admin", (one,)) for one in Scope] + [("super_admin", tuple(Scope))]
    for role, scopes in callers:
        text = services.tokens.create(SYSTEM, email=cast[role].email, name="t", scopes=scopes)
        actor = replace(cast[role], scopes=frozenset(scopes))
        reason = next(filter(None, (lacks(actor, one) for one in all_of if one)), None)
        got = status(text)
        assert got < 500
        assert _denied(got, rule) == (reason is not None), (
            f"{role} {[one.value for one in scopes]} got {got}; the table says {reason or 'yes'}"
        )
    if any(one in path for one in targets.values()) and method == "GET":
        assert client.get(path.replace(targets.get("job_id", "?"), "none")).status_code == 401  # nobody learns what is there


@pytest.mark.parametrize(("method", "rule"), sorted(WEB), ids=lambda part: str(part))
def test_pages(method: str, rule: str, services: Services, cast: dict[str, Actor], targets: dict[str, str], catalogue: Catalogue) -> None:
    app = app_of(services, csrf=False)  # test_attacks has what goes without a token
    may, path = WEB[(method, rule)], address(rule, targets)
    path += dict.fromkeys(("/jobs/new", "/jobs/new/draft"), "?template=noop").get(rule, "")
    path += {"/connections/new": "?kind=smtp", "/channels/new": "?type=webhook"}.get(rule, "")
    data = {"/jobs/bulk": {"action": "disable", "job": "none"}}.get(rule, {})

    def status(client: FlaskClient) -> int:
        return client.open(path, method=method, data=data if method == "POST" else None).status_code

    stranger = app.test_client()
    with stranger.open(path, method=method, data={} if method == "POST" else None) as answer:
        if may is OPEN:
            assert answer.status_code not in {401, 403} or rule == "/sign-in"
            return
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/sign-in")
    for role in ("user", "admin", "super_admin"):
        client = app.test_client()
        user = services.accounts.get(replace(SYSTEM), cast[role].id)
        signed = services.signin.admit(user, Visitor("192.0.2.1"), "test")
        with client.session_transaction() as session:
            session["s"] = signed.secret
        got = status(client)
        assert got < 500
        reason = lacks(cast[role], may)
        assert _denied(got, rule) == (reason is not None), f"{role} got {got}; the table says {reason or 'yes'}"


def test_ones_own_and_anothers(app: Flask, services: Services, cast: dict[str, Actor], targets: dict[str, str]) -> None:
    """What is one's own by its owner's session: tokens, sessions, requests; never another's."""
    me = cast["admin"]
    mine = services.tokens.request(me, me.id, {"name": "mine", "scopes": ["read"]})[1]["_id"]
    user = services.accounts.get(me, me.id)
    client = app_of(services, csrf=False).test_client()
    with client.session_transaction() as session:
        session["s"] = services.signin.admit(user, Visitor("192.0.2.1"), "test").secret
    assert client.post(f"/tokens/{targets['token_id']}/rotate").status_code == 404
    assert client.post(f"/tokens/{targets['token_id']}/revoke").status_code == 404
    assert client.post(f"/tokens/{mine}/rotate").status_code == 200
    assert client.post(f"/tokens/{mine}/revoke").status_code == 302
    assert client.get(f"/users/{me.id}/tokens/new").status_code == 200
    assert client.get(f"/users/{targets['user_id']}/tokens/new").status_code == 403
    assert client.get(f"/users/{me.id}").status_code == 403
    assert client.post(f"/approvals/{targets['approval_id']}/withdraw").status_code == 403
    assert services.approvals.get(me, targets["approval_id"])["state"] == "pending"
