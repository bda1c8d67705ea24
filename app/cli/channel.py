"""`jobwright channel`: channels of notifications, and tests of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.connect import with_client
from app.cli.failures import ExitCode
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import CHANNELS, find_channel, id_of
from app.cli.options import JSON
from app.cli.output import Column, echo, moment, print_json, print_page, span


@click.group(cls=OrderedGroup)
def channel() -> None:
    """List and test channels of notifications."""


@channel.command("list")
@JSON
@with_client
def list_channels(client: Client, as_json: bool) -> None:
    """List the channels, with the state of each."""
    answer = client.get(CHANNELS, "channels")
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Name", cut=True),
        Column("Type"),
        Column("State"),
        Column("Since", spare=True),
        Column("Language", spare=True),
        Column("Fallback", cut=True, spare=True),
        Column("Reason", cut=True, spare=True, least=20),
    ]
    print_page(columns, [_row(row) for row in answer["channels"]], answer, singular="channel", plural="channels")


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    broken = row.get("broken") or {}
    since = broken.get("since") or row.get("unreachable_since")
    troubles = {"disabled": not row.get("enabled"), "broken": broken, "unreachable": since}
    state = next((name for name, troubled in troubles.items() if troubled), "enabled")
    named = (row.get("name"), row.get("type"), state)
    return (*named, moment(since), row.get("language") or "en", row.get("fallback") or "–", broken.get("reason") or "–")


@channel.command("test", epilog=examples("jobwright channel test Operations"))
@click.argument("name")
@JSON
@with_client
def test(client: Client, name: str, as_json: bool) -> None:
    """Send a test message through a channel, and print what the receiver answered.

    The exit code is 1 if the message did not arrive.
    """
    row = find_channel(client, name)
    answer = client.post(f"{CHANNELS}/{segment(id_of(row))}/test", "result")
    if as_json:
        print_json(answer)
    else:
        took = answer.get("took_ms")
        echo(f"{answer.get('result')} ({span(took / 1000 if isinstance(took, int) else None)}): {answer.get('reason')}")
    sys.exit(ExitCode.OK if answer.get("result") == "sent" else ExitCode.FAILED)
