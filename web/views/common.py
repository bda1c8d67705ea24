"""What views share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import g, request

from app.audit.model import Actor
from web.forms.filled import small_number
from web.views.signin import services

Pairs = list[tuple[str, str]]


def actor() -> Actor:
    """Whoever is signed in."""
    found: Actor = g.actor
    return found


def posted() -> Pairs:
    """The posted form as (name, value) pairs, in the browser's order within a name."""
    return list(request.form.items(multi=True))


def page_number() -> int:
    """`?page=`, from 1; anything else is 1."""
    text = request.args.get("page", "1")
    return min(int(text), 100_000) if text.isdigit() and text.isascii() and len(text) < 7 and int(text) > 0 else 1


def posted_version() -> int | None:
    """The version that a form was drawn for; None where it names none."""
    number = small_number(request.form.get("version", ""))
    return number if number >= 0 else None


def live_options(source: Mapping[str, Any]) -> Sequence[str]:
    """What an `x-options` hint offers."""
    if source.get("from") == "connections":
        return services().connections.options(str(source.get("kind", "")))
    return ()


def is_htmx() -> bool:
    """True where htmx asks for a part of a page."""
    return bool(request.headers.get("HX-Request"))
