"""/api/callbacks/{token}: reports of services about attempts that they have accepted (docs/reference/service-protocol.md)."""

from __future__ import annotations

from typing import Any

from app.api.blueprint import OpenBlueprint
from app.api.callbacks.reporting import find_reporter, reporter
from app.api.callbacks.schemas import COMPLETE, EXTEND, FAIL, HEARTBEAT, LOGS, PROGRESS, ReportOut, standing_json
from app.api.current import services

blueprint = OpenBlueprint(
    "Callbacks",
    __name__,
    url_prefix="/api/callbacks",
    description="Reports of services about runs that they have accepted. The address of a report is secret and belongs to one attempt; the "
    "report is signed with the key of the service",
)


blueprint.before_request(find_reporter)


@blueprint.post("/<token>/heartbeat")
@blueprint.body(HEARTBEAT, required=False)
@blueprint.response(200, ReportOut)
def report_heartbeat(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - the reporter is known by it
    """Say that the work goes on"""
    return standing_json(services().callbacks.heartbeat(reporter()))


@blueprint.post("/<token>/progress")
@blueprint.body(PROGRESS)
@blueprint.response(200, ReportOut)
def report_progress(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Say how far the work is"""
    return standing_json(services().callbacks.progress(reporter(), body))


@blueprint.post("/<token>/logs")
@blueprint.body(LOGS)
@blueprint.response(200, ReportOut)
def report_logs(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Append lines to the log"""
    return standing_json(services().callbacks.log(reporter(), body))


@blueprint.post("/<token>/extend")
@blueprint.body(EXTEND)
@blueprint.response(200, ReportOut)
def report_extension(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Ask for more time"""
    return standing_json(services().callbacks.extend(reporter(), body["seconds"]))


@blueprint.post("/<token>/complete")
@blueprint.body(COMPLETE)
@blueprint.response(200, ReportOut)
def report_completion(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Report the result, which ends the attempt"""
    return standing_json(services().callbacks.complete(reporter(), body))


@blueprint.post("/<token>/fail")
@blueprint.body(FAIL)
@blueprint.response(200, ReportOut)
def report_failure(token: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Report a failure, which ends the attempt"""
    return standing_json(services().callbacks.fail(reporter(), body))
