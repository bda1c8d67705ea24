"""Messages through Apprise: what becomes of them, and what its process may not do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.config import load_settings
from app.config.values import SCHEMES_OF_THE_MACHINE
from app.errors import ConfigError
from app.notification.channels.apprise import channel as module
from app.notification.channels.apprise.channel import Apprise
from app.notification.channels.base import NotDelivered, Refused, Unknown, Unreachable
from app.notification.channels.catalogue import ChannelTypes
from app.validation import SchemaValidator
from tests.builders.channels import Receiver, receiver
from tests.contract.test_channels import MESSAGE, Doors

TOKEN = "tk-s3cret-of-the-topic"


@pytest.fixture(autouse=True)
def _library() -> None:
    if find_spec("apprise") is None:
        if os.environ.get("CI"):
            pytest.fail("no Apprise: make setup-apprise")
        pytest.skip("no Apprise: make setup-apprise")


class Open(Doors):
    """A way out that allows some schemes, and some private hosts."""

    def __init__(self, hosts: Collection[str] = ("127.0.0.1",), schemes: Collection[str] = ("json", "ntfy", "syslog")) -> None:
        self._hosts, self._schemes = list(hosts), list(schemes)

    def allowed_hosts(self) -> list[str]:
        return self._hosts

    def apprise_schemes(self) -> list[str]:
        return self._schemes


def of(target: Receiver, *, scheme: str = "json", path: str = TOKEN, query: str = "") -> dict[str, Any]:
    return {"url": target.url.replace("http://", f"{scheme}://").rsplit("/", 1)[0] + f"/{path}{query}"}


def test_a_message_arrives_and_failures_are_told_by_what_the_receiver_answers() -> None:
    with receiver() as target:
        settings = of(target)
        assert Apprise().send(MESSAGE, settings, Open()).words == "json took the message."
        ((_, body),) = target.got
        assert (body["title"], "Attempts: 3" in body["message"], body["type"]) == ("Night failed", True, "failure")
        target.answers = [404, 503]
        with pytest.raises(Refused) as refused:
            Apprise().send(MESSAGE, settings, Open())
        assert TOKEN not in str(refused.value)
        with pytest.raises(Unreachable):
            Apprise().send(MESSAGE, settings, Open())
        target.close_after_reading = True
        with pytest.raises(Unknown):
            Apprise().send(MESSAGE, settings, Open())
    with pytest.raises(Unreachable):
        Apprise().send(MESSAGE, settings, Open())


@pytest.mark.parametrize("url", ["xml://127.0.0.1/x", "syslog://", "file:///etc/passwd", "https://hooks.example.com/x"])
def test_a_scheme_that_is_not_allowed_is_refused_before_anything_starts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHILD", "no.such.module")
    with pytest.raises(Refused, match="JOBWRIGHT_APPRISE_SCHEMES"):
        Apprise().send(MESSAGE, {"url": url}, Open(schemes=["json"]))
    ((pointer, words),) = Apprise().problems({"url": url}, Open(schemes=["json"]))
    assert (pointer, "JOBWRIGHT_APPRISE_SCHEMES" in words) == ("/url", True)
    assert Apprise().problems({"url": "JSON://127.0.0.1/x"}, Open(schemes=["json"])) == ()


def test_private_hosts_are_not_reached() -> None:
    with receiver() as target:
        for host in ("localhost", "2130706433"):
            settings = of(target)
            settings["url"] = settings["url"].replace("127.0.0.1", host)
            with pytest.raises(NotDelivered):
                Apprise().send(MESSAGE, settings, Open(hosts=()))
        with pytest.raises(Refused, match="JOBWRIGHT_ALLOWED_HOSTS"):
            Apprise().send(MESSAGE, of(target), Open(hosts=()))
        port = target.url.split(":")[2].split("/")[0]
        assert Apprise().send(MESSAGE, of(target), Open(hosts=[f"127.0.0.1:{port}"])).words
        assert len(target.got) == 1


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("json://", "json://a json://b", "json://a\n", " json://a", "nonsense"):
        assert SchemaValidator(Apprise.settings_schema()).errors({"url": url}), url
    with pytest.raises(Refused, match="does not know this address"):
        Apprise().send(MESSAGE, {"url": "json://"}, Open())


GUARDED = """
import json, os, socket, subprocess, sys
from app.notification.channels.apprise.guard import Guard
guard, told = Guard([]), {}
guard.close()
def attempt(name, deed):
    try:
        deed(); told[name] = "done"
    except OSError as error:
        told[name] = "refused" if type(error).__name__ == "Refusal" else str(error)
attempt("a secret", lambda: open(sys.argv[1]).read())
attempt("a new file", lambda: open(sys.argv[1] + ".new", "w"))
attempt("the users", lambda: open("/etc/passwd").read())
attempt("a program", lambda: subprocess.run(["true"]))
attempt("a shell", lambda: os.system("true"))
attempt("a fork", os.fork)
attempt("removal", lambda: os.remove(sys.argv[1]))
attempt("a socket of the machine", lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"))
attempt("an address", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2]))))
attempt("an address that nobody looked up", lambda: socket.socket().connect(("127.0.0.1", int(sys.argv[2]))))
attempt("a datagram", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 514)))
attempt("a library", lambda: open(os.__file__).read())
print(json.dumps({**told, "environment": sorted(os.environ)}))
"""


def test_the_guard_refuses_files_programs_and_private_hosts(tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_text("key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-B", "-c", GUARDED, str(secret), str(server.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, env={"PATH": os.defpath}, check=True, timeout=60)
    told = json.loads(ended.stdout)
    assert told.pop("environment") in (["PATH"], ["LC_CTYPE", "PATH"])
    assert told.pop("a library") == "done"
    assert set(told.values()) == {"refused"}, told
    assert secret.read_text() == "key"


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 3.0)
    with receiver() as target, socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"url": f"json://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}?cto=100&rto=100"}
        with pytest.raises(Unknown, match="did not answer within 3 s"):
            Apprise().send(MESSAGE, settings, Open())
        assert target.got == []


@pytest.mark.parametrize("value", [*sorted(SCHEMES_OF_THE_MACHINE), "ntfys,Dbus", "ntfy://", "a b"])
def test_a_scheme_that_acts_on_the_machine_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigError, match="JOBWRIGHT_APPRISE_SCHEMES"):
        load_settings({"JOBWRIGHT_APPRISE_SCHEMES": value})


def test_schemes_are_read_in_any_case() -> None:
    assert load_settings({"JOBWRIGHT_APPRISE_SCHEMES": "NTFYS, tgram,ntfys"}).apprise_schemes == ("ntfys", "tgram")


def test_a_type_whose_library_is_not_installed_cannot_be_chosen_but_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Apprise, "libraries", ("no_such_library",))
    types = ChannelTypes.discover()
    assert ("apprise" in types.names(), "apprise" in types.usable().names(), "mail" in types.usable().names()) == (True, False, True)
