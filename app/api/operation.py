"""What decorators of a view add to its operation in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

# Keys in `_apidoc`, where flask-smorest keeps what its own decorators say of a view.
_BODY, _HEADERS, _OPERATION = "jobwright_body", "jobwright_headers", "jobwright_operation"


def describe(
    view: Callable[..., Any],
    *,
    body: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
    operation_id: str | None = None,
    is_open: bool = False,
) -> None:
    """Adds a Request Body Object, a header's Parameter Object or an operationId (OpenAPI 3.1, 4.8) to the operation of `view`.

    is_open: the operation needs no token.
    """
    notes = deepcopy(getattr(view, "_apidoc", {}))  # the decorated view has the same dictionary
    if body is not None:
        notes[_BODY] = body
    if header is not None:
        notes.setdefault(_HEADERS, []).append(header)
    if operation_id is not None:
        notes[_OPERATION] = {"operationId": operation_id, **({"security": []} if is_open else {})}
    view._apidoc = notes  # type: ignore[attr-defined]  # where flask-smorest looks for it


def prepare_request_doc(operation: dict[str, Any], notes: Mapping[str, Any], **_: Any) -> dict[str, Any]:
    """Returns the Operation Object with what `describe` noted; called by flask-smorest for each operation."""
    described = {**notes.get(_OPERATION, {}), **operation}
    if _BODY in notes:
        described["requestBody"] = notes[_BODY]
    if _HEADERS in notes:
        described["parameters"] = [*operation.get("parameters", ()), *notes[_HEADERS]]
    return described
