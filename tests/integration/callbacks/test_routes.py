"""Where runs of services go: instances, circuit breakers that all nodes share, and room for other services. On the real MongoDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from app.clock import ManualClock
from app.errors import StaleVersion
from app.factory import Store
from app.integrations.callbacks.breaker import Circuit
from app.integrations.callbacks.breakers import Breakers
from app.integrations.callbacks.endpoint import LastCall
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.integrations.callbacks.route import Postpone, Target, origin_of
from app.integrations.callbacks.router import ServiceRouter
from app.integrations.services.model import Instance, Service
from app.jobs.model import RetryPolicy
from app.node.routing import Postponed, Routing, TooLate
from app.queue.model import Attempt, AttemptError, Deferral, Outcome, Reason, Status

ADDRESS = "http://email.internal:7006"
SUCCESS = Outcome(status=Status.SUCCESS)
ACCEPTED = Outcome(status=Status.RUNNING, deferral=Deferral(heartbeat_seconds=60))
DOWN = Outcome(status=Status.FAILED, error=AttemptError(type="ServiceUnavailable", message="The service answered 503"))
HUNG = Outcome(status=Status.TIMEOUT, error=AttemptError(type="Timeout", message="Ran longer than 5 s"))
REFUSED = Outcome(status=Status.FAILED, error=AttemptError(type="TemplateError", message="The service answered 400"))
DIED = Outcome(status=Status.FAILED, error=AttemptError(type="ProcessDied", message="killed"))


class Town:
    """Services, and the routers of some nodes."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.services, self.retired, self._count = (
            EndpointStore(store.database),
            clock,
            dict[str, Service](),
            list[str](),
            0,
        )

    def router(self, share: int = 4) -> ServiceRouter:
        breakers = Breakers(self.store, self.clock)
        return ServiceRouter(find=self.services.get, breakers=breakers, retire=self.retire, clock=self.clock, share=share)

    def retire(self, job_id: str) -> None:
        self.retired.append(job_id)
        if job_id == "changed":
            raise StaleVersion(1, 2)

    def service(self, *instances: Instance, name: str = "email") -> None:
        now = self.clock.now()
        self.services[name] = Service(
            name=name, instances=instances, seen_at=now, created_by="", created_at=now, updated_by="", updated_at=now
        )
        self.clock.advance(1.1)  # routers read it again

    def instance(self, name: str, *jobs: str, address: str = "") -> Instance:
        return Instance(id=name, jobs=jobs or ("digest",), address=address, ttl_seconds=90, seen_at=self.clock.now())

    def attempt(self) -> Attempt:
        self._count += 1
        now = self.clock.now()
        return Attempt(
            execution_id=f"e{self._count}",
            number=1,
            token=1,
            job_id="j",
            job_name="j",
            template_version=1,
            code_version=1,
            template_type="service_job",
            parameters={},
            timeout_seconds=30,
            started_at=now,
            began_at=now,
            retry_policy=RetryPolicy(),
            failed_attempts=1,
            queued_at=now,
        )

    def route(
        self, router: ServiceRouter, attempt: Attempt | None = None, *, service: str = "email", address: str = ADDRESS
    ) -> Target | Postpone:
        return router.route(attempt or self.attempt(), service=service, job_name="digest", address=address)

    def call(self, router: ServiceRouter, outcome: Outcome, *, service: str = "email", address: str = ADDRESS) -> Target | Postpone:
        """Makes a call, if the router lets it, and tells how it went."""
        attempt = self.attempt()
        target = self.route(router, attempt, service=service, address=address)
        if isinstance(target, Target):
            router.hear(attempt, outcome)
            router.flush()
        return target

    def circuit(self, address: str = ADDRESS) -> Circuit:
        return self.store.get("email", origin_of(address)).breaker.circuit


@pytest.fixture
def town(store: Store, clock: ManualClock) -> Town:
    return Town(store, clock)


# -- instances ---------------------------------------------------------------------------------------------------------


def test_a_service_without_instances_is_called_at_its_address(town: Town) -> None:
    assert town.route(town.router()) == Target(ADDRESS)
    town.service()
    assert town.route(town.router()) == Target(ADDRESS)


