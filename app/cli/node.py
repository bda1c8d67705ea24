"""`jobwright node`: nodes and their drains."""

from __future__ import annotations

import click

from app.cli.client import Client, segment
from app.cli.connect import with_client
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import id_of
from app.cli.options import JSON
from app.cli.output import Column, echo, moment, print_json, print_page

NODES = "/nodes"


@click.group(cls=OrderedGroup)
def node() -> None:
    """List and drain nodes."""


@node.command("list")
@JSON
@with_client
def list_nodes(client: Client, as_json: bool) -> None:
    """List the nodes that were seen within a day."""
    answer = client.get(NODES, "nodes")
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Id", cut=True, least=20),
        Column("Host", cut=True, spare=True),
        Column("Role", spare=True),
        Column("State"),
        Column("Version", spare=True),
        Column("Slots", right=True),
        Column("Labels", cut=True),
        Column("Last seen"),
    ]
    rows = [
        (
            id_of(row),
            row.get("host"),
            row.get("role"),
            row.get("state"),
            row.get("version") or "–",
            f"{row.get('running')}/{row.get('slots')}",
            ", ".join(row.get("labels") or ()) or "–",
            moment(row.get("seen_at"), seconds=True),
        )
        for row in answer["nodes"]
    ]
    print_page(columns, rows, answer, singular="node", plural="nodes")


@node.command("drain", epilog=examples("jobwright node drain worker-1-4711-9f2c41aa"))
@click.argument("id")
@JSON
@with_client
def drain(client: Client, id: str, as_json: bool) -> None:
    """Let a node claim no further runs.

    What runs on it continues. The drain ends with the process of the node, or with `jobwright node resume`.
    """
    _ask(client, id, "drain", as_json)


@node.command("resume")
@click.argument("id")
@JSON
@with_client
def resume(client: Client, id: str, as_json: bool) -> None:
    """Let a node that drains claim runs again."""
    _ask(client, id, "resume", as_json)


def _ask(client: Client, node_id: str, what: str, as_json: bool) -> None:
    answer = client.post(f"{NODES}/{segment(node_id)}/{what}", "node")
    if as_json:
        print_json(answer)
    else:
        echo(f"{id_of(answer['node'])} is {answer['node'].get('state')}.")
