"""The sources that jobs can be imported from. A new one is a class in a file of its own, and its entry in SOURCES below."""

from __future__ import annotations

import re

from app.imports.sources.agenda import Agenda
from app.imports.sources.anacrontab import Anacrontab
from app.imports.sources.apscheduler import ApScheduler
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.celery_beat import CeleryBeat
from app.imports.sources.cronicle import Cronicle
from app.imports.sources.crontab import Crontab
from app.imports.sources.kubernetes import Kubernetes
from app.imports.sources.rundeck import Rundeck
from app.imports.sources.systemd import Systemd

_KNOWN: tuple[Source, ...] = (
    Crontab(),
    Anacrontab(),
    Systemd(),
    Kubernetes(),
    Rundeck(),
    Cronicle(),
    Agenda(),
    ApScheduler(),
    CeleryBeat(),
)
SOURCES: dict[str, Source] = {source.type: source for source in _KNOWN}
_TYPE = re.compile(r"[a-z][a-z0-9-]*")


def split_place(text: str) -> tuple[Source, str]:
    """Returns the source and the place of `TYPE:PLACE`, such as `crontab:/etc/crontab`. Without a type it is a crontab. The place of a
    store may be missing. Raises SourceError."""
    kind, colon, place = text.partition(":")
    source = SOURCES.get(kind)
    if source is not None and (place or source.is_store):
        return source, place
    if colon and source is None and _TYPE.fullmatch(kind):
        raise SourceError(f"{kind!r} is not a source that can be imported. Known sources: {', '.join(SOURCES)}.")
    return SOURCES[Crontab.type], text


__all__ = ["SOURCES", "Source", "SourceError", "SourceOptions", "split_place"]
