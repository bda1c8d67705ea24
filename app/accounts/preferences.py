"""What each person has set for themselves: the language and the zone in which they read pages, and views of the list of jobs."""

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
# What pages speak, each by its own name.
LANGUAGES = {"en": "English", "de": "Deutsch"}


@dataclass(frozen=True, slots=True)
class View:
    """A named list of jobs: `query` is what follows the `?` of its address."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Preference:
    """One person's. `zone` is an IANA name, `language` one of LANGUAGES; empty: that of their browser."""

    zone: str = ""
    language: str = ""
    views: tuple[View, ...] = ()


class Preferences:
    """For people; programs have none."""

    def __init__(self, store: PreferenceStore) -> None:
        self._store = store

    def of(self, actor: Actor) -> Preference:
        """What the actor has set; the defaults where that is nothing."""
        row = self._store.get(actor.id)
        views = tuple(View(one["name"], one["query"]) for one in row.get("views", ()))
        return Preference(row.get("zone", ""), row.get("language", ""), views)

    def set_reading(self, actor: Actor, zone: str, language: str) -> None:
        """The zone of times and the language of pages; empty for those of the browser. Raises ValidationFailed for one that is none."""
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
        """Keep a list under a name, in place of the one of that name. Raises ValidationFailed, LimitReached."""
        require(actor, May.OWN_ACCOUNT)
        name, problem = read_name(name)
        kept = urlencode([(key, value) for key, value in parse_qsl(query) if key != "page"])
        errors = [FieldError("/name", problem)] if problem else []
        errors += (
            [FieldError("/name", say("must have 1 to {most} characters", most=LONGEST_NAME))] if not 0 < len(name) <= LONGEST_NAME else []
        )
        errors += [FieldError("/query", "narrows nothing")] if not kept else []
        errors += [FieldError("/query", say("has more than {most:,} characters", most=LONGEST_QUERY))] if len(kept) > LONGEST_QUERY else []
        if errors:
            raise ValidationFailed(errors)
        view = View(name, kept)
        if not self._store.put_view(actor.id, name, kept, most=MOST_VIEWS):
            raise LimitReached(say("You have {most} views; remove one first", most=MOST_VIEWS))
        return view

    def drop_view(self, actor: Actor, name: str) -> None:
        """Forget a view; one that is not there is left so."""
        require(actor, May.OWN_ACCOUNT)
        self._store.drop_view(actor.id, spellings(name))
