"""A small API of one blueprint, without tokens and without a database."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_smorest import Api, Blueprint

from app.api.body import BodyMixin
from app.api.errors import answers_in, jobwright_errors
from app.api.etag import EtagMixin
from app.api.idempotency import IdempotencyMixin
from app.api.operation import prepare_request_doc


class OpenBlueprint(BodyMixin, EtagMixin, IdempotencyMixin, Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """What ApiBlueprint adds to flask-smorest, but for the tokens."""

    def __init__(self, name: str = "things") -> None:
        super().__init__(name, __name__, url_prefix=f"/{name}")
        self._prepare_doc_cbks.append(prepare_request_doc)
        self.register_error_handler(Exception, answers_in(jobwright_errors))


def serve(*blueprints: OpenBlueprint) -> Flask:
    """Returns an application with these blueprints and their OpenAPI document at /openapi.json."""
    app = Flask(__name__)
    app.config.update(
        API_TITLE="Things", API_VERSION="1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX="/", OPENAPI_JSON_PATH="openapi.json"
    )
    api = Api(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    return app


def operation(app: Flask, path: str, method: str) -> dict[str, Any]:
    """Returns the operation of the OpenAPI document."""
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    found: dict[str, Any] = document["paths"][path][method]
    return found
