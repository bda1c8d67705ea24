"""The samples and routes of the documents in tests/data/documents."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "documents"
HYBRID = "hybrid-job-management"
NAMED = "scheduler-service"
REGISTRY = "dynamic-job-registry"
TYPES = "scheduler-service-complete"
COMMANDS = "scheduler-service-for-commands"
DOCUMENTS = (HYBRID, NAMED, REGISTRY, TYPES, COMMANDS)
_ROUTE = re.compile(r"(?:^|`)(GET|POST|PUT|DELETE)\s+(/[^\s`?]*)", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Place:
    """Where a sample stands: the `number`-th one, from 1, below a heading."""

    document: str
    heading: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.document}: {self.heading}, {self.number}"


def sample(document: str, heading: str, number: int = 1) -> str:
    """The text of a sample."""
    return samples()[Place(document, heading, number)]


@cache
def samples() -> dict[Place, str]:
    """Every sample of the documents."""
    return dict(sample for document in DOCUMENTS for sample in _samples(document))


def _samples(document: str) -> Iterator[tuple[Place, str]]:
    heading, block, count = "", None, Counter[str]()
    for line in (FOLDER / f"{document}.md").read_text().splitlines():
        if line.startswith("```"):
            if block is None:
                block = []
                continue
            count[heading] += 1
            yield Place(document, heading, count[heading]), "\n".join(block)
            block = None
        elif block is not None:
            block.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()


def curl_lines(text: str) -> list[str]:
    """The commands of a sample that call curl, each with all its lines."""
    commands: list[str] = []
    for line in text.splitlines():
        if commands and not _is_whole(commands[-1]):
            commands[-1] += f"\n{line}"
        elif line.startswith("curl "):
            commands.append(line)
    return [command.split(" | ")[0] for command in commands]


def _is_whole(command: str) -> bool:
    if command.endswith("\\"):
        return False
    try:
        shlex.split(command.replace("\\\n", " "))
    except ValueError:  # a quotation that is not closed
        return False
    return True


def environment(text: str) -> dict[str, str]:
    """The variables that a sample of settings sets."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return dict(pair for pair in pairs if len(pair) == 2)  # type: ignore[misc]


def routes() -> set[tuple[str, str]]:
    """(method, path) of each route that a document names, in the spelling of the document."""
    return {found.groups() for document in DOCUMENTS for found in _ROUTE.finditer((FOLDER / f"{document}.md").read_text())}  # type: ignore[misc]