def test_a_run_goes_to_an_instance_that_declares_the_job(town: Town) -> None:
    new, old = town.instance("new", address="http://10.0.0.7:7006"), town.instance("old", "other", address="http://10.0.0.8:7006")
    town.service(new, old, town.instance("same"))
    router = town.router(share=100)
    targets = {town.route(router) for _ in range(60)}
    assert targets == {Target("http://10.0.0.7:7006", "new"), Target(ADDRESS, "same")}


def test_without_an_instance_that_declares_it_the_run_waits(town: Town) -> None:
    town.service(town.instance("old", "other"))
    wait = town.route(town.router())
    assert isinstance(wait, Postpone)
    assert (wait.reason, wait.counts, str(wait.words)) == (Reason.NO_INSTANCE, True, "No instance of email declares digest")
    assert wait.until == town.clock.now() + timedelta(seconds=5)


def test_instances_that_fell_silent_do_not_count(town: Town) -> None:
    router = town.router()
    town.service(town.instance("old", "other"))
    assert isinstance(town.route(router), Postpone)
    town.clock.advance(100)
    assert town.route(router) == Target(ADDRESS)


# -- circuit breakers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [DOWN, HUNG])
def test_a_breaker_that_opens_on_one_node_is_open_on_all(town: Town, outcome: Outcome) -> None:
    here, there = town.router(), town.router()
    assert town.route(there) == Target(ADDRESS)
    for _ in range(5):
        assert town.call(here, outcome) == Target(ADDRESS)
    town.clock.advance(0.6)
    for router in (here, there):
        wait = town.route(router)
        assert isinstance(wait, Postpone)
        assert (wait.reason, wait.counts) == (Reason.CIRCUIT_OPEN, True)
        assert str(wait.words) == "The circuit breaker of http://email.internal:7006 is open: calls to email failed"
        assert wait.until == town.clock.now() + timedelta(seconds=9.4)
    endpoint = town.store.of_services(["email"])[0]
    assert outcome.error is not None
    assert [(call.succeeded, call.error) for call in endpoint.last_calls] == [(False, outcome.error.message)] * 5
    assert [(call.execution_id, call.job_name) for call in endpoint.last_calls] == [(f"e{n}", "j") for n in (6, 5, 4, 3, 2)]
    assert endpoint.changed_at == town.clock.now() - timedelta(seconds=0.6)


@pytest.mark.parametrize("outcome", [SUCCESS, ACCEPTED, REFUSED, DIED, Outcome(status=Status.CANCELLED)])
def test_ends_that_do_not_speak_against_the_service_open_nothing(town: Town, outcome: Outcome) -> None:
    router = town.router()
    for _ in range(20):
        assert town.call(router, outcome) == Target(ADDRESS)
    assert town.circuit() is Circuit.CLOSED


def test_of_many_nodes_one_sends_the_probe(town: Town) -> None:
    first = town.router()
    for _ in range(5):
        town.call(first, DOWN)
    town.clock.advance(11)
    routers = [town.router() for _ in range(8)]
    attempts = [town.attempt() for _ in routers]
    with ThreadPoolExecutor(8) as pool:
        routes = list(pool.map(lambda pair: town.route(*pair), zip(routers, attempts, strict=True)))
    probes = [n for n, route in enumerate(routes) if isinstance(route, Target)]
    assert len(probes) == 1
    assert all(route.until > town.clock.now() for route in routes if isinstance(route, Postpone))
    routers[probes[0]].hear(attempts[probes[0]], SUCCESS)
    routers[probes[0]].flush()
    town.clock.advance(0.6)
    assert [town.route(router) for router in routers] == [Target(ADDRESS)] * 8


def test_a_probe_whose_node_dies_is_followed_by_another(town: Town) -> None:
    router = town.router()
    for _ in range(5):
        town.call(router, DOWN)
    town.clock.advance(11)
    assert town.route(town.router()) == Target(ADDRESS)  # its node is killed
    town.clock.advance(31)
    assert isinstance(town.route(town.router()), Postpone)
    town.clock.advance(2)
    assert town.route(town.router()) == Target(ADDRESS)


