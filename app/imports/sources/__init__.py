"""The sources that Jobwright can import from, by their type."""

from __future__ import annotations

from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.crontab import Crontab

SOURCES: dict[str, Source] = {source.type: source for source in (Crontab(),)}


def split_place(text: str) -> tuple[Source, str]:
    """Returns the source and the place of `TYPE:PLACE`, such as `crontab:/etc/crontab`. Without a type it is a crontab. Raises
    SourceError."""
    kind, colon, place = text.partition(":")
    if colon and kind in SOURCES and place:
        return SOURCES[kind], place
    if colon and kind.isalnum() and kind.islower() and "/" not in kind and kind not in SOURCES:
        raise SourceError(f"{kind!r} is not a source that can be imported. Known sources: {', '.join(SOURCES)}.")
    return SOURCES[Crontab.type], text


__all__ = ["SOURCES", "Source", "SourceError", "SourceOptions", "split_place"]
