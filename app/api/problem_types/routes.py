"""/api/problems: what the type of a problem document means"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import OpenBlueprint
from app.api.problem_types.catalogue import PREFIX, all_types
from app.api.problem_types.schemas import ProblemTypeList, ProblemTypeOut, problem_type_json
from app.errors import NotFound

blueprint = OpenBlueprint("Problem types", __name__, url_prefix=PREFIX, description="What the types of problem documents mean")


@blueprint.get("")
@blueprint.response(200, ProblemTypeList)
def list_problem_types() -> dict[str, Any]:
    """List the types of problems that this API answers with"""
    return {"problems": [problem_type_json(kind) for kind in all_types()]}


@blueprint.get("/<problem>")
@blueprint.response(200, ProblemTypeOut)
def get_problem_type(problem: str) -> dict[str, Any]:
    """Read what one type of problem means; its address is the `type` of the problem document"""
    for kind in all_types():
        if kind.name == problem:
            return problem_type_json(kind)
    raise NotFound("problem type", problem)