def test_an_instance_whose_breaker_is_open_leaves_its_runs_to_the_others(town: Town) -> None:
    bad, good = "http://10.0.0.7:7006", "http://10.0.0.8:7006"
    town.service(town.instance("bad", address=bad), town.instance("good", address=good))
    router = town.router()
    endpoint = town.store.get("email", bad)
    town.store.put(endpoint, replace(endpoint, breaker=endpoint.breaker.after([False] * 5, town.clock.now())))
    assert {town.call(router, SUCCESS) for _ in range(20)} == {Target(good, "good")}


def test_an_instance_whose_last_call_failed_is_the_last_choice_for_a_while(town: Town) -> None:
    bad, good = "http://10.0.0.7:7006", "http://10.0.0.8:7006"
    town.service(town.instance("bad", address=bad), town.instance("good", address=good))
    router = town.router()
    failed = LastCall(at=town.clock.now(), succeeded=False, seconds=0.1, error="refused")
    endpoint = town.store.get("email", bad)
    town.store.put(endpoint, replace(endpoint, last_calls=(failed,)))
    assert {town.call(router, SUCCESS) for _ in range(20)} == {Target(good, "good")}
    town.clock.advance(31)
    town.service(town.instance("bad", address=bad), town.instance("good", address=good))
    assert {town.call(router, SUCCESS) for _ in range(60)} == {Target(good, "good"), Target(bad, "bad")}


def test_results_of_many_nodes_at_once_are_all_counted(town: Town) -> None:
    breakers = [Breakers(town.store, town.clock) for _ in range(6)]
    for node in breakers:
        node.note("email", ADDRESS, LastCall(at=town.clock.now(), succeeded=True, seconds=0.1))
    with ThreadPoolExecutor(6) as pool:
        for _ in range(4):
            list(pool.map(lambda node: node.flush(), breakers))
    assert town.store.get("email", ADDRESS).breaker.calls == 6


# -- room for others ---------------------------------------------------------------------------------------------------


def test_calls_to_one_endpoint_take_their_share_and_no_more(town: Town) -> None:
    router = town.router(share=2)
    first, second = town.attempt(), town.attempt()
    assert town.route(router, first) == town.route(router, second) == Target(ADDRESS)
    wait = town.route(router)
    assert isinstance(wait, Postpone)
    assert (wait.reason, wait.counts, wait.until) == (Reason.SERVICE_BUSY, False, town.clock.now() + timedelta(seconds=0.1))
    assert town.route(router, service="crawler", address="http://crawler:1") == Target("http://crawler:1")
    router.hear(first, SUCCESS)
    assert town.route(router) == Target(ADDRESS)


def test_slow_endpoints_share_what_one_may_take(town: Town) -> None:
    router = town.router(share=2)
    held = [town.attempt(), town.attempt()]
    town.route(router, held[0], service="a", address="http://a")
    town.route(router, held[1], service="b", address="http://b")
    town.clock.advance(1.1)
    for name in ("a", "b"):
        wait = town.route(router, service=name, address=f"http://{name}")
        assert isinstance(wait, Postpone)
        assert (wait.reason, wait.until) == (Reason.SERVICE_BUSY, town.clock.now() + timedelta(seconds=1))
    assert town.route(router, service="c", address="http://c") == Target("http://c")  # it is not slow
    router.begin_batch({held[0].execution_id})  # the others are not in hand any more, though nobody told
    assert town.route(router, service="a", address="http://a") == Target("http://a")


def test_a_job_waits_in_the_queue_until_its_service_has_room(town: Town) -> None:
    router = town.router(share=1)
    held = town.attempt()
    assert (town.route(router, held), router.held_up()) == (Target(ADDRESS), [])
    assert isinstance(town.route(router, replace(town.attempt(), job_id="waits")), Postpone)
    assert router.held_up() == ["waits"]
    other = town.attempt()
    town.route(router, other, service="crawler", address="http://crawler:1")
    router.hear(other, SUCCESS)  # a call elsewhere makes no room
    assert router.held_up() == ["waits"]
    router.hear(held, SUCCESS)
    assert router.held_up() == []


def test_a_job_that_waits_is_looked_at_again_even_if_no_call_ends(town: Town) -> None:
    router = town.router(share=1)
    town.route(router)
    assert isinstance(town.route(router), Postpone)
    assert router.held_up() == ["j"]
    town.clock.advance(5)
    assert router.held_up() == []


