"""`jobwright user`: accounts."""

from __future__ import annotations

from typing import Any

import click

from app.accounts.model import Role
from app.cli.client import Client, segment
from app.cli.connect import Server, open_client, with_client, with_server
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import find_account, id_of
from app.cli.options import JSON
from app.cli.output import Column, echo, moment, note, print_json, print_page
from app.cli.session import cli_actor, open_services

ROLES = click.Choice([role.value for role in Role])


@click.group(cls=OrderedGroup)
def user() -> None:
    """Manage accounts."""


@user.command("create", epilog=examples("jobwright user create --email ada@example.com --invite"))
@click.option("--email", required=True, help="The e-mail address, which is also the sign-in name.")
@click.option("--role", type=ROLES, default=Role.ADMIN.value, show_default=True, help="The role of the account.")
@click.option("--name", default="", help="The name to show on pages.")
@click.option("--invite", is_flag=True, help="Print a link on which the person sets a password, instead of asking for one.")
@click.option(
    "--password",
    envvar="JOBWRIGHT_NEW_PASSWORD",
    help="The password, with at least 12 characters. The command asks for it if neither this option nor JOBWRIGHT_NEW_PASSWORD is given.",
)
@with_server
def create(server: Server | None, email: str, role: str, name: str, invite: bool, password: str | None) -> None:
    """Create an account of a person.

    On a server, use --invite: this command sends no password to a server.
    """
    if invite:
        with open_client(server) as client:
            answer = client.post("/users", "user", {"email": email, "role": role, **({"name": name} if name else {})})
            note(f"Created {answer['user'].get('email')}. The link works once, and expires after one day.")
            echo(f"{client.address}{answer.get('reset', '')}")
        return
    if server is not None:
        raise click.UsageError("A password is not sent to a server. Add --invite: the person sets a password on a link.")
    if password is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with open_services() as (services, _):
        account = services.accounts.create_user(cli_actor(), email=email, password=password, role=Role(role), name=name)
        echo(f"Created {account.email} with the role {account.role.value}.")


@user.command("list")
@JSON
@with_client
def list_accounts(client: Client, as_json: bool) -> None:
    """List all accounts."""
    answer = client.get("/users", "users")
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("E-mail", cut=True, least=20),
        Column("Name", cut=True, spare=True),
        Column("Role"),
        Column("Kind", spare=True),
        Column("State"),
        Column("Groups", cut=True, spare=True),
        Column("Last seen"),
    ]
    rows = [
        (
            row.get("email"),
            row.get("name"),
            row.get("role"),
            row.get("kind"),
            "closed" if row.get("disabled") else "open",
            ", ".join(row.get("groups") or ()) or "all",
            moment(row.get("last_seen_at"), otherwise="never"),
        )
        for row in answer["users"]
    ]
    print_page(columns, rows, answer, singular="account", plural="accounts")


@user.command("reset")
@click.argument("email")
@with_client
def reset(client: Client, email: str) -> None:
    """Print a link on which the person can set a new password.

    The link works once, and expires after one day.
    """
    answer = client.post(f"/users/{segment(id_of(find_account(client, email)))}/reset", "reset")
    echo(f"{client.address}{answer['reset']}")


@user.command(
    "change", epilog=examples("jobwright user change ada@example.com --role super_admin", "jobwright user change ada@example.com --close")
)
@click.argument("email")
@click.option("--role", type=ROLES, help="The new role.")
@click.option(
    "--close/--open",
    "disabled",
    default=None,
    help="Close the account, so that it cannot sign in and its tokens are refused; or open it again.",
)
@click.option("--group", "groups", multiple=True, help="Restrict the account to jobs of this group. Repeat the option for more groups.")
@click.option("--all-groups", is_flag=True, help="Remove the restriction to groups.")
@click.option("--remove-second-factor", is_flag=True, help="For a person who has lost the device and the recovery codes.")
@with_client
def change(client: Client, email: str, remove_second_factor: bool, groups: tuple[str, ...], all_groups: bool, **values: Any) -> None:
    """Change an account.

    The change takes effect with the next request of the account.
    """
    account = find_account(client, email)
    changes = {name: value for name, value in values.items() if value is not None}
    if groups or all_groups:
        changes["groups"] = [] if all_groups else list(groups)
    path = f"/users/{segment(id_of(account))}"
    if changes:
        account = client.patch(path, "user", changes)["user"]
    if remove_second_factor:
        client.delete(f"{path}/second-factor", "message")
    restriction = f", is restricted to {', '.join(account['groups'])}" if account.get("groups") else ""
    closed = ", is closed" if account.get("disabled") else ""
    echo(f"{account.get('email')} has the role {account.get('role')}{restriction}{closed}.")
