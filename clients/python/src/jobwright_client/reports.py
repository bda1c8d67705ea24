"""Reports of one run that was accepted with 202: heartbeat, progress, log lines, the end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from jobwright_client.context import Reports
from jobwright_client.results import Outcome
from jobwright_client.sender import Sender, log, new_message_id
from jobwright_client.transport import Answer, NoAnswer, encoded

MOST_LINES = 5000  # that wait; older ones are dropped
LINES_A_REPORT = 500
MOST_LINE_CHARACTERS = 8000
MOST_REPORT_CHARACTERS = 500_000
REPORT_EVERY_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0


class Callback:
    """Where the reports of one attempt go, from `callback` of the call."""

    def __init__(self, callback: Mapping[str, Any]) -> None:
        self.url = str(callback["url"]).rstrip("/")
        self.token = str(callback.get("token") or self.url)
        heartbeat = callback.get("heartbeatSeconds")
        self.heartbeat_seconds = float(heartbeat) if isinstance(heartbeat, (int, float)) and heartbeat > 0 else 60.0


class SentReports(Reports):
    """Collects what a run reports, and sends it from a thread of its own: lines and progress at most once a second, and a heartbeat.

    `stop` is called with the reason when the answer says that the run is to stop.
    """

    def __init__(
        self, callback: Callback, sender: Sender, stop: Callable[[str], None], every_seconds: float = REPORT_EVERY_SECONDS
    ) -> None:
        self._callback = callback
        self._sender = sender
        self._stop = stop
        self._every = every_seconds
        self._changed = threading.Condition()
        self._lines: deque[dict[str, Any]] = deque()
        self._first = 1  # the number of the first line that waits
        self._progress: dict[str, Any] | None = None
        self._extend: int | None = None
        self._closed = False
        self._refused = False
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="jobwright-reports", daemon=True)

    def start(self) -> None:
        """Starts to send."""
        self._thread.start()

    # -- what the run says -------------------------------------------------------------------------------------------

    def progress(self, done: int, total: int | None, note: str) -> None:
        body: dict[str, Any] = {"done": done}
        if total is not None:
            body["total"] = total
        if note:
            body["note"] = note[:500]
        with self._changed:
            self._progress = body
            self._changed.notify()

    def line(self, level: str, message: str, created: float) -> None:
        moment = datetime.fromtimestamp(created, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._changed:
            self._lines.append({"level": level, "message": message[:MOST_LINE_CHARACTERS], "time": moment})
            if len(self._lines) > MOST_LINES:
                self._lines.popleft()
                self._first += 1
            self._changed.notify()

    def extend(self, seconds: int) -> None:
        with self._changed:
            self._extend = max(1, min(int(seconds), 86_400))
            self._changed.notify()

    def detach(self) -> None:
        """Ends the reports of this attempt without a word, because a newer attempt has taken over."""
        with self._changed:
            self._closed = self._refused = True
            self._changed.notify()

    def waiting_lines(self) -> list[dict[str, Any]]:
        """Returns the lines that wait, the newest 500 at most."""
        with self._changed:
            return list(self._lines)[-LINES_A_REPORT:]

    def end(self, outcome: Outcome) -> None:
        """Sends the end of the attempt, after the lines that are left. Both are kept until Jobwright takes them."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(TIMEOUT_SECONDS + 1)
        callback = self._callback
        with self._changed:
            if self._refused:
                return  # Jobwright has said that this attempt is over
            batches = list(self._batches())
        for batch in batches:
            self._sender.owe(f"{callback.url}/logs", callback.token, batch)
        name, body = outcome.as_report()
        self._sender.owe(f"{callback.url}/{name}", callback.token, body)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if not (self._waiting() or self._closed):
                    self._changed.wait(self._callback.heartbeat_seconds / 3)
                if self._closed:
                    return
                waiting = self._waiting()
            taken = self._report() if waiting else self._post("heartbeat", {})
            with self._changed:
                if self._refused:
                    return
                # After a failure, what waits is sent with the next heartbeat.
                third = self._callback.heartbeat_seconds / 3
                pause = min(self._every, third) if taken else third
                self._changed.wait_for(lambda: self._closed, pause)

    def _waiting(self) -> bool:
        return bool(self._lines) or self._progress is not None or self._extend is not None

    def _report(self) -> bool:
        """Sends all that waits. Returns whether Jobwright took it."""
        with self._changed:
            seconds, self._extend = self._extend, None
            progress, self._progress = self._progress, None
            batch = next(self._batches(), None)
        if seconds is not None and not self._post("extend", {"seconds": seconds}):
            self._put_back(progress, seconds)
            return False
        if progress is not None and not self._post("progress", progress):
            self._put_back(progress, None)
            return False
        return batch is None or self._send_lines(batch)

    def _put_back(self, progress: dict[str, Any] | None, seconds: int | None) -> None:
        with self._changed:
            self._progress = self._progress or progress
            self._extend = self._extend or seconds

    def _send_lines(self, batch: dict[str, Any]) -> bool:
        if not self._post("logs", batch):
            return False
        with self._changed:
            sent = batch["first"] + len(batch["lines"]) - self._first
            for _ in range(min(max(sent, 0), len(self._lines))):
                self._lines.popleft()
                self._first += 1
        return True

    def _batches(self) -> Iterator[dict[str, Any]]:
        """The lines that wait, as bodies of reports."""
        first, lines, size = self._first, list[dict[str, Any]](), 0
        for line in list(self._lines):
            if len(lines) == LINES_A_REPORT or (lines and size + len(line["message"]) > MOST_REPORT_CHARACTERS):
                yield {"first": first, "lines": lines}
                first, lines, size = first + len(lines), [], 0
            lines.append(line)
            size += len(line["message"])
        if lines:
            yield {"first": first, "lines": lines}

    def _post(self, name: str, body: Mapping[str, Any]) -> bool:
        """Sends a report once. Returns whether Jobwright has judged it, so that it need not be sent again."""
        callback = self._callback
        try:
            answer = self._sender.send(f"{callback.url}/{name}", encoded(body), new_message_id(), TIMEOUT_SECONDS)
        except NoAnswer as error:
            log.debug("A report was not sent: %s", error)
            return False
        return self._judge(answer, name)

    def _judge(self, answer: Answer, name: str) -> bool:
        if answer.status in {404, 409, 410}:
            with self._changed:
                detached, self._refused = self._refused, True
            if not detached:
                self._stop("Jobwright says that this attempt is over")
            return True
        if answer.status == 200:
            if answer.json().get("status") in {"cancelling", "cancelled"}:
                self._stop("The run was cancelled")
            return True
        if answer.status in {400, 413, 422}:
            log.warning("Jobwright does not take a report (%s): %s", name, answer.problem())
            return True
        if answer.status == 401 and not self._warned:
            self._warned = True
            log.error("Jobwright refuses the signature of reports: %s; compare JOBWRIGHT_SIGNING_KEYS, and the clocks", answer.problem())
        return False
