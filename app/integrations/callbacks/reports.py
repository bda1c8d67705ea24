"""What services report about deferred attempts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from app import instants
from app.clock import Clock
from app.config import Settings
from app.connections.service import Connections
from app.errors import Conflict, FieldError, SignatureRefused, TooEarly, UnknownReportAddress, ValidationFailed
from app.events import get_logger
from app.execution.log_store import LogStore, chunk
from app.executors.outcomes import MOST_RETRY_AFTER_SECONDS, number_between, storable_outcome
from app.executors.reports import progress_document
from app.integrations.callbacks.tokens import CallbackTokens
from app.jobtemplates.catalogue import Catalogue
from app.queue.deferral_store import DeferralStore, Logged, Reported
from app.queue.model import Attempt, AttemptError, Outcome, Status
from app.sandbox.protocol import Progress
from app.validation.storable import whole_text
from templates_lib import service_protocol
from templates_lib.base import TemplateError
from templates_lib.connections.service import signing_keys
from templates_lib.messages import say
from templates_lib.signatures import SignatureRefused as WrongSignature
from templates_lib.signatures import require_signature

log = get_logger(__name__)

# The chunks of reported lines stand after those that the attempt's own process logged.
FIRST_CHUNK, LAST_CHUNK = 1_000_000, 99_999_999
LINE_BYTES = 40  # what a line counts in the log beside its text
CANCELLING = "cancelling"


class Ends(Protocol):
    """Writes the ends of attempts."""

    def finish(self, ended: Sequence[tuple[Attempt, Outcome]]) -> set[str]:
        """Write them; returns the executions that were refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The answer to a report. `status` is that of the execution, or CANCELLING if someone asked to stop it; `deadline` and
    `heartbeat_seconds` are those of an attempt that is deferred."""

    status: str
    deadline: datetime | None = None
    heartbeat_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reporter:
    """A service that has proved who it is, and the attempt that it reports about."""

    attempt: Attempt
    service: str


class Callbacks:
    """Takes reports. Each changes the execution only while its attempt has its claim, and raises Conflict otherwise."""

    def __init__(
        self,
        *,
        tokens: CallbackTokens,
        deferrals: DeferralStore,
        logs: LogStore,
        ends: Ends,
        connections: Connections,
        catalogue: Catalogue,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._tokens, self._deferrals, self._logs, self._ends = tokens, deferrals, logs, ends
        self._connections, self._catalogue, self._clock, self._settings = connections, catalogue, clock, settings

    def reporter(self, token: str, headers: Mapping[str, str], body: bytes) -> Reporter:
        """Returns who reports about what. Raises UnknownReportAddress, and SignatureRefused unless one of the service's keys has signed the
        body. A service without keys proves itself by the token alone."""
        named = self._tokens.read(token)
        reported = None if named is None else self._deferrals.look_up(named.execution_id, named.number, named.fence)
        if reported is None:
            raise UnknownReportAddress
        if reported.attempt is None:
            raise Conflict(say("The record of this run cannot be read"))
        service = self._service_of(reported.attempt)
        grant = self._connections.grant([service]).get(service)
        if grant is None:
            raise SignatureRefused(say("The connection of the service does not exist any more"))
        keys = signing_keys(grant.settings)
        try:
            if keys:
                require_signature(keys, headers, body)
        except WrongSignature as refused:
            log.warning("callback.unsigned", **reported.attempt.log_fields, service=service, reason=str(refused))
            raise SignatureRefused(str(refused)) from refused
        return Reporter(reported.attempt, service)

    def heartbeat(self, reporter: Reporter) -> Standing:
        """The work goes on."""
        return self._renewed(reporter, None)

    def progress(self, reporter: Reporter, body: Mapping[str, Any]) -> Standing:
        """The work is so far: {done, total, note}."""
        return self._renewed(reporter, progress_document(Progress(body["done"], body.get("total"), body.get("note", ""))))

    def log(self, reporter: Reporter, body: Mapping[str, Any]) -> Standing:
        """Lines of the log: {first, lines: [{level, message, time}]}. Lines that were reported before are left out."""
        attempt, first, lines = reporter.attempt, body["first"], body["lines"]
        times = self._times_of(lines)
        standing = self._renewed(reporter, None)
        while True:
            before = self._deferrals.logged(attempt)
            if before is None:
                raise self._refusal(reporter)
            skip = max(0, before.lines + 1 - first)
            new, size = self._admitted(lines[skip:], times[skip:], before)
            if new:
                self._logs.put(chunk(attempt.execution_id, attempt.number, FIRST_CHUNK + first + skip, new))
            after = Logged(lines=max(before.lines, first + len(lines) - 1), bytes=before.bytes + size)
            if self._deferrals.note_logged(attempt, before, after):
                return standing

    def extend(self, reporter: Reporter, seconds: float) -> Standing:
        """The deadline is `seconds` from now, if that is later, and the longest time that a job may have allows it. Raises TooEarly if
        Jobwright has not read yet that the service has accepted the run."""
        attempt, now = reporter.attempt, self._clock.now()
        longest = attempt.started_at + timedelta(seconds=self._settings.max_timeout_seconds)
        if self._deferrals.extend(attempt, min(now + timedelta(seconds=seconds), longest)) is None:
            if self._deferrals.renew(attempt, now=now):
                raise TooEarly(say("Jobwright has not read yet that the service has accepted this run"))
            raise self._refusal(reporter)
        return self._renewed(reporter, None)

    def complete(self, reporter: Reporter, body: Mapping[str, Any]) -> Standing:
        """The work has ended with a JobResult."""
        problems = service_protocol.result_problems(body)
        warnings: list[str] = []
        self._require(problems, body)
        policy = reporter.attempt.parameters.get("on_failed_items", service_protocol.WARN)
        try:
            judged = service_protocol.judge(body, policy, warn=warnings.append)
        except TemplateError as error:
            return self._end(reporter, "complete", body, _failed(error))
        standing = self._end(reporter, "complete", body, Outcome(status=Status.SUCCESS, result={**judged.data, "message": judged.message}))
        for text in warnings:
            line = {"timestamp": self._clock.now(), "level": "WARNING", "message": text}
            self._logs.put(chunk(reporter.attempt.execution_id, reporter.attempt.number, LAST_CHUNK, [line]))
        return standing

    def fail(self, reporter: Reporter, body: Mapping[str, Any]) -> Standing:
        """The work has failed: {error, permanent, retryAfterSeconds}, with the counts and the metadata of a JobResult."""
        self._require(service_protocol.detail_problems(body), body)
        data = service_protocol.result_data(body)
        words = service_protocol.service_says(data.get("error", ""))
        retry_after = number_between(body.get("retryAfterSeconds"), 0.0, MOST_RETRY_AFTER_SECONDS, 0.0) or None
        error = TemplateError(words, permanent=body.get("permanent") is True, data=data, retry_after_seconds=retry_after)
        return self._end(reporter, "fail", body, _failed(error))

    # -- steps ----------------------------------------------------------------------------------------------------

    def _service_of(self, attempt: Attempt) -> str:
        """The name of the connection of the service that does an attempt."""
        entry = self._catalogue.find(attempt.template_type, attempt.template_version)
        return str(attempt.parameters.get(entry.template.calls_service, "")) if entry and entry.template.calls_service else ""

    def _renewed(self, reporter: Reporter, progress: Mapping[str, Any] | None) -> Standing:
        if not self._deferrals.renew(reporter.attempt, now=self._clock.now(), progress=progress):
            raise self._refusal(reporter)
        return _standing(self._look_up(reporter))

    def _end(self, reporter: Reporter, report: str, body: Mapping[str, Any], outcome: Outcome) -> Standing:
        """Write the end of an attempt, once. The same report that comes again is answered as the first."""
        digest, reported = _digest(report, body), self._look_up(reporter)
        if reported.holds and reported.attempt is not None:
            seconds = max(0.0, (self._clock.now() - reported.attempt.started_at).total_seconds())
            fit, _ = storable_outcome(
                Outcome(status=outcome.status, result=outcome.result, error=outcome.error, seconds=round(seconds, 3), report=digest)
            )
            self._ends.finish([(reported.attempt, fit)])
            reported = self._look_up(reporter)
        if reported.report != digest:
            raise self._refusal(reporter)
        return Standing(status=reported.status)

    def _require(self, problems: Sequence[tuple[str, str]], body: Mapping[str, Any]) -> None:
        """Raises ValidationFailed with what is wrong with a result."""
        errors = [FieldError(pointer, message) for pointer, message in problems]
        size = len(json.dumps(body.get("metadata"), ensure_ascii=False).encode("utf-8", errors="replace"))
        if size > self._settings.job_result_bytes:
            most = self._settings.job_result_bytes
            errors.append(FieldError("/metadata", say("has {size:,} bytes, but may have {most:,}", size=size, most=most)))
        if errors:
            raise ValidationFailed(errors)

    def _admitted(self, lines: Sequence[Mapping[str, Any]], times: Sequence[datetime], before: Logged) -> tuple[list[dict[str, Any]], int]:
        """The lines that the attempt's log has room for, and their bytes. The line that exceeds the limit is kept and says so."""
        most, used, admitted = self._settings.job_log_bytes, before.bytes, list[dict[str, Any]]()
        for line, time in zip(lines, times, strict=True):
            if used > most:
                break
            message = whole_text(line["message"])
            used += len(message) + LINE_BYTES
            admitted.append({"timestamp": time, "level": line.get("level", "INFO").upper(), "message": message})
            if used > most:
                full = f"The log is full ({most:,} bytes, JOBWRIGHT_JOB_LOG_BYTES); the rest is dropped"
                admitted.append({"timestamp": self._clock.now(), "level": "WARNING", "message": full})
        return admitted, used - before.bytes

    def _times_of(self, lines: Sequence[Mapping[str, Any]]) -> list[datetime]:
        """When each line was logged, by the clock of the service; now if it does not say. Raises ValidationFailed for a time that cannot be
        kept, such as a leap second."""
        now, times, errors = self._clock.now(), list[datetime](), list[FieldError]()
        for index, line in enumerate(lines):
            try:
                times.append(instants.parse(line["time"]) if "time" in line else now)
            except instants.InstantRefused as refused:
                errors.append(FieldError(f"/lines/{index}/time", str(refused)))
        if errors:
            raise ValidationFailed(errors)
        return times

    def _look_up(self, reporter: Reporter) -> Reported:
        attempt = reporter.attempt
        reported = self._deferrals.look_up(attempt.execution_id, attempt.number, attempt.token)
        if reported is None:
            raise UnknownReportAddress
        return reported

    def _refusal(self, reporter: Reporter) -> Conflict:
        """The refusal of a report that is late, or about an attempt that another one has followed."""
        attempt = reporter.attempt
        log.warning("callback.refused", **attempt.log_fields, service=reporter.service)
        return Conflict(say("Attempt {number} of this run has ended. Nothing was changed; stop its work", number=attempt.number))


def _standing(reported: Reported) -> Standing:
    deferral = reported.attempt.deferral if reported.attempt else None
    return Standing(
        status=CANCELLING if reported.cancelling and reported.holds else reported.status,
        deadline=deferral.deadline if deferral else None,
        heartbeat_seconds=deferral.heartbeat_seconds if deferral else None,
    )


def _digest(report: str, body: Mapping[str, Any]) -> str:
    """What identifies a report that ends an attempt."""
    return hashlib.sha256(f"{report} {json.dumps(body, sort_keys=True)}".encode()).hexdigest()


def _failed(error: TemplateError) -> Outcome:
    failure = AttemptError(
        type="ServiceFailure", message=str(error), permanent=error.permanent, retry_after_seconds=error.retry_after_seconds
    )
    return Outcome(status=Status.FAILED, error=failure, result=error.data or None)
