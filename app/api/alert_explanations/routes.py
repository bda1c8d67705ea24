"""Why people were told of an execution, or were not, over REST."""

from __future__ import annotations

from typing import Any

from app.api.alert_explanations.schemas import ExplainedList, explained_json
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services

blueprint = ApiBlueprint(
    "Alert explanations",
    __name__,
    url_prefix="/api/admin/alert-explanations",
    description="Why people were told of an execution, or were not",
)


@blueprint.get("/<execution_id>")
@blueprint.response(200, ExplainedList)
def explain_alerts(execution_id: str) -> dict[str, Any]:
    """Read why somebody was told of an execution that has ended, or was not: one line for each rule, with its reason"""
    execution = services().history.get(actor(), execution_id)
    return {"rules": [explained_json(line) for line in services().explanations.of(actor(), execution)]}
