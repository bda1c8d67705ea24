"""Runs of services while Jobwright is killed, and while a service fails again and again: a served Jobwright and a real service."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.builders.service import RESET, Answer, Call, Receiver, post_report, receiver
from tests.clients.services.driver import free_port
from tests.lengths import LONG
from tests.support import Service, eventually

ENDED = ("success", "failed", "timeout", "cancelled", "skipped", "missed")
AGAIN = {"maxRetries": 20, "retryDelaySeconds": 0}
RUNS = 10_000 if LONG else 150
AT_ONCE = 60  # runs that are waited for
ONE_IN_TWENTY, FIVE_IN_TWENTY = 1, 5  # of the calls, one in twenty is torn down and four get a 5xx


class Installation:
    """A served Jobwright that can be killed and started again at the same address, and a service that has registered jobs."""

    def __init__(self, start: Callable[..., Service], registry: Any, service: Receiver) -> None:
        self.start, self.executions, self.service, self.port = start, registry["job_executions"], service, free_port()
        self.served = self.begin()
        self.api = self.served.api()
        account = self.api.post("/api/admin/users", json={"email": "bot@example.com", "kind": "service", "role": "admin"}).json()
        made = self.api.post(f"/api/admin/users/{account['user']['id']}/tokens", json={"name": "t", "scopes": ["services", "enable"]})
        self.token = made.raise_for_status().json()["text"]

    def begin(self) -> Service:
        settings = {"PORT": str(self.port), "JOBWRIGHT_PUBLIC_URL": f"http://127.0.0.1:{self.port}", "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1"}
        return self.start("serve", SCHEDULER_MAX_INSTANCES="100", **settings).wait_ready()

    def kill(self) -> None:
        self.served.stop(kill=True)

    def restart(self) -> None:
        self.served = self.begin()

    def register(self, name: str, **fields: Any) -> str:
        """Registers a job, lets many of its runs go on at one time, and returns its id."""
        job = {"name": name, "serviceName": "email-service", "serviceUrl": self.service.address, "enabled": True, **fields}
        with self.served.client(self.token) as client:
            answer = client.post("/api/jobs/register", json=job).raise_for_status().json()
        self.service.key = answer.get("signingKey", {"secret": self.service.key})["secret"]
        (row,) = self.api.get("/api/admin/scheduler-jobs", params={"name": name}).json()["jobs"]
        many = {"overlap": "allow", "concurrency": {"max_instances": 100}}
        self.api.put(f"/api/admin/scheduler-jobs/{row['id']}", json=many).raise_for_status()
        return str(row["id"])

    def run(self, job: str, **config: Any) -> str:
        answer = self.api.post(f"/api/admin/scheduler-jobs/{job}/run", json={"parameters": {"config": config}})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution"]["id"])

    def row(self, execution: str) -> dict[str, Any]:
        return dict(self.executions.find_one({"_id": execution}))

    def ended(self, execution: str) -> dict[str, Any]:
        return eventually(lambda: row if (row := self.row(execution))["status"] in ENDED else None, every=0.1)

    def deferred(self, execution: str) -> bool:
        return bool(self.row(execution).get("lease", {}).get("owner") == "callback")

    def keys(self, execution: str) -> tuple[set[str], list[str]]:
        """The idempotency keys and the names of the messages of the calls for an execution."""
        calls = [call for call in self.service.calls if call.body["executionId"] == execution]
        return {call.headers["Idempotency-Key"] for call in calls}, [call.headers["webhook-id"] for call in calls]

    def report(self, call: Call, name: str, body: Any) -> httpx.Response:
        """Sends a report until it is answered by a Jobwright that takes or refuses it, as a service does."""

        def sent() -> httpx.Response | None:
            try:
                answer = post_report(call.body["callback"]["url"], name, body, key=self.service.key)
            except httpx.TransportError:
                return None
            return None if answer.status_code in {425, 429} or answer.status_code >= 500 else answer

        return eventually(sent, every=0.1)


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def town(start: Callable[..., Service], registry: Any, service: Receiver) -> Iterator[Installation]:
    made = Installation(start, registry, service)
    yield made
    made.api.close()


def call_of(service: Receiver, execution: str) -> Call:
    return eventually(lambda: next((call for call in service.calls if call.body["executionId"] == execution), None))


def test_a_kill_between_the_call_and_its_answer_is_retried_by_policy_with_the_same_key(town: Installation) -> None:
    retried, once = town.register("retried", **AGAIN), town.register("once", maxRetries=0)
    answer = threading.Event()

    def reply(call: Call) -> Answer:
        if call.body["attempt"] == 1:
            answer.wait()
        return Answer(200, {"success": True, "itemsProcessed": 7})

    town.service.reply = reply
    runs = town.run(retried), town.run(once)
    for execution in runs:
        call_of(town.service, execution)
    town.kill()
    answer.set()  # nobody hears it
    town.restart()
    row = town.ended(runs[0])
    assert [(item["status"], item.get("reason")) for item in row["attempts"]] == [("failed", "lost_worker"), ("success", None)]
    assert (row["status"], row["result"]["itemsProcessed"]) == ("success", 7)
    assert town.keys(runs[0]) == ({runs[0]}, [f"{runs[0]}:1", f"{runs[0]}:2"])
    row = town.ended(runs[1])
    assert (row["status"], row["reason"], len(row["attempts"])) == ("failed", "lost_worker", 1)
    assert town.keys(runs[1]) == ({runs[1]}, [f"{runs[1]}:1"])


def test_a_kill_between_the_acceptance_and_the_report_ends_as_the_service_says(town: Installation) -> None:
    job = town.register("accepted", heartbeatSeconds=60, **AGAIN)
    quiet = town.register("quiet", heartbeatSeconds=5, **AGAIN)
    town.service.reply = lambda call: Answer(202 if call.body["attempt"] == 1 else 200, {"success": True})
    good, bad, silent = town.run(job), town.run(job), town.run(quiet)
    eventually(lambda: all(town.deferred(execution) for execution in (good, bad, silent)))
    town.kill()
    threading.Timer(1.0, town.restart).start()  # the first reports find nobody
    assert town.report(call_of(town.service, good), "complete", {"success": True, "itemsProcessed": 5}).json() == {"status": "success"}
    failed = town.report(call_of(town.service, bad), "fail", {"error": "The list is empty", "permanent": True})
    assert failed.json() == {"status": "failed"}
    row = town.row(good)
    assert (row["status"], row["result"]["itemsProcessed"], len(row["attempts"])) == ("success", 5, 1)
    row = town.row(bad)
    assert (row["status"], row["error"]["message"], len(row["attempts"])) == ("failed", "The service says: The list is empty", 1)
    row = town.ended(silent)  # nothing was heard of it for so long
    assert [(item["status"], item.get("reason")) for item in row["attempts"]] == [("failed", "lost_worker"), ("success", None)]
    assert town.keys(silent) == ({silent}, [f"{silent}:1", f"{silent}:2"])


def test_a_kill_at_the_moment_of_the_acceptance_loses_no_word_of_the_service(town: Installation) -> None:
    job = town.register("accepted", **AGAIN)
    results: dict[str, int] = {}  # what the service has done, by the key

    def reply(call: Call) -> Answer:
        key = call.headers["Idempotency-Key"]
        if key in results:
            return Answer(200, {"success": True, "itemsProcessed": results[key]})
        results[key] = len(results) + 1
        town.kill()
        return Answer(202)

    town.service.reply = reply
    execution = town.run(job)
    call = call_of(town.service, execution)
    eventually(lambda: town.served.process.poll() is not None)
    town.restart()
    answer = town.report(call, "complete", {"success": True, "itemsProcessed": results[execution]})
    assert answer.status_code in {200, 409}  # 409 where the lease of the killed one has ended already: then it is called again
    row = town.ended(execution)
    assert (row["status"], row["result"]["itemsProcessed"], results) == ("success", 1, {execution: 1})
    assert len(row["attempts"]) == (1 if answer.status_code == 200 else 2)
    assert town.keys(execution)[0] == {execution}


def test_a_kill_while_reports_are_written_leaves_each_run_with_one_end(town: Installation) -> None:
    job = town.register("accepted", heartbeatSeconds=300, **AGAIN)
    town.service.reply = lambda call: Answer(202)
    runs = [town.run(job, number=number) for number in range(40)]
    eventually(lambda: all(town.deferred(execution) for execution in runs))
    calls = [call_of(town.service, execution) for execution in runs]
    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(town.report, call, "complete", {"success": True, "itemsProcessed": call.body["config"]["number"]}) for call in calls
        ]
        eventually(lambda: town.executions.count_documents({"status": "success"}) >= 10, every=0.005)
        town.kill()
        town.restart()
        assert {answer.result().status_code for answer in answers} == {200}
    rows = [town.row(execution) for execution in runs]
    assert [(row["status"], row["result"]["itemsProcessed"]) for row in rows] == [("success", number) for number in range(len(runs))]
    assert {len(row["attempts"]) for row in rows} == {1}
    again = town.report(calls[0], "complete", {"success": True, "itemsProcessed": 0})
    assert (again.status_code, again.json()) == (200, {"status": "success"})
    assert town.report(calls[0], "complete", {"success": True, "itemsProcessed": 1}).status_code == 409


def test_every_run_of_a_service_that_fails_again_and_again_ends_as_it_should(town: Installation) -> None:
    """20 % of the calls are answered with 5xx and 5 % of the connections are torn down. A run is to end as its `config` says."""
    job = town.register("chaos", **AGAIN)
    wanted = {"done": "success", "reported": "success", "some items fail": "success", "refused": "failed", "gives up": "failed"}
    tally: Counter[str] = Counter()
    reporters = ThreadPoolExecutor(8)

    def reply(call: Call) -> Answer | str:
        dice = zlib.crc32(call.headers["webhook-id"].encode()) % 20
        if dice < ONE_IN_TWENTY:
            tally["reset"] += 1
            return RESET
        if dice < FIVE_IN_TWENTY:
            tally["5xx"] += 1
            return Answer(500 + dice % 4)
        tally["answered"] += 1
        end = call.body["config"]["end"]
        if end == "refused":
            return Answer(422, {"error": "no such campaign"})
        if end in {"reported", "gives up"}:
            body = {"error": "it is over", "permanent": True} if end == "gives up" else {"success": True, "itemsProcessed": 4}
            reporters.submit(town.report, call, "fail" if end == "gives up" else "complete", body)
            return Answer(202)
        return Answer(200, {"success": True, "itemsProcessed": 4, "itemsFailed": 1 if end == "some items fail" else 0})

    town.service.reply = reply
    ends = [list(wanted)[number % len(wanted)] for number in range(RUNS)]
    began, runs = time.monotonic(), list[str]()
    for end in ends:
        if len(runs) % AT_ONCE == 0:
            eventually(lambda: town.executions.count_documents({"live": True}) < AT_ONCE, every=0.1)
        runs.append(town.run(job, end=end))
    eventually(lambda: town.executions.count_documents({"live": True}) == 0, every=0.2)
    reporters.shutdown()
    rows = {row["_id"]: row for row in town.executions.find()}
    assert [rows[execution]["status"] for execution in runs] == [wanted[end] for end in ends]
    counted = [
        (rows[execution]["result"] or {}).get("itemsFailed") for execution, end in zip(runs, ends, strict=True) if wanted[end] == "success"
    ]
    assert counted == [int(end == "some items fail") for end in ends if wanted[end] == "success"]
    messages = {
        end: {rows[execution]["error"]["message"] for execution, its in zip(runs, ends, strict=True) if its == end}
        for end in wanted
        if wanted[end] == "failed"
    }
    assert messages == {"refused": {"The service answered 422: no such campaign"}, "gives up": {"The service says: it is over"}}
    attempts = sum(len(row["attempts"]) for row in rows.values())
    assert attempts == len(town.service.calls) == tally.total()
    assert all(call.headers["Idempotency-Key"] == call.body["executionId"] for call in town.service.calls)
    changes = [event["state"] for event in town.served.events() if event.get("event") == "circuit.changed"]
    print(f"{RUNS} runs, {attempts} calls ({dict(tally)}) in {time.monotonic() - began:.0f} s; breaker {dict(Counter(changes))}")
