"""A corpus for each source that jobs can be imported from: at least 200 entries as people have them.

A corpus is a module with the name of the type of the source (`-` is written as `_`) and a function `make(folder, mongod)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from app.imports.entries import Entry
from app.imports.sources import SourceOptions
from tests.builders.plans import NOW


def _values(entry: Entry) -> set[str]:
    return set(entry.values)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Where the entries are, the options to read them with, how many entries there are, and which fields of an entry must have a fate."""

    place: str
    options: SourceOptions
    entries: int
    fields: Callable[[Entry], set[str]] = field(default=_values)


def corpus_of(source: str, folder: Path, mongod: str) -> Corpus:
    """The corpus of a source, made in a folder or a database of its own."""
    made: Corpus = import_module(f"tests.builders.corpora.{source.replace('-', '_')}").make(folder, mongod)
    return made


def berlin(**options: object) -> SourceOptions:
    """Options of a machine in Berlin."""
    return SourceOptions(machine="web1", timezone="Europe/Berlin", now=NOW, **options)  # type: ignore[arg-type]
