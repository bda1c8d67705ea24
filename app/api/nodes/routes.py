"""/api/admin/nodes"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.nodes.schemas import NodeEnvelope, NodeList, NodeWithRuns, node_json, runs_json
from app.scheduling.node_record import NodeSeen

blueprint = ApiBlueprint("Nodes", __name__, url_prefix="/api/admin/nodes", description="Processes that plan and run jobs, and their drains")


@blueprint.get("")
@blueprint.response(200, NodeList)
def list_nodes() -> dict[str, Any]:
    """List the nodes that were seen within a day, with their labels and load"""
    now = services().clock.now()
    return {"nodes": [node_json(node, now) for node in services().node_control.all(actor())]}


@blueprint.get("/<node_id>")
@blueprint.response(200, NodeWithRuns)
def get_node(node_id: str) -> dict[str, Any]:
    """Read one node, and what runs on it"""
    node = services().node_control.get(actor(), node_id)
    runs = services().overview.on_nodes(actor(), [node_id]).get(node_id, [])
    return {"node": node_json(node, services().clock.now()), "executions": runs_json(runs)}


@blueprint.post("/<node_id>/drain")
@blueprint.response(202, NodeEnvelope)
def drain_node(node_id: str) -> dict[str, Any]:
    """Drain a node: it claims nothing more within 5 seconds, and what runs on it continues"""
    return _answer(services().node_control.drain(actor(), node_id), "The node is draining")


@blueprint.post("/<node_id>/resume")
@blueprint.response(202, NodeEnvelope)
def resume_node(node_id: str) -> dict[str, Any]:
    """End the drain of a node: it claims runs again within 5 seconds"""
    return _answer(services().node_control.resume(actor(), node_id), "The node claims runs again")


def _answer(node: NodeSeen, message: str) -> dict[str, Any]:
    return {"node": node_json(node, services().clock.now()), "message": message}
