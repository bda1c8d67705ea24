"""A type of channel of somebody else: a folder beside Jobwright is all that it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.doctor.jobs import check_notifications
from app.factory import Store
from app.services import Services
from app.validation.secret import MASK
from tests.posting import post, text

CODE = '''
from pathlib import Path

from app.notification.channels.base import Channel, Receipt, Refused, Unreachable


class Board(Channel):
    """Writes messages on a board."""

    type, title, description, icon = "board", "Board", "A board on the wall", "bell"

    def place(self, settings):
        return settings["file"]

    def problems(self, settings, door):
        if settings["file"] == "/odd":
            raise ZeroDivisionError
        return [("/file", "must not be the office")] if settings["file"] == "/office" else []

    def send(self, message, settings, door):
        if settings["file"] == "/crash":
            raise ZeroDivisionError
        if not Path(settings["file"]).parent.is_dir():
            raise Unreachable("There is no wall.")
        with Path(settings["file"]).open("a") as board:
            board.write(f"{settings['pin']}: {message.title}\\n")
        return Receipt(words="It hangs on the wall.")
'''
SCHEMA = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "title": "Place of the board", "minLength": 1},
        "pin": {"type": "string", "title": "Pin", "writeOnly": True, "minLength": 3},
    },
    "required": ["file", "pin"],
    "additionalProperties": False,
}
POINTS = "[jobwright.channels]\nboard = somebodys_board.channel:Board\nabsent = somebodys_board.channel:Absent\n"


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the type as `pip install` would, before the services are built."""
    package, about = tmp_path / "site" / "somebodys_board", tmp_path / "site" / "somebodys_board-1.0.dist-info"
    for folder in (package, about):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "channel.py").write_text(CODE)
    (package / "settings.schema.json").write_text(json.dumps(SCHEMA))
    (package / "README.md").write_text("Use *long* pins.")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-board\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_a_type_of_somebody_else_has_a_form_and_sends(
    browser_client: FlaskClient, services: Services, store: Store, super_admin: Actor, tmp_path: Path
) -> None:
    assert "absent" not in services.channels.types.names(), "what cannot be loaded is left out"
    assert "/channels/new?type=board" in text(browser_client.get("/channels"))
    page = text(browser_client.get("/channels/new?type=board"))
    for shown in ("Place of the board", "Pin", "Use <em>long</em> pins."):
        assert shown in page
    board = tmp_path / "board.txt"
    given = {"name": "Wall", "enabled": "1", "language": "de", "/file": str(board), "/pin": "blue pin"}
    assert post(browser_client, "/channels/new?type=board", {**given, "/pin": "x"}).status_code == 422
    refused = post(browser_client, "/channels/new?type=board", {**given, "/file": "/office"})
    assert (refused.status_code, "must not be the office" in text(refused)) == (422, True)
    crashed = services.channels.problems("Wall", "board", {"file": "/odd", "pin": "blue pin"})
    assert [(error.pointer, "ZeroDivisionError" in error.message) for error in crashed] == [("/settings", True)]
    assert post(browser_client, "/channels/new?type=board", given).status_code == 302
    (row,) = services.channels.all(super_admin)
    assert row["settings"] == {"file": str(board), "pin": MASK}
    assert services.channels.test(super_admin, row["_id"]).reason == "It hangs on the wall."
    assert board.read_text() == "blue pin: Test des Kanals Wall\n"
    assert str(board) in text(browser_client.get("/channels"))


@pytest.mark.parametrize(
    ("file", "result", "reason"),
    [
        ("/no/such/wall", "unreachable", "There is no wall."),
        ("/crash", "unreachable", "The channel failed unexpectedly: ZeroDivisionError"),
    ],
)
def test_a_type_that_fails_does_so_as_ours_do(
    services: Services, store: Store, super_admin: Actor, file: str, result: str, reason: str
) -> None:
    row = services.channels.create(super_admin, name="Wall", type="board", settings={"file": file, "pin": "blue pin"})
    attempt = services.channels.test(super_admin, row["_id"])
    assert (attempt.result, attempt.reason) == (result, reason)
    assert list(check_notifications(services, store))
