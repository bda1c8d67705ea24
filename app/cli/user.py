"""`jobwright user`: accounts."""

from __future__ import annotations

from typing import Any

import click

from app.accounts.model import Role
from app.cli.accounts import find_account
from app.cli.output import echo
from app.cli.session import cli_actor, open_services

ROLES = click.Choice([role.value for role in Role])


@click.group()
def user() -> None:
    """Manage accounts."""


@user.command("create")
@click.option("--email", required=True, help="The e-mail address, which is also the sign-in name.")
@click.option("--role", type=ROLES, default=Role.ADMIN.value, show_default=True, help="The role of the account.")
@click.option("--name", default="", help="The name to show on pages.")
@click.password_option(
    "--password",
    envvar="JOBWRIGHT_NEW_PASSWORD",
    help="The password, with at least 12 characters. The command asks for it if neither this option nor JOBWRIGHT_NEW_PASSWORD is given.",
)
def create(email: str, role: str, name: str, password: str) -> None:
    """Create a local account."""
    with open_services() as (services, _):
        account = services.accounts.create_user(cli_actor(), email=email, password=password, role=Role(role), name=name)
        echo(f"Created {account.email} with the role {account.role.value}.")


@user.command("list")
def list_accounts() -> None:
    """List all accounts.

    Prints one line for each account, with tabs between its address, role, kind (person or service), state (open or closed) and the time of
    its last request.
    """
    with open_services(existing=True) as (services, _):
        for account in services.accounts.all(cli_actor()):
            state = "closed" if account.disabled else "open"
            echo(f"{account.email}\t{account.role.value}\t{account.kind.value}\t{state}\t{account.last_seen_at or 'never'}")


@user.command("reset")
@click.argument("email")
def reset(email: str) -> None:
    """Print a link on which the person can set a new password.

    The link works once, and expires after one day.
    """
    with open_services(existing=True) as (services, _):
        secret = services.accounts.start_reset(cli_actor(), find_account(services, email).id)
        echo(f"{services.settings.public_url.rstrip('/')}/reset/{secret}")


@user.command("change")
@click.argument("email")
@click.option("--role", type=ROLES, help="The new role.")
@click.option("--close/--open", "disabled", default=None, help="Whether the account is refused sign-in and the use of its tokens.")
@click.option("--group", "groups", multiple=True, help="Restrict the account to jobs of this group. Repeat the option for more groups.")
@click.option("--all-groups", is_flag=True, help="Remove the restriction to groups.")
@click.option("--remove-second-factor", is_flag=True, help="For a person who has lost the device and the recovery codes.")
def change(
    email: str, role: str | None, disabled: bool | None, groups: tuple[str, ...], all_groups: bool, remove_second_factor: bool
) -> None:
    """Change an account.

    The change takes effect with the next request of the account.
    """
    with open_services(existing=True) as (services, _):
        account = find_account(services, email)
        changes: dict[str, Any] = {name: value for name, value in (("role", role), ("disabled", disabled)) if value is not None}
        if groups or all_groups:
            changes["groups"] = [] if all_groups else list(groups)
        account = services.accounts.change(cli_actor(), account.id, changes)
        if remove_second_factor:
            services.accounts.remove_second_factor(cli_actor(), account.id)
        restriction = f", is restricted to {', '.join(account.groups)}" if account.groups else ""
        echo(f"{account.email} has the role {account.role.value}{restriction}{', is closed' if account.disabled else ''}")
