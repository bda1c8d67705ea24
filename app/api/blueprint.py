"""flask-smorest's blueprint with what every resource of the API has in common."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint
from marshmallow import RAISE
from webargs.flaskparser import FlaskParser

from app.api.auth import authenticate
from app.api.body import BodyMixin
from app.api.errors import ErrorFormat, answers_in, jobwright_errors
from app.api.etag import EtagMixin
from app.api.idempotency import IdempotencyMixin
from app.api.operation import prepare_request_doc


class _StrictParser(FlaskParser):
    """Refuses query parameters that no schema names, so that `?enable=true` does not list everything."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, Any] = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}  # noqa: RUF012 - webargs' interface


class ApiBlueprint(BodyMixin, EtagMixin, IdempotencyMixin, Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """The routes of one resource. Each request needs a token; errors are answered in the format `errors`."""

    ARGUMENTS_PARSER = _StrictParser()

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        url_prefix: str,
        description: str,
        errors: ErrorFormat = jobwright_errors,
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix, description=description)
        self._prepare_doc_cbks.append(prepare_request_doc)  # after those of flask-smorest, which come first
        self.before_request(lambda: authenticate(request))
        self.register_error_handler(Exception, answers_in(errors))
