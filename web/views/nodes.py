"""/nodes: the processes that plan and run jobs, their labels and load, and their drains."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks
from app.queue.execution import Outline
from app.scheduling.node_control import NodeState, state_of
from app.scheduling.node_record import NodeSeen
from templates_lib.messages import Said, say
from web.current import actor, services
from web.views.common import tell, unknown_filters

blueprint = Blueprint("node_pages", __name__, url_prefix="/nodes")

SKEW_SECONDS = 2.0  # a clock that differs by more is marked
FILTERS = ("q", "state", "label", "version", "live")
ROLES: dict[str, Said] = {"scheduler": say("scheduler"), "worker": say("worker")}
STATES: dict[str, tuple[str, Said, str]] = {
    NodeState.ONLINE.value: ("circle-check", say("online"), "good-text"),
    NodeState.DRAINING.value: ("clock", say("draining"), "amber-text"),
    NodeState.DRAINED.value: ("pause", say("drained"), "amber-text"),
    NodeState.DEAF.value: ("triangle-alert", say("without messages"), "wrong-text"),
    NodeState.OFFLINE.value: ("circle-alert", say("offline"), "wrong-text"),
}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as the list shows it. `runs` is what runs on it, of jobs that the viewer sees."""

    node: NodeSeen
    state: str
    runs: list[Outline]


@blueprint.get("")
def show() -> str:
    """Shows the nodes that match the filters. With `?live`, shows only the part that htmx refreshes."""
    now, nodes = services().clock.now(), services().node_control.all(actor())
    states = {node.id: state_of(node, now).value for node in nodes}
    runs = services().overview.on_nodes(actor(), [node.id for node in nodes])
    online = [node for node in nodes if node.lives(now)]
    rows = [NodeRow(node, states[node.id], runs.get(node.id, [])) for node in nodes if _matches(node, states[node.id])]
    return render_template(
        "partials/nodes.html" if "live" in request.args else "nodes.html",
        rows=rows,
        total=len(nodes),
        counts=Counter(states.values()),
        versions=sorted({node.version for node in online}),
        labels=sorted({label for node in nodes for label in node.labels}),
        used=sum(node.running for node in online),
        slots=sum(node.slots for node in online),
        manages=lacks(actor(), May.MANAGE_NODES) is None,
        skew=SKEW_SECONDS,
        states=STATES,
        roles=ROLES,
        listing=urlencode([("live", "1"), *((name, value) for name, value in request.args.items() if name != "live")]),
        unknown=unknown_filters(FILTERS),
    )


@blueprint.post("/<node_id>/drain")
def drain(node_id: str) -> Any:
    """Lets a node claim no further runs."""
    services().node_control.drain(actor(), node_id)
    tell(say("The node stops claiming runs within 5 seconds"), undo=url_for(".resume", node_id=node_id))
    return redirect(url_for(".show"))


@blueprint.post("/<node_id>/resume")
def resume(node_id: str) -> Any:
    """Lets a node that drains claim runs again."""
    services().node_control.resume(actor(), node_id)
    tell(say("The node claims runs again within 5 seconds"))
    return redirect(url_for(".show"))


def _matches(node: NodeSeen, state: str) -> bool:
    """Returns whether a node matches the filters in the address."""
    args = request.args
    words = args.get("q", "").strip().lower()[:200].split()
    text = " ".join([node.id, node.host, node.version, node.role, *node.labels, *node.queues]).lower()
    return (
        all(word in text for word in words)
        and args.get("state", "") in {"", state}
        and (not args.get("label") or args["label"] in node.labels)
        and (not args.get("version") or args["version"] == node.version)
    )