def test_a_slow_call_that_ends_makes_room_for_all_that_are_slow(town: Town) -> None:
    router = town.router(share=2)
    held = [town.attempt(), town.attempt()]
    for name, attempt in zip("ab", held, strict=True):
        town.route(router, attempt, service=name, address=f"http://{name}")
    town.clock.advance(1.1)
    assert isinstance(town.route(router, service="b", address="http://b"), Postpone)
    assert router.held_up() == ["j"]
    router.begin_batch({held[1].execution_id})  # the other is not in hand any more, though nobody told
    assert router.held_up() == []


def test_a_job_whose_breaker_is_open_is_not_held_up_but_put_off(town: Town) -> None:
    router = town.router()
    for _ in range(5):
        town.call(router, DOWN)
    assert isinstance(town.route(router), Postpone)
    assert router.held_up() == []


# -- jobs that are gone ------------------------------------------------------------------------------------------------


def test_a_job_that_its_service_does_not_have_any_more_is_retired_once(town: Town) -> None:
    router = town.router()
    gone = Outcome(status=Status.FAILED, error=AttemptError(type="HandlerGone", message="The service answered 410", permanent=True))
    for job_id in ("changed", "j", "j"):
        router.hear(replace(town.attempt(), job_id=job_id), gone)
    for _ in range(2):
        router.flush()
    assert sorted(town.retired) == ["changed", "j"]
    for _ in range(20):
        town.call(router, gone)
    assert town.circuit() is Circuit.CLOSED  # it has answered


# -- start deadlines ---------------------------------------------------------------------------------------------------


def routing(town: Town, router: ServiceRouter, grace: float = 0) -> Routing:
    return Routing(router, town.clock, grace_of=lambda job: grace, report_address=lambda attempt: "https://x/api/callbacks/t")


def test_a_run_waits_until_its_start_deadline_and_fails_with_the_reason(town: Town) -> None:
    town.service(town.instance("old", "other"))
    made = routing(town, town.router())
    attempt = replace(town.attempt(), scheduled_for=town.clock.now() - timedelta(seconds=100))
    with pytest.raises(Postponed) as postponed:
        made.target_of(attempt, service="email", job_name="digest", address=ADDRESS)
    assert postponed.value.reason is Reason.NO_INSTANCE
    for _ in range(7):
        town.clock.advance(40)
        town.service(town.instance("old", "other"))
        with pytest.raises(Postponed):
            made.target_of(attempt, service="email", job_name="digest", address=ADDRESS)
    town.clock.advance(20)
    with pytest.raises(TooLate, match="No instance of email declares digest"):
        made.target_of(attempt, service="email", job_name="digest", address=ADDRESS)
    town.service(town.instance("new"))
    assert made.target_of(attempt, service="email", job_name="digest", address=ADDRESS) == Target(ADDRESS, "new")


def test_the_deadline_of_a_start(town: Town) -> None:
    now, made = town.clock.now(), routing(town, town.router(), grace=1_000)
    asked = town.attempt()
    assert made.start_deadline(asked) == now + timedelta(seconds=1_000)
    due = replace(asked, scheduled_for=now - timedelta(seconds=60))
    assert made.start_deadline(due) == now + timedelta(seconds=940)
    in_the_queue = replace(due, scheduled_for=now - timedelta(days=1))
    assert made.start_deadline(in_the_queue) == now + timedelta(seconds=300)  # its service has five minutes at least
    assert routing(town, town.router()).start_deadline(due) == now + timedelta(seconds=300)
    assert made.start_deadline(replace(in_the_queue, postponed_since=now - timedelta(seconds=290))) == now + timedelta(seconds=10)
    retry = replace(due, number=2, queued_at=now - timedelta(hours=5))
    assert made.start_deadline(retry) == now + timedelta(seconds=1_000)
    again = replace(retry, postponed_since=now - timedelta(seconds=500))
    assert made.start_deadline(again) == now + timedelta(seconds=500)


def test_a_busy_service_fails_no_run(town: Town) -> None:
    router = town.router(share=1)
    made = routing(town, router)
    town.route(router)
    late = replace(town.attempt(), queued_at=town.clock.now() - timedelta(days=1))
    with pytest.raises(Postponed):
        made.target_of(late, service="email", job_name="digest", address=ADDRESS)
