"""The service of the contract suite without the client library: plain WSGI, and the protocol by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import socketserver
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

JOBWRIGHT, TOKEN = os.environ["JOBWRIGHT_URL"], os.environ["JOBWRIGHT_TOKEN"]
KEYS = [base64.b64decode(key.removeprefix("whsec_") + "==") for key in os.environ["JOBWRIGHT_SIGNING_KEYS"].split()]
LINGER_SECONDS = 3.0
GRACE_SECONDS = float(os.environ.get("JOBWRIGHT_GRACE_SECONDS", "10"))
SERVICE, INSTANCE = "contract-service", f"plain-{os.getpid()}"


class Gone(Exception):
    """The attempt is over, or the run was cancelled."""


class Failed(Exception):
    """A failure that says what should follow it."""

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.members = members


class Work:
    """One execution: the attempt that is worked on, and how the last one ended."""

    def __init__(self, call: dict[str, Any]) -> None:
        self.call = call
        self.attempt = call.get("attempt", 1)
        self.stop = False
        self.outcome: tuple[int, dict[str, str], dict[str, Any]] | None = None
        self.done = threading.Event()


lock = threading.Lock()
works: dict[str, Work] = {}
draining = False


# -- requests to Jobwright -------------------------------------------------------------------------------------------


def send(method: str, url: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}
    except OSError:
        return 0, {}


def register() -> None:
    details = {"count": {"cronExpression": "0 9 * * MON"}, "brief": {"timeoutSeconds": 5}, "watched": {"heartbeatSeconds": 5}}
    jobs = [{"name": name, **details.get(name, {})} for name in JOBS]
    manifest = {
        "address": os.environ["JOBWRIGHT_SERVICE_ADDRESS"],
        "version": os.environ.get("VERSION", "1"),
        "ttlSeconds": 90,
        "jobs": jobs,
    }
    while send("PUT", f"{JOBWRIGHT}/api/services/{SERVICE}/manifest", manifest, {"Authorization": f"Bearer {TOKEN}"})[0] != 200:
        time.sleep(0.2)


def heartbeat(state: str) -> None:
    body = {"instance": INSTANCE, "version": os.environ.get("VERSION", "1"), "state": state, "jobs": [*JOBS, *GONE]}
    body["address"] = os.environ["JOBWRIGHT_INSTANCE_ADDRESS"]
    send("POST", f"{JOBWRIGHT}/api/services/{SERVICE}/heartbeat", body, {"Authorization": f"Bearer {TOKEN}"})


def signature(message_id: str, stamp: str, body: bytes, key: bytes) -> str:
    return base64.b64encode(hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()


def report(work: Work, name: str, body: dict[str, Any], *, until_taken: bool = False) -> None:
    """Sends a report; raises Gone when the work is to stop."""
    message_id = uuid.uuid4().hex
    while True:
        stamp = str(int(time.time()))
        signed = signature(message_id, stamp, json.dumps(body).encode(), KEYS[0])
        headers = {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"}
        url = work.call["callback"]["url"]
        status, answer = send("POST", f"{url}/{name}", body, headers)
        if status == 409 and url != work.call["callback"]["url"]:
            continue  # a newer attempt has taken over in the meantime
        if status in {404, 409} or answer.get("status") == "cancelling":
            raise Gone
        if status in {200, 413, 422} or not until_taken:
            return
        time.sleep(0.2)


# -- the jobs --------------------------------------------------------------------------------------------------------


def count(work: Work) -> dict[str, Any]:
    items, bad = work.call["config"].get("items", 10), work.call["config"].get("bad", 0)
    if not isinstance(items, int):
        raise Failed("items must be a whole number", permanent=True)
    effect(work)
    error = {"error": f"{bad} of {items} items are bad"} if bad else {}
    return {"success": True, "itemsProcessed": items, "itemsSucceeded": items - bad, "itemsFailed": bad, **error}


def gated(work: Work) -> dict[str, Any]:
    gate = work.call["config"]["gate"]
    effect(work)
    lines = [{"level": "INFO", "message": "waiting at the gate"}]
    report_if_accepted(work, "logs", {"first": 1, "lines": lines})
    report_if_accepted(work, "progress", {"done": 1, "total": 2, "note": "at the gate"})
    beat = time.monotonic()
    while not Path(gate).exists():
        if work.stop:
            raise Gone
        if time.monotonic() - beat > 0.2:
            report_if_accepted(work, "heartbeat", {})
            beat = time.monotonic()
        time.sleep(0.01)
    report_if_accepted(work, "logs", {"first": 2, "lines": [{"level": "INFO", "message": "through the gate"}]})
    return {"success": True, "itemsProcessed": 2, "itemsSucceeded": 2, "itemsFailed": 0, "metadata": {"gate": gate}}


def brief(work: Work) -> dict[str, Any]:
    effect(work)
    while not Path(work.call["config"]["gate"]).exists():
        time.sleep(0.01)
    return {"success": True, "itemsProcessed": 1, "itemsSucceeded": 1, "itemsFailed": 0}


def fails(work: Work) -> dict[str, Any]:
    effect(work)
    how = work.call["config"].get("how", "error")
    if how == "permanent":
        raise Failed("failed: permanent", permanent=True)
    if how == "later":
        raise Failed("failed: later", retryAfterSeconds=7)
    return {"success": False, "error": "all 3 items failed" if how == "result" else "it broke"}


JOBS: dict[str, Callable[[Work], dict[str, Any]]] = {
    "count": count,
    "gated": gated,
    "watched": gated,
    "slow": gated,
    "brief": brief,
    "fails": fails,
}
ACCEPTED, GONE = {"gated", "watched", "brief"}, {"gone"}


def effect(work: Work) -> None:
    with Path(os.environ["JOURNAL"]).open("a") as journal:
        callback = work.call.get("callback") or {"url": "-"}
        journal.write(f"{work.call['executionId']} {work.attempt} {callback['url']}\n")


def report_if_accepted(work: Work, name: str, body: dict[str, Any]) -> None:
    if work.call.get("callback") and work.call["jobName"] in ACCEPTED and not work.stop:
        report(work, name, body, until_taken=name == "logs")


def do(work: Work) -> None:
    """Does the work, and reports its end if the call was accepted."""
    try:
        result = JOBS[work.call["jobName"]](work)
        outcome: tuple[int, dict[str, str], dict[str, Any]] = (200, {}, result)
        end: tuple[str, dict[str, Any]] = ("complete", result)
    except Failed as error:
        status, headers = (422, {}) if error.members.get("permanent") else (503, {"Retry-After": str(error.members["retryAfterSeconds"])})
        outcome = (status, headers, {"success": False, "error": str(error)})
        end = ("fail", {"error": str(error), **error.members})
    except Gone:
        outcome = (503, {"Retry-After": "0"}, {"error": "stopped"})
        end = ("fail", {"error": "stopped", "permanent": False})
    finish(work, outcome, end)


def finish(work: Work, outcome: tuple[int, dict[str, str], dict[str, Any]], end: tuple[str, dict[str, Any]]) -> None:
    with lock:
        if work.outcome is not None:
            return
        work.outcome = outcome
    if work.call.get("callback") and work.call["jobName"] in ACCEPTED:
        with suppress(Gone):
            report(work, *end, until_taken=True)
    work.done.set()


# -- calls of Jobwright ----------------------------------------------------------------------------------------------


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, headers, answer = answer_to(environ, body)
    content = json.dumps(answer).encode()
    start_response(f"{status} -", [("Content-Type", "application/json"), ("Content-Length", str(len(content))), *headers.items()])
    return [content]


def answer_to(environ: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    parts = environ["PATH_INFO"].split("/")
    if environ["PATH_INFO"] == "/health":
        return 200, {}, {"status": "ok"}
    if environ["REQUEST_METHOD"] != "POST" or parts[:3] != ["", "api", "jobs"] or parts[4:] != ["execute"]:
        return 404, {}, {"error": "There is nothing here"}
    if not is_signed(environ, body):
        return 401, {}, {"error": "The signature is missing, wrong or out of time"}
    try:
        call = json.loads(body)
        if call["jobName"] != parts[3] or not isinstance(call["executionId"], str) or not isinstance(call.get("config", {}), dict):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        return 422, {}, {"error": "The body is not a JobContext"}
    if parts[3] in GONE:
        return 410, {}, {"error": "The job does not exist any more"}
    if parts[3] not in JOBS:
        return 503, {"Retry-After": "10"}, {"error": "There is no such job here"}
    return take(call)


def is_signed(environ: dict[str, Any], body: bytes) -> bool:
    message_id, stamp = environ.get("HTTP_WEBHOOK_ID"), environ.get("HTTP_WEBHOOK_TIMESTAMP", "")
    given = [part.partition(",") for part in environ.get("HTTP_WEBHOOK_SIGNATURE", "").split()]
    if not message_id or not stamp.isdigit() or abs(int(time.time()) - int(stamp)) > 300:
        return False
    return any(
        version == "v1" and hmac.compare_digest(text.encode(), signature(message_id, stamp, body, key).encode())
        for version, _, text in given
        for key in KEYS
    )


def take(call: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    attempt, execution = call.get("attempt", 1), call["executionId"]
    with lock:
        known = works.get(execution)
        if known is not None and attempt < known.attempt:
            return 409, {}, {"error": "A newer attempt has begun"}
        failed = known is not None and known.outcome is not None and known.outcome[2].get("success") is not True
        if known is None or (failed and attempt > known.attempt):
            if draining:
                return 503, {"Retry-After": "5"}, {"error": "This instance stops"}
            known = works[execution] = Work(call)
            threading.Thread(target=do, args=(known,), daemon=True).start()
        elif attempt > known.attempt:
            known.attempt, known.call = attempt, call
        work = known
    if call.get("callback") and call["jobName"] in ACCEPTED and work.outcome is None:
        return 202, {}, {"accepted": True}
    work.done.wait()
    return work.outcome or (500, {}, {})


# -- life ------------------------------------------------------------------------------------------------------------


def drain(server: WSGIServer) -> None:
    """Tells Jobwright, takes the calls that are on their way, refuses later ones, and finishes the work within the grace."""
    global draining
    heartbeat("draining")
    time.sleep(min(LINGER_SECONDS, GRACE_SECONDS / 5))
    draining = True
    end = time.monotonic() + GRACE_SECONDS
    for work in list(works.values()):
        work.done.wait(max(0.0, end - time.monotonic()))
    for work in list(works.values()):
        work.stop = True
    for work in list(works.values()):
        work.done.wait(5)
    heartbeat("stopped")
    server.shutdown()


def main() -> None:
    class Server(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = True
        request_queue_size = 128

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None: ...

    def stop(_number: int, _frame: object) -> None:
        threading.Thread(target=drain, args=(server,)).start()

    with make_server("127.0.0.1", int(os.environ["PORT"]), application, server_class=Server, handler_class=Quiet) as server:
        signal.signal(signal.SIGTERM, stop)
        threading.Thread(target=lambda: (register(), heartbeat("ready")), daemon=True).start()
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
