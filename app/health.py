"""What a process says about itself to load balancers, to Kubernetes and to people. Each question is answered within PROBE_SECONDS.

- Alive: the process comes to the end of its ticks. It does not look at the database, because a restart cannot bring that back.
- Ready: the process can do its work now. It is not ready from the beginning of a drain on, before it closes connections.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

from app.broker.inspection import BrokerLook
from app.errors import StoreUnavailable
from app.events import get_logger
from app.mongo import answering_within
from app.node.state import NodeState
from app.services import Services

log = get_logger(__name__)

Seen = TypeVar("Seen")
Answer = tuple[dict[str, Any], bool]  # the body, and whether all is well

PROBE_SECONDS = 2.0  # within which a probe answers, whatever the database does
# A tick that has not come to its end for so long is frozen. One that waits for a database which takes connections and answers nothing
# gives up before: 3 s for a server, and twice 20 s for an answer.
FROZEN_SECONDS = 50.0


class Health:
    """The answers of one process. `role` is `serve`, `web`, `scheduler` or `worker`; `node` gives the state of its node, or None."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def live(self) -> Answer:
        """Whether the ticks of the process come to their ends. During a drain they have been stopped, and the process is alive."""
        node = self._services.node()
        if node is None or self._services.leaving.has_begun() or node.turn_age_seconds < FROZEN_SECONDS:
            return {"status": "alive"}, True
        return {"status": "frozen", "turn_age_seconds": round(node.turn_age_seconds, 3)}, False

    def ready(self) -> Answer:
        """Whether the process can do its work: the database answers and has all migrations, the node works, and no drain has begun."""
        services, node = self._services, self._services.node()
        leaving = services.leaving.has_begun()
        migrated = None if leaving else self._looked(self._migrated)
        works = bool(migrated) and not leaving and (node is None or node.can_work)
        body: dict[str, Any] = {
            "status": "ready" if works else "not ready",
            "role": services.role,
            "database": "not asked" if leaving else _status(migrated is not None),
            "engine": _engine(node)["status"],
            "draining": leaving,
        }
        if migrated is not None:
            body["migrations"] = "applied" if migrated else "pending"
        if node is not None and node.permit is not None:
            body["permit"] = node.permit
        return body, works

    def service(self, *, is_trusted: Callable[[], bool]) -> Answer:
        """Whether the database answers. The version of the program is for holders of a token, which `is_trusted` looks up."""
        services = self._services
        with answering_within(PROBE_SECONDS):
            works = self._database_answers()
            body = {"status": _status(works), "service": services.settings.service_name, "timestamp": services.clock.now()}
            return ({**body, "version": version("jobwright")} if works and self._looked(is_trusted) else body), works

    def details(self, *, is_trusted: Callable[[], bool]) -> Answer:
        """The state of each dependency of the process, and how many executions wait and run. What may name addresses is for holders of a
        token, see `service`. All looks at the database have one limit together: what it has not answered by then is unknown."""
        look = self._services.broker()  # it is on its way while the database is asked
        with answering_within(PROBE_SECONDS):
            answers = self._database_answers()
            trusted = answers and bool(self._looked(is_trusted))
            body, works = self._details(answers, trusted=trusted)
        body["dependencies"]["broker"] = _broker(look, trusted=trusted)
        return body, works

    def _details(self, answers: bool, *, trusted: bool) -> Answer:
        services, node = self._services, self._services.node()
        engine = _engine(node)
        works = answers and engine["status"] in {"healthy", "not here"}
        body = {
            "status": _status(works),
            "role": services.role,
            "draining": services.leaving.has_begun(),
            "dependencies": {
                "mongodb": {"status": _status(answers)},
                "engine": engine,
                "bus": self._bus(answers, trusted=trusted),
                "monitor": self._monitor(answers, trusted=trusted),
            },
            "connections": self._looked(self._connections) if answers else None,
            "executions": self._looked(services.history.live_counts) if answers else None,
            "templates": self._looked(self._templates),
        }
        return body, works

    # -- what it looks at -----------------------------------------------------------------------------------------

    def _database_answers(self) -> bool:

        def ping() -> bool:
            self._services.ping()
            return True

        return bool(self._looked(ping))

    def _migrated(self) -> bool:
        self._services.ping()
        return self._services.migrated()

    def _looked(self, look: Callable[[], Seen]) -> Seen | None:
        """Returns what a look at the database has shown; None if it does not answer within the limit, or in the time that is left of one
        around it. The reason stands in the log only: it names addresses,
        and anybody may ask."""
        try:
            with answering_within(PROBE_SECONDS):
                return look()
        except StoreUnavailable:
            return None
        except Exception as error:
            log.warning("database.away", reason=str(error)[:200])
            return None

    def _bus(self, answers: bool, *, trusted: bool) -> dict[str, Any]:
        """Returns the state of the bus. Its address, which may stand in the problem, is for holders of a token."""
        state = self._services.bus()
        if state is None:
            return {"status": "not here"}
        shown: dict[str, Any] = {"connected": state.connected, "stream": state.stream, "since": state.since}
        owed = self._looked(self._services.unpublished) if answers else None
        if owed is not None:
            shown["owed"] = owed
        if state.problem and trusted:
            shown["problem"] = state.problem
        return {"status": _status(state.connected and state.stream), **shown}

    def _monitor(self, answers: bool, *, trusted: bool) -> dict[str, Any]:
        """Returns how calls of the outside monitor go, and what is stuck. Why a call failed is for holders of a token."""
        state = self._looked(self._services.monitor.state) if answers else None
        if state is None:
            return {"status": "unknown"}
        shown: dict[str, Any] = {"status": _status(not state.pings.problem) if state.monitored else "not here"}
        if state.monitored:
            shown |= {"pinged_at": state.pings.pinged_at, "failing_since": state.pings.failing_since}
            if state.pings.problem and trusted:
                shown["problem"] = state.pings.problem
        if state.stuck is not None:
            shown |= {"status": _status(False), "stuck": list(state.stuck.parts), "stuck_since": state.stuck.since}
        return shown

    def _templates(self) -> dict[str, list[str]]:
        catalogue = self._services.catalogue
        return {"loaded": catalogue.types(), "broken": sorted(catalogue.broken)}

    def _connections(self) -> dict[str, int]:
        """Returns how many of the connections that were probed answer, and how many do not."""
        conditions = self._services.connections.conditions()
        answering = sum(condition.works for condition in conditions)
        return {"answering": answering, "failing": len(conditions) - answering}


def _status(works: bool) -> str:
    return "healthy" if works else "unhealthy"


def _broker(look: BrokerLook | None, *, trusted: bool) -> dict[str, Any]:
    """Returns whether the message broker answers. Its address, which may stand in the problem, is for holders of a token."""
    if look is None:
        return {"status": "not here"}
    state = look.state(PROBE_SECONDS)
    shown: dict[str, Any] = {"status": _status(not state.problem)}
    if trusted:
        shown["address"] = state.address
        if state.problem:
            shown["problem"] = state.problem
    return shown


def _engine(node: NodeState | None) -> dict[str, Any]:
    if node is None:
        return {"status": "not here"}
    shown: dict[str, Any] = {
        "status": "stalled" if node.stalled else "healthy",
        "role": node.role,
        "tick_age_seconds": round(node.tick_age_seconds, 3),
        "drains": node.drains,
    }
    optional = {"permit": node.permit, "hears": node.hears}
    return {**shown, **{name: value for name, value in optional.items() if value is not None}}
