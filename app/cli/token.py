"""`jobwright token`: API tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from app.accounts.model import Role, Scope
from app.cli.client import Client, segment
from app.cli.connect import with_client
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import find_account, id_of
from app.cli.options import JSON
from app.cli.output import Column, echo, moment, note, print_json, print_page

PEOPLES_SCOPES = (Scope.READ, Scope.WRITE, Scope.RUN)  # the others are for programs, which ask for them
SCOPES = click.Choice([scope.value for scope in Scope])
DAYS = 90  # until a token expires, as on the page


@click.group(cls=OrderedGroup)
def token() -> None:
    """Manage API tokens."""


@token.command("create", epilog=examples("jobwright token create --user ci@example.com --name deploy --scope read --scope run > token"))
@click.option("--user", "email", required=True, help="The e-mail address of the owner.")
@click.option("--name", required=True, help="A name that says what the token is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=SCOPES,
    help="A scope; repeat the option for more. Default: read, write and run; admin if the owner is a super-admin.",
)
@click.option("--days", type=click.IntRange(1, 3650), help=f"The number of days until the token expires. Default: {DAYS}.")
@click.option("--never-expires", is_flag=True, help="Create a token that never expires.")
@with_client
def create(client: Client, email: str, name: str, scopes: tuple[str, ...], days: int | None, never_expires: bool) -> None:
    """Create a token and print it.

    Prints the token and nothing else on standard output. It cannot be shown again.
    """
    if days is not None and never_expires:
        raise click.UsageError("Use either --days or --never-expires.")
    owner = find_account(client, email)
    usual = PEOPLES_SCOPES + ((Scope.ADMIN,) if owner.get("role") == Role.SUPER_ADMIN.value else ())
    granted = list(scopes) or [scope.value for scope in usual]
    body = {"name": name, "scopes": granted, **({} if never_expires else {"days": days or DAYS})}
    answer = client.post(f"/users/{segment(id_of(owner))}/tokens", "text", body)
    echo(str(answer["text"]))
    if days is None and not never_expires:
        expires = moment(answer.get("token", {}).get("expires_at"))
        note(f"The token expires at {expires}, after {DAYS} days. --days N or --never-expires creates one with another lifetime.")


@token.command("list")
@JSON
@with_client
def list_tokens(client: Client, as_json: bool) -> None:
    """List all tokens, without their secret text."""
    answer = client.get("/tokens", "tokens")
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Id"),
        Column("Owner", cut=True),
        Column("Name", cut=True),
        Column("Scopes", spare=True),
        Column("Expires"),
        Column("Last used", spare=True),
    ]
    rows = [
        (
            id_of(row),
            row.get("owner") or "–",
            row.get("name"),
            ", ".join(row.get("scopes") or ()),
            _expiry(row),
            moment(row.get("last_used_at"), otherwise="never"),
        )
        for row in answer["tokens"]
    ]
    print_page(columns, rows, answer, singular="token", plural="tokens")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@with_client
def revoke(client: Client, token_id: str) -> None:
    """Revoke a token.

    A revoked token cannot be activated again.
    """
    client.delete(f"/tokens/{segment(token_id)}", "message")
    echo("The token is revoked.")


def _expiry(row: Mapping[str, Any]) -> str:
    return "revoked" if row.get("revoked_at") else moment(row.get("expires_at"), otherwise="never expires")
