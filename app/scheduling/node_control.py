"""Nodes for people and programs: which there are, what they take, and the drains that people ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.broker.queues import DEFAULT_ROUTE, routes_in
from app.clock import Clock
from app.errors import Conflict, NotFound
from app.labels import missing, union
from app.scheduling.node_store import NodeSeen, NodeStore
from templates_lib.messages import Said, say, say_many


class NodeState(StrEnum):
    """How a node is."""

    ONLINE = "online"  # it claims executions, or it only plans
    DRAINING = "draining"  # it claims nothing more, and some of its runs go on
    DRAINED = "drained"  # it claims nothing, and nothing runs on it
    DEAF = "deaf"  # it is online, but no message reaches it from the broker
    OFFLINE = "offline"  # its last heartbeat is too old


def state_of(node: NodeSeen, now: datetime) -> NodeState:
    """Returns how a node is, by its last heartbeat."""
    if not node.lives(now):
        return NodeState.OFFLINE
    if node.drain is not None:
        return NodeState.DRAINED if node.drained else NodeState.DRAINING
    return NodeState.DEAF if node.hears is False else NodeState.ONLINE


class NodeControl:
    """Shows nodes, and drains them. A node reads with its next heartbeat what was asked of it.

    `routes` are those of templates to Celery workers; None where nodes look into the queue themselves.
    """

    def __init__(self, nodes: NodeStore, audit: AuditTrail, clock: Clock, routes: Mapping[str, str] | None = None) -> None:
        self._nodes, self._audit, self._clock, self._routes = nodes, audit, clock, routes

    # -- for people -----------------------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[NodeSeen]:
        """Returns all nodes that were seen within a day, by name. Raises Forbidden."""
        require(actor, May.SEE_NODES)
        return self._nodes.all()

    def get(self, actor: Actor, node_id: str) -> NodeSeen:
        """Returns one node. Raises Forbidden, NotFound."""
        require(actor, May.SEE_NODES)
        return self._get(node_id)

    def drain(self, actor: Actor, node_id: str) -> NodeSeen:
        """Asks a node to claim nothing more; what runs on it goes on. A node that drains already goes on draining.

        Raises Forbidden, NotFound, and Conflict if the node is offline, because it would not hear of it.
        """
        require(actor, May.MANAGE_NODES)
        node, now = self._get(node_id), self._clock.now()
        if node.drain is not None:
            return node
        if not node.lives(now):
            raise Conflict(say("The node {node} is offline, so it cannot be drained", node=node_id))
        diff = [{"field": "/drain", "before": False, "after": True}]
        with self._audit.action(actor, "node.drain", kind="node", target_id=node_id, name=node.host, diff=diff):
            if not self._nodes.ask_to_drain(node_id, by=actor.email, at=now):
                raise NotFound("node", node_id)
        return self._get(node_id)

    def resume(self, actor: Actor, node_id: str) -> NodeSeen:
        """Lets a node claim again. A node that does not drain stays as it is. Raises Forbidden, NotFound."""
        require(actor, May.MANAGE_NODES)
        node = self._get(node_id)
        if node.drain is None:
            return node
        diff = [{"field": "/drain", "before": True, "after": False}]
        with self._audit.action(actor, "node.resume", kind="node", target_id=node_id, name=node.host, diff=diff):
            self._nodes.take_back_drain(node_id)
        return self._get(node_id)

    # -- what nodes take ------------------------------------------------------------------------------------------

    def offered(self) -> tuple[str, ...]:
        """Returns the labels of the nodes that take executions now, sorted."""
        return union(*(node.labels for node in self._taking()))

    def takes(self, needs: Iterable[str]) -> bool:
        """Returns whether some node takes executions that need these labels."""
        wanted = tuple(needs)
        return not wanted or any(not missing(wanted, node.labels) for node in self._taking())

    def why_none(self, needs: Iterable[str], template: str) -> Said | None:
        """Returns in a sentence without its end that no node has these labels, or takes runs of this template; None if some node does."""
        wanted = tuple(needs)
        if not self.takes(wanted):
            return say_many(
                "no running node has the label {labels}", "no running node has the labels {labels}", len(wanted), labels=", ".join(wanted)
            )
        route = (self._routes or {}).get(template, DEFAULT_ROUTE)
        return say("no running worker takes the route {route}", route=route) if route in self.untaken_routes() else None

    def untaken_routes(self) -> list[str]:
        """Returns the routes that no worker takes now, sorted: of those of templates, and the route of all other templates."""
        if self._routes is None:
            return []
        taken = routes_in(queue for node in self._taking() for queue in node.queues)
        return sorted({DEFAULT_ROUTE, *self._routes.values()} - taken)

    def _taking(self) -> list[NodeSeen]:
        now = self._clock.now()
        return [node for node in self._nodes.all() if node.slots and state_of(node, now) is NodeState.ONLINE]

    def _get(self, node_id: str) -> NodeSeen:
        node = self._nodes.get(node_id)
        if node is None:
            raise NotFound("node", node_id)
        return node
