"""What messages about failures show of a log: its last error and its last lines, without the secrets that the run had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from app.connections.inventory import Inventory
from app.errors import JobwrightError
from app.events import get_logger
from app.execution.log_store import LogStore
from app.execution.logs import at_least
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.parameters import ParameterPipeline
from app.mongo import Document
from app.notification.message import Excerpt, cut
from app.notification.texts import InWords
from app.queue.execution import Execution
from app.queue.model import FAILURES
from app.validation.terminal import plain
from templates_lib.connections import KINDS
from templates_lib.masks import Mask
from templates_lib.messages import say, say_many

log = get_logger(__name__)

MOST_LINES = 50
LONGEST_LINE = 500  # characters
LONGEST_LOG = 4_000  # characters of all last lines together; the oldest are left out first
SecretsOf: TypeAlias = Callable[[Execution], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What is shown of a log, without secrets: its last error, if there is one, and its last lines, oldest first."""

    error: str = ""
    lines: tuple[str, ...] = ()


class Excerpts:
    """Makes the excerpts of messages. `secrets_of` returns the secrets that a run had, in the clear; it raises JobwrightError where they
    cannot be known, and then nothing of the log is shown. `lines` is the number of last lines, at most MOST_LINES; 0 shows nothing."""

    def __init__(self, logs: LogStore, secrets_of: SecretsOf, *, lines: int = MOST_LINES) -> None:
        self._logs, self._secrets_of, self._lines = logs, secrets_of, lines

    def of(self, execution: Execution, language: str, in_words: InWords) -> tuple[Excerpt, ...]:
        """Returns what a message in this language shows of the log of an execution that failed; nothing for other ends."""
        return shown(self.extract(execution), language, in_words)

    def extract(self, execution: Execution) -> Extract:
        """Returns what is shown of the log of an execution that failed; nothing for other ends, and nothing of a log that cannot be read:
        the message is sent in any case."""
        if self._lines == 0 or execution.status not in FAILURES:
            return Extract()
        try:
            return self._read(execution)
        except JobwrightError:
            return Extract()
        except Exception as error:
            log.warning("excerpt.failed", execution=execution.id, reason=str(error)[:200])
            return Extract()

    def _read(self, execution: Execution) -> Extract:
        mask = Mask(self._secrets_of(execution))
        lines = self._logs.window(execution.id, -self._lines, self._lines).lines
        error = self._logs.last_of(execution.id, at_least("ERROR"))
        last = tuple(reversed(list(_last([_line(line, mask) for line in lines]))))
        return Extract(error="" if error is None else _line(error, mask), lines=last)


def shown(extract: Extract, language: str, in_words: InWords) -> tuple[Excerpt, ...]:
    """Returns the excerpts of a message in this language."""
    parts = (
        (say("The last error in the log"), (extract.error,) if extract.error else ()),
        (say_many("The last line of the log", "The last {count} lines of the log", len(extract.lines)), extract.lines),
    )
    return tuple(Excerpt(words=in_words(words, language), lines=texts) for words, texts in parts if texts)


def _line(line: Document, mask: Mask) -> str:
    """Returns a line as text: `12:00:01 ERROR no space left`."""
    return cut(f"{line['timestamp']:%H:%M:%S} {line['level']} {mask.text(plain(line['message']))}", LONGEST_LINE)


def _last(lines: Sequence[str]) -> Iterator[str]:
    """Yields the last lines, the newest first, as long as there is room."""
    left = LONGEST_LOG
    for line in reversed(lines):
        left -= len(line) + 1
        if left < 0:
            return
        yield line


def secrets_by(catalogue: Catalogue, pipeline: ParameterPipeline) -> SecretsOf:
    """Returns the function that finds the secrets of a run: those in its parameters, by the schema of its template, and those of the
    connections that it names, each whole and with the passwords in its addresses."""

    def secrets_of(execution: Execution) -> Iterator[str]:
        entry = catalogue.get(execution.template_type, execution.template_version)
        stored, version = execution.parameters, execution.code_version
        parameters = pipeline.open_stored(entry, stored if version is None else entry.upgrade_parameters(stored, version))
        for site in parameters.clear.secrets():
            yield from _texts(site.value)
        for grant in parameters.grants().values():
            for site in Inventory.of(KINDS[grant.kind].settings_schema, grant.settings).secrets():
                yield from _texts(site.value)

    return secrets_of


def _texts(secret: Any) -> Iterator[str]:
    """Yields every text in a secret, and the user's password of each that is an address."""
    if isinstance(secret, str):
        yield secret
        password = urlsplit(secret).password if "://" in secret and "@" in secret else None
        yield from (password, unquote(password)) if password else ()
    elif isinstance(secret, Mapping):
        for item in secret.values():
            yield from _texts(item)
    elif isinstance(secret, list):
        for item in secret:
            yield from _texts(item)
