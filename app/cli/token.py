"""`jobwright token`: API tokens."""

from __future__ import annotations

from datetime import timedelta

import click

from app.accounts.model import Scope
from app.cli.accounts import find_account
from app.cli.output import echo
from app.cli.session import cli_actor, open_services

SCOPES = click.Choice([scope.value for scope in Scope])


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command("create")
@click.option("--user", "email", required=True, help="The e-mail address of the owner.")
@click.option("--name", required=True, help="A name that says what the token is for.")
@click.option("--scope", "scopes", multiple=True, type=SCOPES, help="A scope; repeat the option for more. Default: all scopes.")
@click.option("--days", type=click.IntRange(1, 3650), help="The number of days until the token expires. Default: it never expires.")
def create(email: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Create a token and print it.

    Prints the token and nothing else. It cannot be shown again.
    """
    with open_services(existing=True) as (services, _):
        expires_at = services.clock.now() + timedelta(days=days) if days else None
        granted = tuple(Scope(scope) for scope in scopes) or tuple(Scope)
        owner = find_account(services, email)
        echo(services.tokens.create(cli_actor(), email=owner.email, name=name, scopes=granted, expires_at=expires_at))


@token.command("list")
def list_tokens() -> None:
    """List all tokens, without their secret text.

    Prints one line for each token, with tabs between its id, owner, name, scopes and state (revoked, expiry time or no expiry).
    """
    with open_services(existing=True) as (services, _):
        for row in services.tokens.all(cli_actor()):
            state = "revoked" if row["revoked_at"] else f"expires {row['expires_at']}" if row["expires_at"] else "does not expire"
            echo(f"{row['_id']}\t{row['owner']}\t{row['name']}\t{','.join(row['scopes'])}\t{state}")


@token.command("revoke")
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """Revoke a token.

    A revoked token cannot be activated again.
    """
    with open_services(existing=True) as (services, _):
        services.tokens.revoke(cli_actor(), token_id)
