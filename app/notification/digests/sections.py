"""The parts of a digest about jobs: what failed, recovered, became slower, was missed or skipped, and never ran."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median, quantiles

from app.execution.history_store import HistoryStore
from app.execution.review_store import EndsOfJob, ReviewStore
from app.jobs.directory import JobDirectory
from app.jobs.filters import NEVER, JobFilter
from app.jobs.model import Job
from app.notification.digests.model import Contents, Line, Reading, Section, SectionSource
from app.queue.execution import Outline
from app.queue.model import FAILURES, Status
from app.validation.terminal import one_line
from templates_lib.messages import say, say_many

MOST_JOBS = 2_000  # jobs of one digest that are looked at, those with the most failures or seconds first
MOST_TIMED = 300  # jobs whose durations are compared
ENOUGH, MOST_RUNS = 20, 100  # runs of a job before a digest with which those of the digest are compared
SLOWER, LEAST_SECONDS = 1.5, 1.0  # a job is slower if its median is longer by this factor, and by so many seconds
NEW_FOR = timedelta(days=7)  # a job that is younger has had no time to run
LONGEST_ERROR = 160  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What the parts are read from."""

    review: ReviewStore
    history: HistoryStore
    directory: JobDirectory


class Composer:
    """Makes the contents of digests. `sources` have their say after the parts about jobs."""

    def __init__(self, stores: Stores, sources: Sequence[SectionSource]) -> None:
        self._stores, self._sources = stores, sources

    def compose(self, reading: Reading) -> Contents:
        """Returns what a digest says. Every job in it is one that the reader sees."""
        ends = self._stores.review.ends(reading.begin, reading.end)
        jobs = self._seen(reading, ends)
        ends = [end for end in ends if end.job_id in jobs]
        failed = {end.job_id for end in ends if end.status in FAILURES}
        suspects = sorted(failed | (reading.failing & jobs.keys()))
        last = self._stores.history.last_decided(suspects)
        failing = [job_id for job_id in suspects if (run := last.get(job_id)) is not None and run.status in FAILURES]
        parts = [
            _failed(ends, jobs, last, failing=set(failing)),
            _recovered(ends, jobs, last, suspects=suspects),
            self._slower(reading, ends, jobs),
            _unmet(ends, jobs, Status.MISSED),
            _unmet(ends, jobs, Status.SKIPPED),
            self._never_ran(reading),
        ]
        others = [section for source in self._sources for section in source(reading)]
        return Contents(
            reading=reading,
            sections=tuple(section for section in [*parts, *others] if section.count),
            runs=sum(end.count for end in ends if end.status not in {Status.MISSED, Status.SKIPPED}),
            failures=sum(end.count for end in ends if end.status in FAILURES),
            failing=tuple(failing),
        )

    def _seen(self, reading: Reading, ends: Iterable[EndsOfJob]) -> Mapping[str, Job]:
        """Returns the jobs that ended, or that failed before, by id: those that the reader sees, and that have one of the tags."""
        weights: dict[str, tuple[int, float]] = dict.fromkeys(reading.failing, (1, 0.0))
        for end in ends:
            bad, seconds = weights.get(end.job_id, (0, 0.0))
            weights[end.job_id] = (bad + end.count * (end.status != Status.SUCCESS), seconds + end.seconds)
        chosen = sorted(weights, key=lambda job_id: weights[job_id], reverse=True)[:MOST_JOBS]
        jobs, _ = self._stores.directory.part(reading.reader, JobFilter(ids=chosen), skip=0, limit=MOST_JOBS) if chosen else ([], 0)
        return {job.id: job for job in jobs if _has_tag(job, reading)}

    def _slower(self, reading: Reading, ends: Iterable[EndsOfJob], jobs: Mapping[str, Job]) -> Section:
        ran = sorted((end for end in ends if end.status == Status.SUCCESS), key=lambda end: end.seconds, reverse=True)
        lines = []
        for end in ran[:MOST_TIMED]:
            spans = self._spans(end.job_id, reading)
            if spans is not None:
                now, before = spans
                words = say("{job} took {now:.1f} s (median), before {before:.1f} s", job=_name(jobs[end.job_id]), now=now, before=before)
                lines.append((now / max(before, 0.1), Line(words=words, path=f"/jobs/{end.job_id}")))
        lines.sort(key=lambda pair: pair[0], reverse=True)
        return Section.of("slower", say("Slower than before"), (line for _, line in lines), path="/jobs")

    def _spans(self, job_id: str, reading: Reading) -> tuple[float, float] | None:
        """Returns the median of the durations in the span, and of those before it, if the first one is longer; else None."""
        new = self._stores.review.seconds_of_successes(job_id, reading.begin, reading.end, MOST_RUNS)
        if not new or max(new) < LEAST_SECONDS:
            return None
        old = self._stores.review.seconds_of_successes(job_id, None, reading.begin, MOST_RUNS)
        return slower_than_before(new, old)

    def _never_ran(self, reading: Reading) -> Section:
        query = JobFilter(last_status=NEVER, enabled=True, paused=False)
        jobs, _ = self._stores.directory.part(reading.reader, query, sort="created_at", skip=0, limit=MOST_JOBS)
        waiting = [job for job in jobs if job.created_at <= reading.end - NEW_FOR and _has_tag(job, reading) and _is_timed(job)]
        lines = (
            Line(
                words=say("{job} was created on {day} and has never run", job=_name(job), day=f"{job.created_at:%Y-%m-%d}"),
                path=f"/jobs/{job.id}",
            )
            for job in waiting
        )
        return Section.of("never_ran", say("Never ran"), lines, path="/jobs?last_status=never", is_news=False)


