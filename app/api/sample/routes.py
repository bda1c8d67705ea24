"""/api/admin/sample-data"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.sample.schemas import SampleOut, sample_json

blueprint = ApiBlueprint("Sample data", __name__, url_prefix="/api/admin/sample-data", description="A shop, jobs and their history to try")


@blueprint.get("")
@blueprint.response(200, SampleOut)
def get_sample_data() -> dict[str, Any]:
    """Read whether there is sample data"""
    return sample_json(services().samples.standing(actor()))


@blueprint.put("")
@blueprint.response(200, SampleOut)
def create_sample_data() -> dict[str, Any]:
    """Create the sample data, or what is missing of it"""
    return sample_json(services().samples.create(actor()))


@blueprint.delete("")
@blueprint.response(200, SampleOut)
def remove_sample_data() -> dict[str, Any]:
    """Remove the sample data, and the jobs that use it"""
    services().samples.remove(actor())
    return sample_json(services().samples.standing(actor()))
