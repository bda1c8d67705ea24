"""What can be known when a job is saved to fail each of its runs. It is a warning and never keeps the job from being saved: a host may be
made tomorrow, a connection may answer again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import httpx

from app.config import Settings
from app.connections.inventory import Inventory
from app.connections.service import Connections
from app.errors import FieldError
from app.events import get_logger
from app.jobs.model import JobDefinition
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import Entry
from templates_lib.base import Call
from templates_lib.messages import Said, say
from templates_lib.net import Addresses, lookup, refused_address

log = get_logger(__name__)

LOOKUP_SECONDS = 2.0  # for all hosts of a request together
MOST_CALLS = 20  # of a job that are looked at


@dataclass(frozen=True, slots=True)
class _Target:
    """An address that a job calls, at its pointer in the definition, and the connection that it goes through, if any."""

    pointer: str
    url: httpx.URL
    connection: str | None

    @property
    def host(self) -> str:
        return self.url.host.lower()

    @property
    def port(self) -> int:
        return self.url.port or (443 if self.url.scheme == "https" else 80)


class Outlook:
    """Asks connections' health and the name service; within LOOKUP_SECONDS, whatever they do."""

    def __init__(self, catalogue: Catalogue, connections: Connections, settings: Settings) -> None:
        self._catalogue, self._connections, self._settings = catalogue, connections, settings

    def warnings(self, definition: JobDefinition) -> tuple[FieldError, ...]:
        """What will fail each run of one job, at pointers into its definition."""
        return self.of_all([definition])[0]

    def of_all(self, definitions: Sequence[JobDefinition]) -> list[tuple[FieldError, ...]]:
        """The same of several; each host is looked up once."""
        told = [(definition, self._catalogue.find(definition.template_type)) for definition in definitions]
        targets = [list(_targets(entry, definition)) if entry else [] for definition, entry in told]
        hosts = lookup({(one.host, one.port) for mine in targets for one in mine}, LOOKUP_SECONDS)
        return [
            tuple(chain(self._silent(entry, definition), self._unreached(mine, hosts), self._unmailed(definition))) if entry else ()
            for (definition, entry), mine in zip(told, targets, strict=True)
        ]

    def mail_problem(self) -> str | None:
        """Why outcomes cannot be mailed; None where they can."""
        name = self._settings.notify_connection
        if not name:
            return say("No mail connection is set (JOBWRIGHT_NOTIFY_CONNECTION): nobody gets this mail")
        if name not in self._connections.options("smtp"):
            return say("There is no mail connection {name!r} (JOBWRIGHT_NOTIFY_CONNECTION): nobody gets this mail", name=name)
        return self._connections.silence_of(name)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _silent(self, entry: Entry, definition: JobDefinition) -> Iterator[FieldError]:
        for pointer, name, _ in Inventory.of(entry.parameters_schema, definition.parameters).connections():
            silence = self._connections.silence_of(name)
            if silence is not None:
                yield FieldError(f"/parameters{pointer}", silence)

    def _unmailed(self, definition: JobDefinition) -> Iterator[FieldError]:
        lists = {"on_success": definition.notifications.on_success, "on_failure": definition.notifications.on_failure}
        told = [name for name, recipients in lists.items() if recipients]
        words = self.mail_problem() if told else None
        for name in told:
            if words is not None:
                yield FieldError(f"/notifications/{name}", words)

    def _unreached(self, targets: Iterable[_Target], hosts: Addresses) -> Iterator[FieldError]:
        for one in targets:
            words = self._why_not(one, hosts.get((one.host, one.port)))
            if words is not None:
                yield FieldError(one.pointer, words)

    def _why_not(self, target: _Target, addresses: Sequence[str] | None) -> str | None:
        """Why no run reaches an address; `addresses` is None where the name service did not answer in time, so that nothing is known."""
        if target.connection is not None and not self._connections.reaches(target.connection, str(target.url)):
            return say("{name!r} does not reach {what!r}; a super-admin can allow it", name=target.connection, what=str(target.url))
        if addresses is None:
            return None
        if not addresses:
            return say("{host} cannot be resolved now: a run would fail", host=target.host)
        allowed = {one.lower() for one in self._settings.allowed_hosts}
        if target.connection is not None or {target.host, f"{target.host}:{target.port}"} & allowed:
            return None
        private = refused_address(addresses)
        if private is None:
            return None
        return _refused_by_policy(target.host, private)


def _refused_by_policy(host: str, address: str) -> Said:
    """Says that jobs may not call a host, because of an address that it has, or that it is."""
    if host.strip("[]") == address:
        return say(
            "{host} is a private or local address: runs are refused unless a connection names it or JOBWRIGHT_ALLOWED_HOSTS lists it",
            host=host,
        )
    return say(
        "{host} resolves to {address}, a private or local address: runs are refused unless a connection names the host or "
        "JOBWRIGHT_ALLOWED_HOSTS lists it",
        host=host,
        address=address,
    )


def _targets(entry: Entry, definition: JobDefinition) -> Iterator[_Target]:
    for call in _calls(entry, definition):
        try:
            url = httpx.URL(call.url)
            host = url.host
        except (httpx.InvalidURL, UnicodeError, TypeError):
            continue  # an expression, whose value the run will know
        if host and url.scheme in {"http", "https"}:
            yield _Target(f"/parameters{call.pointer}", url, call.connection)


def _calls(entry: Entry, definition: JobDefinition) -> list[Call]:
    """The calls of a job, as its template tells them; none where that cannot judge the parameters."""
    try:
        return list(islice(entry.template.calls(definition.parameters), MOST_CALLS))
    except Exception as error:  # of another package's template, which the parameters need not suit
        log.info("job.calls_unknown", template=entry.type, reason=type(error).__name__)
        return []
