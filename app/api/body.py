"""Request bodies: one decorator that reads, validates and documents a JSON body, and one for a file that is sent as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any

from flask import Request, request
from marshmallow import Schema
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.api.operation import describe
from app.errors import FieldError, ValidationFailed
from app.jobs.reading import body_validator
from app.validation import SchemaValidator, strict_json
from app.validation.together import beside
from app.validation.whole import as_whole

MAX_DEPTH = 64  # levels of JSON
MAX_BODY_BYTES = 2_000_000
JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})

BodySchema = Mapping[str, Any] | type[Schema]  # a JSON Schema (2020-12) or a marshmallow schema
View = Callable[..., Any]
# Called with the body, the errors that its schema found, and the parameters of the address by name.
FurtherErrors = Callable[..., Iterable[FieldError]]


class BodyMixin:
    """The decorators of a blueprint for request bodies."""

    def body(
        self,
        schema: BodySchema,
        *,
        required: bool = True,
        validate: bool = True,
        further_errors: FurtherErrors | None = None,
        media_types: Collection[str] | None = JSON_TYPES,
    ) -> Callable[[View], View]:
        """Decorates a view that takes a JSON body, which it gets as the keyword argument `body`.

        The OpenAPI document shows `schema`, by which numbers such as 5.0 become whole numbers. A body that does not satisfy it is answered
        with one problem document (422) that has a JSON Pointer for each error. A body that is not strict JSON is answered with 400, one of
        another content type with 415.

        required: without it, an empty body counts as `{}`.
        validate: False where the service that the view calls validates the body itself, because it knows more than the schema does and
            answers all errors at once, or because it checks the caller's rights first.
        further_errors: finds what the schema cannot know. It is called for valid and invalid bodies alike. Its errors are answered
            together with those of the schema, except where one of those explains them.
        media_types: those that are accepted; None accepts any, also a request that does not say what its body is.
        """
        validator = _validator_of(schema) if validate else None

        def decorate(view: View) -> View:
            @wraps(view)
            def with_body(*args: Any, **kwargs: Any) -> Any:
                value = as_whole(schema, read_json(request, required=required, media_types=media_types))
                if validator is not None:
                    check(value, validator, further_errors)
                return view(*args, body=value, **kwargs)

            describe(with_body, body={"required": required, "content": {"application/json": {"schema": schema}}})
            return with_body

        return decorate

    def text_body(self, content: Mapping[str, Any], *, media_types: Collection[str] | None = None) -> Callable[[View], View]:
        """Decorates a view that takes a file, whose text it gets as the keyword argument `text`; the service that it calls reads the file.

        content: the Media Type Objects of the OpenAPI document, by media type.
        media_types: those that are accepted; another one is answered with 415. By default any is.

        A file that is not UTF-8 is answered with 400.
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def with_text(*args: Any, **kwargs: Any) -> Any:
                if media_types is not None and request.mimetype not in media_types:
                    raise UnsupportedMediaType(f"Send the file as {' or '.join(content)}")
                return view(*args, text=_read_text(request), **kwargs)

            describe(with_text, body={"required": True, "content": content})
            return with_text

        return decorate


def read_json(request: Request, *, required: bool = True, media_types: Collection[str] | None = JSON_TYPES) -> Any:
    """Returns the JSON value of the body (RFC 8259, no duplicate names); `{}` for an empty body unless it is `required`.

    Raises BadRequest (400) for what is not JSON, UnsupportedMediaType (415) for another content type.
    """
    raw = request.get_data(cache=False)
    if not raw and not required:
        return {}
    if media_types is not None and request.mimetype not in media_types:
        raise UnsupportedMediaType("Send the body as application/json")
    try:
        return strict_json.parse(raw.decode("utf-8"), deepest=MAX_DEPTH)
    except strict_json.JsonRefused as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from error
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from error


def check(value: Any, validator: SchemaValidator, further_errors: FurtherErrors | None = None) -> None:
    """Raises ValidationFailed with everything that is wrong with a body."""
    errors = validator.errors(value)
    if further_errors is not None:
        errors = beside(errors, further_errors(value, errors, **(request.view_args or {})))
    if errors:
        raise ValidationFailed(errors)


def _validator_of(schema: BodySchema) -> SchemaValidator:
    return SchemaValidator(schema) if isinstance(schema, Mapping) else body_validator(schema())


def _read_text(request: Request) -> str:
    try:
        return request.get_data(cache=False).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("The file is not UTF-8 text") from error
