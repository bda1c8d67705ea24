"""flask-smorest's blueprint with what every resource of the API has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request
from flask_smorest import Blueprint
from marshmallow import RAISE
from webargs.flaskparser import FlaskParser

from app.api.auth import authenticate
from app.api.body import BodyMixin
from app.api.errors import ErrorFormat, answers_in, jobwright_errors
from app.api.etag import EtagMixin
from app.api.event_stream import EventStreamMixin
from app.api.idempotency import IdempotencyMixin
from app.api.operation import describe, prepare_request_doc

View = Callable[..., Any]


class _StrictParser(FlaskParser):
    """Refuses query parameters that no schema names, so that `?enable=true` does not list everything."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, Any] = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}  # noqa: RUF012 - webargs' interface


class OpenBlueprint(BodyMixin, EtagMixin, IdempotencyMixin, EventStreamMixin, Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """The routes of one resource, which anybody may use. Errors are answered in the format `errors`.

    `name` is the tag of the operations: documentation shows it as the heading of their group, and generators name a module after it.
    The `operationId` of an operation is the name of its function in camelCase: `list_jobs` is `listJobs`.
    """

    ARGUMENTS_PARSER = _StrictParser()
    IS_OPEN = True  # without a token

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        url_prefix: str = "",
        description: str,
        errors: ErrorFormat = jobwright_errors,
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix, description=description)
        self._prepare_doc_cbks.append(prepare_request_doc)  # after those of flask-smorest, which come first
        self.register_error_handler(Exception, answers_in(errors))

    def route(self, rule: str, *, parameters: Any = None, tags: Any = None, **options: Any) -> Callable[[View], View]:
        """Decorates the view of an address, as flask-smorest does, and names its operation."""
        add: Callable[[View], View] = super().route(rule, parameters=parameters, tags=tags, **options)

        def decorate(view: View) -> View:
            describe(view, operation_id=camel_case(view.__name__), is_open=self.IS_OPEN)
            return add(view)

        return decorate


class ApiBlueprint(OpenBlueprint):
    """The routes of one resource. Each request needs a token."""

    IS_OPEN = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_request(lambda: authenticate(request))


def camel_case(name: str) -> str:
    """Returns the name of a function as an operationId: `list_jobs` → `listJobs`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
