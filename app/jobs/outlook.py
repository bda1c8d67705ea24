"""Warnings about a job whose runs will all fail, as far as that can be known when it is saved, and about a schedule that says something
else than people may expect. They never keep a job from being saved: a host may be made tomorrow, a connection may answer again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import httpx

from app.config import Settings
from app.connections.inventory import Inventory
from app.connections.service import Connections
from app.errors import FieldError
from app.events import get_logger
from app.jobs.model import JobDefinition
from app.jobs.recipients import split
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from app.labels import union
from templates_lib.base import Call, Program
from templates_lib.messages import Said, say, say_many
from templates_lib.net import Addresses, lookup, refused_address

log = get_logger(__name__)

LOOKUP_SECONDS = 2.0  # for all hosts of a request together
MOST_CALLS = 20  # of a job that are looked at
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Target:
    """An address that a job calls, its pointer in the definition, and the connection that the call goes through, if any."""

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
    """Asks the health of connections and the name service, for no longer than LOOKUP_SECONDS, and `takes`: whether some node takes
    executions that need some labels; and `channel_problem`: why messages cannot go to the channel of a name."""

    def __init__(
        self,
        catalogue: Catalogue,
        connections: Connections,
        settings: Settings,
        takes: Callable[[Iterable[str]], bool] = lambda needs: True,
        channel_problem: Callable[[str], str | None] = lambda name: None,
    ) -> None:
        self._catalogue, self._connections, self._settings, self._takes = catalogue, connections, settings, takes
        self._channel_problem = channel_problem

    def warnings(self, definition: JobDefinition) -> tuple[FieldError, ...]:
        """Returns what will make each run of a job fail, and what is unexpected about its schedule, at pointers into its definition."""
        return self.of_all([definition])[0]

    def of_all(self, definitions: Sequence[JobDefinition]) -> list[tuple[FieldError, ...]]:
        """Returns the same for several jobs; each host is looked up once."""
        told = [(definition, self._catalogue.find(definition.template_type)) for definition in definitions]
        targets = [list(_targets(entry, definition)) if entry else [] for definition, entry in told]
        hosts = lookup({(target.host, target.port) for of_job in targets for target in of_job}, LOOKUP_SECONDS)
        return [
            tuple(chain(self._of_parameters(entry, definition), self._unreached(of_job, hosts), self._of_job(definition))) if entry else ()
            for (definition, entry), of_job in zip(told, targets, strict=True)
        ]

    def mail_problem(self) -> str | None:
        """Returns why outcomes cannot be mailed; None if they can."""
        name = self._settings.notify_connection
        if not name:
            return say("Jobwright cannot send mail yet. Set JOBWRIGHT_NOTIFY_CONNECTION to the name of an SMTP connection, and restart.")
        if name not in self._connections.options("smtp"):
            return say("There is no SMTP connection {name!r}. Create it, or change JOBWRIGHT_NOTIFY_CONNECTION.", name=name)
        return self._connections.silence_of(name)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _of_parameters(self, entry: TemplateVersion, definition: JobDefinition) -> Iterator[FieldError]:
        yield from self._silent(entry, definition)
        yield from self._unlisted(entry, definition)

    def _of_job(self, definition: JobDefinition) -> Iterator[FieldError]:
        yield from definition.schedule.trigger.remarks()
        yield from self._unmailed(definition)
        yield from self._unplaced(definition)

    def _silent(self, entry: TemplateVersion, definition: JobDefinition) -> Iterator[FieldError]:
        for pointer, name, _ in Inventory.of(entry.parameters_schema, definition.parameters).connections():
            silence = self._connections.silence_of(name)
            if silence is not None:
                yield FieldError(f"/parameters{pointer}", silence)

    def _unplaced(self, definition: JobDefinition) -> Iterator[FieldError]:
        needs = union(definition.needs, self._catalogue.needs(definition.template_type))
        if needs and not self._takes(needs):
            words = say_many(
                "No running node has the label {labels}. Runs wait until a node has it.",
                "No running node has the labels {labels}. Runs wait until a node has all of them.",
                len(needs),
                labels=", ".join(needs),
            )
            yield FieldError("/needs", words)

    def _unlisted(self, entry: TemplateVersion, definition: JobDefinition) -> Iterator[FieldError]:
        for program in _programs(entry, definition):
            if program.path not in self._settings.command_programs:
                words = say(
                    "{path} is not one of the programs that jobs may start. Runs fail unless JOBWRIGHT_COMMAND_PROGRAMS lists it.",
                    path=program.path,
                )
                yield FieldError(f"/parameters{program.pointer}", words)

    def _unmailed(self, definition: JobDefinition) -> Iterator[FieldError]:
        lists = {"on_success": definition.notifications.on_success, "on_failure": definition.notifications.on_failure}
        for name, recipients in lists.items():
            addresses, channels = split(recipients)
            problems = [self.mail_problem() if addresses else None, *map(self._channel_problem, channels)]
            for words in problems:
                if words is not None:
                    yield FieldError(f"/notifications/{name}", words)

    def _unreached(self, targets: Iterable[_Target], hosts: Addresses) -> Iterator[FieldError]:
        for target in targets:
            words = self._why_not(target, hosts.get((target.host, target.port)))
            if words is not None:
                yield FieldError(target.pointer, words)

    def _why_not(self, target: _Target, addresses: Sequence[str] | None) -> str | None:
        """Returns why no run reaches an address, None if it may. `addresses` is None if the name service did not answer in time."""
        if target.connection is not None and not self._connections.reaches(target.connection, str(target.url)):
            return say(
                "the connection {name!r} does not allow {what!r}; a super-admin can change that",
                name=target.connection,
                what=str(target.url),
            )
        if addresses is None:
            return None
        if not addresses:
            return say("The host name {host} cannot be resolved at the moment. A run would fail.", host=target.host)
        allowed = {host.lower() for host in self._settings.allowed_hosts}
        if target.connection is not None or {target.host, f"{target.host}:{target.port}"} & allowed:
            return None
        private = refused_address(addresses)
        if private is None:
            return None
        return _refused_by_policy(target.host, private)


def _refused_by_policy(host: str, address: str) -> Said:
    """Returns the sentence that jobs may not call a host, because it has or is this private address."""
    if host.strip("[]") == address:
        return say(
            "{host} is a private or local address. Runs fail unless a connection allows it or JOBWRIGHT_ALLOWED_HOSTS lists it.",
            host=host,
        )
    return say(
        "{host} resolves to {address}, a private or local address. Runs fail unless a connection allows the host or "
        "JOBWRIGHT_ALLOWED_HOSTS lists it.",
        host=host,
        address=address,
    )


def _targets(entry: TemplateVersion, definition: JobDefinition) -> Iterator[_Target]:
    for call in _calls(entry, definition):
        try:
            url = httpx.URL(call.url)
            host = url.host
        except (httpx.InvalidURL, UnicodeError, TypeError):
            continue  # an expression, whose value the run will know
        if host and url.scheme in {"http", "https"}:
            yield _Target(f"/parameters{call.pointer}", url, call.connection)


def _calls(entry: TemplateVersion, definition: JobDefinition) -> list[Call]:
    """Returns the calls of a job, as its template lists them; none if the template cannot read the parameters."""
    return _listed(entry, entry.template.calls, definition)


def _programs(entry: TemplateVersion, definition: JobDefinition) -> list[Program]:
    """Returns the programs that a job starts, likewise."""
    return _listed(entry, entry.template.programs, definition)


def _listed(entry: TemplateVersion, ask: Callable[[Mapping[str, Any]], Iterable[T]], definition: JobDefinition) -> list[T]:
    try:
        return list(islice(ask(definition.parameters), MOST_CALLS))
    except Exception as error:  # of another package's template, which the parameters need not suit
        log.info("job.calls_unknown", template=entry.type, reason=type(error).__name__)
        return []
