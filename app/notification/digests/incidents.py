"""The part of a digest about incidents that are open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.accounts.permissions import May, lacks
from app.notification.digests.model import Line, Reading, Section
from app.notification.incidents.incident import Incident, IncidentFilter
from app.notification.incidents.store import IncidentStore
from app.validation.terminal import one_line
from templates_lib.messages import say

MOST_INCIDENTS = 1_000


class OpenIncidents:
    """Reads the incidents that the reader sees and of which people were told. A digest about jobs with some tags has none: incidents do not
    have the tags of their jobs."""

    def __init__(self, incidents: IncidentStore) -> None:
        self._incidents = incidents

    def __call__(self, reading: Reading) -> Iterable[Section]:
        if not reading.tags and lacks(reading.reader, May.SEE_RULES) is None:
            yield Section.of("incidents", say("Open incidents"), self._lines(reading), path="/incidents")

    def _lines(self, reading: Reading) -> Iterator[Line]:
        rows = self._incidents.page(IncidentFilter(open=True), groups=reading.reader.groups, limit=MOST_INCIDENTS)
        for row in rows:
            if row.told and row.opened_at <= reading.end:
                yield Line(words=_words(row), path=f"/incidents/{row.id}")


def _words(incident: Incident) -> str:
    subject, rule = one_line(incident.subject.name), one_line(incident.rule)
    since = f"{incident.opened_at:%Y-%m-%d}"
    if incident.acknowledged is not None:
        by = incident.acknowledged.by
        return say("{subject} ({rule}), since {since}, acknowledged by {person}", subject=subject, rule=rule, since=since, person=by)
    return say("{subject} ({rule}), since {since}", subject=subject, rule=rule, since=since)