def slower_than_before(new: Sequence[float], old: Sequence[float]) -> tuple[float, float] | None:
    """Returns the medians of new and old durations if the new runs are slower: by half, by a second, and than 95 of 100 old ones.

    Old runs of 10 s with a few of 12 s: 16 s is slower, 14 s is not. With fewer than 20 old runs nothing is said.
    """
    if not new or len(old) < ENOUGH:
        return None
    now, before = median(new), median(old)
    slow = now >= SLOWER * before and now - before >= LEAST_SECONDS and now > quantiles(old, n=20)[-1]
    return (now, before) if slow else None


def _failed(ends: Iterable[EndsOfJob], jobs: Mapping[str, Job], last: Mapping[str, Outline], *, failing: Collection[str]) -> Section:
    lines = [
        Line(
            words=say_many("{job}: {count} failed run", "{job}: {count} failed runs", count, job=_name(jobs[job_id])),
            path=f"/executions/{last[job_id].id}",
            detail=one_line(last[job_id].error or "")[:LONGEST_ERROR],
        )
        for job_id, count in _counts(ends, FAILURES)
        if job_id in failing
    ]
    return Section.of("failed", say("Failed"), lines, path="/executions?status=failed")


def _recovered(ends: Iterable[EndsOfJob], jobs: Mapping[str, Job], last: Mapping[str, Outline], *, suspects: Iterable[str]) -> Section:
    counts = dict(_counts(ends, FAILURES))
    lines = [
        Line(
            words=say_many(
                "{job} works again, after {count} failed run",
                "{job} works again, after {count} failed runs",
                counts[job_id],
                job=_name(jobs[job_id]),
            )
            if counts.get(job_id)
            else say("{job} works again", job=_name(jobs[job_id])),
            path=f"/executions/{last[job_id].id}",
        )
        for job_id in suspects
        if job_id in last and last[job_id].status == Status.SUCCESS
    ]
    return Section.of("recovered", say("Recovered"), lines, path="/executions?status=success")


def _unmet(ends: Iterable[EndsOfJob], jobs: Mapping[str, Job], status: Status) -> Section:
    """Returns the part about scheduled times without a run. What was skipped was to be, so that it is no news."""
    of_status: Callable[[str, int], str] = _missed_words if status is Status.MISSED else _skipped_words
    lines = [Line(words=of_status(_name(jobs[job_id]), count), path=f"/jobs/{job_id}") for job_id, count in _counts(ends, {status.value})]
    missed = status is Status.MISSED
    return Section.of(
        status.value,
        say("Missed") if missed else say("Skipped"),
        lines,
        path=f"/executions?status={status.value}",
        is_news=missed,
    )


def _missed_words(job: str, count: int) -> str:
    return say_many("{job}: {count} missed run", "{job}: {count} missed runs", count, job=job)


def _skipped_words(job: str, count: int) -> str:
    return say_many("{job}: {count} skipped run", "{job}: {count} skipped runs", count, job=job)


def _counts(ends: Iterable[EndsOfJob], statuses: Collection[str]) -> list[tuple[str, int]]:
    """Returns how often each job ended with one of these statuses, the most often first."""
    counts: dict[str, int] = {}
    for end in ends:
        if end.status in statuses:
            counts[end.job_id] = counts.get(end.job_id, 0) + end.count
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _has_tag(job: Job, reading: Reading) -> bool:
    return not reading.tags or not reading.tags.isdisjoint(job.definition.tags)


def _is_timed(job: Job) -> bool:
    return job.definition.schedule.trigger.is_timed


def _name(job: Job) -> str:
    return one_line(job.definition.name)
