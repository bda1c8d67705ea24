"""The real-shaped lines of tests/data/import, as one crontab of a user."""

from __future__ import annotations

from pathlib import Path

from tests.builders.corpora import Corpus, berlin

DATA = Path(__file__).parents[2] / "data/import"


def make(folder: Path, mongod: str) -> Corpus:
    path = folder / "tab"
    path.write_text("".join((DATA / f"{name}.crontab").read_text() + "\n" for name in ("user", "more")))
    options = berlin(own={"layout": "user", "home": "/home/app"})
    return Corpus(place=str(path), options=options, entries=200, fields=lambda _: {"command"})
