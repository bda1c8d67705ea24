"""Messages through Apprise, each sent by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from app.notification.channels.base import Channel, Door, Receipt, Refused, Unknown, Unreachable
from app.notification.message import Message, Severity
from templates_lib.messages import say

SECONDS = 60.0  # after which the process is ended, whatever it does
CHILD = "app.notification.channels.apprise.child"
_KINDS = {Severity.GOOD: "success", Severity.INFO: "info", Severity.BAD: "failure"}


class Apprise(Channel):
    """Any service that Apprise knows, by an address whose scheme the operator allows."""

    type = "apprise"
    title = "Apprise"
    description = say("Messages to a hundred other services, through Apprise")
    icon = "send"
    libraries = ("apprise",)

    def place(self, settings: Mapping[str, Any]) -> str:  # noqa: ARG002 - the address is a secret as a whole
        return self.title

    def problems(self, settings: Mapping[str, Any], door: Door) -> Sequence[tuple[str, str]]:
        scheme = _scheme(settings)
        if scheme in door.apprise_schemes():
            return ()
        return (("/url", say("must begin with a scheme that JOBWRIGHT_APPRISE_SCHEMES allows, not with {scheme}://", scheme=scheme)),)

    def send(self, message: Message, settings: Mapping[str, Any], door: Door) -> Receipt:
        url, scheme = settings["url"], _scheme(settings)
        if scheme not in door.apprise_schemes():  # it was allowed when the channel was saved
            raise Refused(say("Addresses with {scheme}:// are not allowed. Add it to JOBWRIGHT_APPRISE_SCHEMES.", scheme=scheme))
        request = {
            "url": url,
            "title": message.title,
            "text": message.as_text(),
            "kind": _KINDS[message.severity],
            "allowed_hosts": sorted(door.allowed_hosts()),
        }
        result, words = _sent_by_child(request, scheme)
        if result == "sent":
            return Receipt(words=say("{scheme} took the message.", scheme=scheme))
        if result == "private":
            raise Refused(say("{host} has a private or local address. Add it to JOBWRIGHT_ALLOWED_HOSTS if it may be called.", host=words))
        if result == "invalid":
            raise Refused(say("Apprise does not know this address, or something is missing in it."))
        failure = {"refused": Refused, "unreachable": Unreachable}.get(result, Unknown)
        raise failure(say("{scheme} did not take the message: {words}", scheme=scheme, words=words or "?"))


def _scheme(settings: Mapping[str, Any]) -> str:
    return str(settings["url"]).partition("://")[0].lower()


def _sent_by_child(request: Mapping[str, Any], scheme: str) -> tuple[str, str]:
    """Returns how a try went, and what Apprise says of it. Raises Unknown if the process does not answer."""
    # -I: no setting and no folder of this process reaches it. HOME keeps files such as .netrc from it.
    command = [sys.executable, "-I", "-B", "-m", CHILD]
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    try:
        ended = subprocess.run(  # noqa: S603 - our own module, no shell
            command, input=json.dumps(request).encode(), capture_output=True, env=environment, cwd="/", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unknown(say("{scheme} did not answer within {seconds} s.", scheme=scheme, seconds=int(SECONDS))) from error
    try:
        answer = json.loads(ended.stdout)
        return answer["result"], answer["words"]
    except (ValueError, KeyError) as error:
        raise Unknown(say("Apprise ended without an answer (exit code {code}).", code=ended.returncode)) from error
