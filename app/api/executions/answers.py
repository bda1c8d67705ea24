"""The answer about a run that was just asked for."""

from __future__ import annotations

from flask import Response, jsonify, url_for

from app.api.current import services
from app.api.present import execution_json
from app.api.waiting import when_ended
from app.queue.execution import Execution


def asked_run(execution: Execution, seconds: int) -> Response:
    """Returns the answer about a run: the execution, and what has become of it. With `seconds`, waits so long for its end.

    The status is 200 if it has ended while it was waited for, else 202.
    """

    def show(execution: Execution) -> Response:
        answer = jsonify(
            {"execution": execution_json(execution), "execution_id": execution.id, "message": services().runs.standing(execution)}
        )
        answer.status_code = 200 if seconds and not execution.is_live else 202
        answer.headers["Location"] = url_for("Executions.get_execution", execution_id=execution.id)
        return answer

    return when_ended(execution, seconds, show)
