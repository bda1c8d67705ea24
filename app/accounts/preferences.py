"""The personal settings of people: language and time zone of pages, and saved views of the list of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from app.accounts.permissions import May, require
from app.accounts.preference_store import PreferenceStore
from app.audit.model import Actor
from app.errors import FieldError, LimitReached, ValidationFailed
from app.validation.names import read_name, spellings
from app.zones import is_zone, not_a_zone
from templates_lib.messages import say

MOST_VIEWS = 30
LONGEST_NAME = 60
LONGEST_QUERY = 1_000
# The languages of the pages, each with its own name for itself.
LANGUAGES = {"en": "English", "de": "Deutsch"}


@dataclass(frozen=True, slots=True)
class View:
    """A saved list of jobs. `query` is the query string of its address."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Preference:
    """The settings of one person. `zone` is an IANA name and `language` one of LANGUAGES; empty means those of the browser."""

    zone: str = ""
    language: str = ""
    views: tuple[View, ...] = ()


class Preferences:
    """Reads and changes the settings of people. Programs have none."""

    def __init__(self, store: PreferenceStore) -> None:
        self._store = store

    def of(self, actor: Actor) -> Preference:
        """Returns the settings of the actor; the defaults if there are none."""
        row = self._store.get(actor.id)
        views = tuple(View(view["name"], view["query"]) for view in row.get("views", ()))
        return Preference(row.get("zone", ""), row.get("language", ""), views)

    def set_reading(self, actor: Actor, zone: str, language: str) -> None:
        """Sets the time zone and the language of pages; empty means those of the browser. Raises ValidationFailed for unknown ones."""
        require(actor, May.OWN_ACCOUNT)
        errors = []
        if zone and not is_zone(zone):
            errors.append(FieldError("/zone", not_a_zone(zone)))
        if language and language not in LANGUAGES:
            errors.append(FieldError("/language", say("must be one of {known}", known=", ".join(LANGUAGES))))
        if errors:
            raise ValidationFailed(errors)
        self._store.set_reading(actor.id, zone, language)

    def save_view(self, actor: Actor, name: str, query: str) -> View:
        """Saves a list under a name, in place of a view with the same name. Raises ValidationFailed, LimitReached."""
        require(actor, May.OWN_ACCOUNT)
        name, problem = read_name(name)
        kept_query = urlencode([(key, value) for key, value in parse_qsl(query) if key != "page"])
        errors = [FieldError("/name", problem)] if problem else []
        errors += (
            [FieldError("/name", say("must have 1 to {most} characters", most=LONGEST_NAME))] if not 0 < len(name) <= LONGEST_NAME else []
        )
        errors += [FieldError("/query", "contains no filter")] if not kept_query else []
        errors += (
            [FieldError("/query", say("has more than {most:,} characters", most=LONGEST_QUERY))] if len(kept_query) > LONGEST_QUERY else []
        )
        if errors:
            raise ValidationFailed(errors)
        view = View(name, kept_query)
        if not self._store.put_view(actor.id, name, kept_query, most=MOST_VIEWS):
            raise LimitReached(say("You already have {most} saved views, which is the limit. Remove one first", most=MOST_VIEWS))
        return view

    def drop_view(self, actor: Actor, name: str) -> None:
        """Removes a view. Does nothing if there is none with this name."""
        require(actor, May.OWN_ACCOUNT)
        self._store.drop_view(actor.id, spellings(name))
