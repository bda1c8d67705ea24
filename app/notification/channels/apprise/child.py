"""`python -I -B -m app.notification.channels.apprise.child`: sends one message through Apprise and ends.

It reads a request as JSON from standard input and writes `result` and `words` to standard output. The code of Apprise is not ours, and
its addresses can ask for much: so this process has no secrets but the address, and a guard (guard.py) from the moment at which that is
read.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from apprise import Apprise, AppriseAsset, NotifyFormat

from app.notification.channels.apprise.guard import Guard
from app.notification.message import cut

LONGEST_WORDS = 200
CPU_SECONDS = 30
SHORTEST_SECRET = 6  # characters: shorter parts of an address are words
_STATUS = re.compile(r"error=(\d{3})")
# What the libraries below Apprise say when nothing can have been sent.
_NOT_SENT = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Failed to establish", "Connection refused")


class Heard(logging.Handler):
    """Keeps what Apprise logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.warnings: list[str] = []
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record.getMessage())
        if record.levelno >= logging.WARNING:
            self.warnings.append(record.getMessage())


def main() -> None:
    """Sends the message of the request."""
    request = json.load(sys.stdin)
    for limit, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    answers, sys.stdout = sys.stdout, sys.stderr
    result, words = _sent(request)
    answers.write(json.dumps({"result": result, "words": cut(masked(words, request["url"]), LONGEST_WORDS)}))


def _sent(request: dict[str, Any]) -> tuple[str, str]:
    heard = Heard()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    asset = AppriseAsset(app_id="Jobwright", async_mode=False, secure_logging=True, http_redirects=False)
    guard = Guard(request["allowed_hosts"])
    guard.close()
    service = Apprise.instantiate(request["url"], asset=asset)
    if service is None:
        return "invalid", ""
    sender = Apprise(asset=asset)
    sender.add(service)
    taken = sender.notify(
        body=request["text"], title=request["title"], notify_type=request["kind"], body_format=NotifyFormat.TEXT, interpret_escapes=False
    )
    if taken:
        return "sent", ""
    return ("private", guard.refused[0]) if guard.refused else (result_of(heard.all), " ".join(heard.warnings[-1:]))


def result_of(lines: Iterable[str]) -> str:
    """Returns what lines of Apprise's log say of a message that failed: `refused`, `unreachable`, or `unknown` if they do not say it."""
    text = "\n".join(lines)
    status = _STATUS.search(text)
    if status is not None:
        code = int(status.group(1))
        return "unreachable" if code in {408, 425, 429} or code >= 500 else "refused"
    return "unreachable" if any(word in text for word in _NOT_SENT) else "unknown"


def masked(words: str, url: str) -> str:
    """Returns words without the parts of an address that may be secret."""
    parts = [part for part in re.split(r"[/:@?&=,]+", url.partition("://")[2]) if len(part) >= SHORTEST_SECRET]
    for part in sorted({*parts, *map(unquote, parts)}, key=len, reverse=True):
        words = words.replace(part, "***")
    return words


if __name__ == "__main__":
    main()
