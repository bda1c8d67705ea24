"""flask-smorest's blueprint, strict about queries."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE
from webargs.flaskparser import FlaskParser


class _StrictParser(FlaskParser):
    """A query parameter that nobody knows is an error, not silence: `?enable=true` must not list everything."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, Any] = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}  # noqa: RUF012 - webargs' interface


class ApiBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """One resource of the REST interface."""

    ARGUMENTS_PARSER = _StrictParser()
