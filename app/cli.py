"""`jobwright`: the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click
from pymongo.errors import PyMongoError

from app.accounts.model import Role, Scope, User
from app.audit.model import Actor
from app.clock import SystemClock
from app.config import Settings, load_settings
from app.errors import JobwrightError, StartError
from app.events import configure_logging
from app.exchange.service import Action, Plan, Result
from app.factory import Store, build_services, migrate, open_store
from app.jobtemplates.catalogue import Catalogue
from app.migrations import Migrator
from app.premises import place_of, told_by_setting
from app.process import run_service
from app.services import Services
from app.validation.terminal import escaped, printable
from templates_lib import private

CLI = Actor(id="cli", email="command line", role=Role.SUPER_ADMIN.value, via="cli")
EX_CONFIG = 78  # sysexits.h; systemd shows it by name
MOST_NAMED = 10  # accounts


def _say(text: str, *, err: bool = False) -> None:
    """Print a text that people or jobs may have written: nothing in it is a command to the terminal."""
    click.echo(printable(text), err=err)


def main() -> None:
    """Entry point: an expected error is one message on standard error and an exit code, never a traceback."""
    try:
        cli.main(prog_name="jobwright", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except JobwrightError as error:
        _stop(f"{error.title}: {error}")
    except PyMongoError as error:
        _stop(f"The database: {type(error).__name__}: {' '.join(str(error).split())[:300]}. Look at MONGODB_URI.")
    except OSError as error:
        _stop(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _stop(words: str) -> NoReturn:
    _say(f"jobwright: {words}", err=True)
    sys.exit(EX_CONFIG)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("jobwright"), "-V", "--version")
def cli() -> None:
    """Jobwright: a template-driven job registry. Settings come from the environment (docs/reference/settings.md)."""


@cli.command()
def serve() -> None:
    """Run web, scheduler and executor in one process: the default for one machine."""
    run_service(web=True, engine=True)


@cli.command()
def web() -> None:
    """Run the web server alone; any number of them on one database."""
    run_service(web=True, engine=False)


@cli.command()
def scheduler() -> None:
    """Run scheduler and executor alone; any number of them on one database."""
    run_service(web=False, engine=True)


@cli.command()
def demo() -> None:
    """Start the service, make and run one job a template on sample data, print what became of each, stop."""
    from app.demo.run import run_demo  # noqa: PLC0415 - only here

    sys.exit(run_demo())


@cli.group()
def user() -> None:
    """Accounts."""


@user.command("create")
@click.option("--email", required=True)
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.ADMIN.value, show_default=True)
@click.option("--name", default="")
@click.password_option("--password", envvar="JOBWRIGHT_NEW_PASSWORD", help="At least 12 characters; asked for where it is not given.")
def user_create(email: str, role: str, name: str, password: str) -> None:
    """Make a local account."""
    with _services() as (services, _):
        made = services.accounts.create_user(CLI, email=email, password=password, role=Role(role), name=name)
        _say(f"{made.email} is {made.role.value}")


@user.command("list")
def user_list() -> None:
    """Print each account: address, role, kind, whether it is closed, when it was last seen."""
    with _services(existing=True) as (services, _):
        for one in services.accounts.all(CLI):
            state = "closed" if one.disabled else "open"
            _say(f"{one.email}\t{one.role.value}\t{one.kind.value}\t{state}\t{one.last_seen_at or 'never'}")


@user.command("reset")
@click.argument("email")
def user_reset(email: str) -> None:
    """Print the link on which someone sets another password; good once, within a day."""
    with _services(existing=True) as (services, _):
        secret = services.accounts.start_reset(CLI, _account(services, email).id)
        _say(f"{services.settings.public_url.rstrip('/')}/reset/{secret}")


@user.command("change")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]))
@click.option("--close/--open", "disabled", default=None, help="Whether sign-in and tokens are refused.")
@click.option("--group", "groups", multiple=True, help="Keep to the jobs of this group; may be given more than once.")
@click.option("--all-groups", is_flag=True, help="Keep to no group.")
@click.option("--remove-second-factor", is_flag=True, help="For someone who lost the device and the recovery codes.")
def user_change(
    email: str, role: str | None, disabled: bool | None, groups: tuple[str, ...], all_groups: bool, remove_second_factor: bool
) -> None:
    """Change an account; holds from the next request on."""
    with _services(existing=True) as (services, _):
        found = _account(services, email)
        changes: dict[str, Any] = {name: value for name, value in (("role", role), ("disabled", disabled)) if value is not None}
        if groups or all_groups:
            changes["groups"] = [] if all_groups else list(groups)
        changed = services.accounts.change(CLI, found.id, changes)
        if remove_second_factor:
            services.accounts.remove_second_factor(CLI, found.id)
        kept = f", kept to {', '.join(changed.groups)}" if changed.groups else ""
        _say(f"{changed.email} is {changed.role.value}{kept}{', closed' if changed.disabled else ''}")


def _account(services: Services, email: str) -> User:
    known = services.accounts.all(CLI)
    found = next((one for one in known if one.email == email.strip().lower()), None)
    if found is None:
        raise UnknownAccount(email, [one.email for one in known], place_of(services.settings))
    return found


class UnknownAccount(JobwrightError):
    """There is no such account where the command looked."""

    status, title = 404, "Not found"

    def __init__(self, email: str, known: Sequence[str], place: str) -> None:
        more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
        there = f"; the accounts are {', '.join(known[:MOST_NAMED])}{more}" if known else "; there is none"
        super().__init__(f"There is no account {email!r} in {place}{there}")


@cli.group()
def token() -> None:
    """API tokens."""


@token.command("create")
@click.option("--user", "email", required=True, help="E-mail address of the owner.")
@click.option("--name", required=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice([scope.value for scope in Scope]), help="Default: all.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it expires. Default: never.")
def token_create(email: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Print a new token, and nothing else; it is shown this once."""
    with _services(existing=True) as (services, _):
        expires = services.clock.now() + timedelta(days=days) if days else None
        chosen = tuple(Scope(scope) for scope in scopes) or tuple(Scope)
        owner = _account(services, email)
        _say(services.tokens.create(CLI, email=owner.email, name=name, scopes=chosen, expires_at=expires))


@token.command("list")
def token_list() -> None:
    """Print each token: id, owner, name, scopes, when it expires and whether it is revoked. Never its text."""
    with _services(existing=True) as (services, _):
        for row in services.tokens.all(CLI):
            state = "revoked" if row["revoked_at"] else f"until {row['expires_at']}" if row["expires_at"] else "without an end"
            _say(f"{row['_id']}\t{row['owner']}\t{row['name']}\t{','.join(row['scopes'])}\t{state}")


@token.command("revoke")
@click.argument("token_id")
def token_revoke(token_id: str) -> None:
    """Revoke a token for ever."""
    with _services(existing=True) as (services, _):
        services.tokens.revoke(CLI, token_id)


@cli.group()
def secrets() -> None:
    """What is kept encrypted."""


@secrets.command("reseal")
def secrets_reseal() -> None:
    """Encrypt every secret with the key that is used now; afterwards JOBWRIGHT_OLD_SECRET_KEYS is needed for the audit trail alone."""
    from app.reseal import Resealer  # noqa: PLC0415 - only here

    with (
        _services(existing=True) as (services, store),
        services.audit.action(CLI, "secrets.reseal", kind="installation", target_id="secrets"),
    ):
        for collection, count in Resealer(store.database, services.keys).run():
            _say(f"{collection}: {count}")


@cli.group()
def template() -> None:
    """For those who write kinds of jobs."""


@template.command("new")
@click.argument("name")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where the package goes. Default: here.")
def template_new(name: str, folder: Path) -> None:
    """Write a package with a kind of job in it, its README and its tests."""
    from app.template_tools.scaffold import scaffold  # noqa: PLC0415 - only here

    made = scaffold(name, folder)
    _say("\n".join(map(str, made)))
    _say(f"\nInstall it beside Jobwright (pip install {made[0].parent}), then: jobwright template check {name}")


@template.command("check")
@click.argument("names", nargs=-1)
def template_check(names: tuple[str, ...]) -> None:
    """Say what kinds of jobs do not keep of what any must, all or the named ones. Exit code 1 where there is something."""
    # It draws forms: the other commands need no web framework.
    from app.template_tools.contract import check_kind  # noqa: PLC0415

    configure_logging(level="ERROR")
    catalogue, lapses = Catalogue.discover(), 0
    for name, reason in catalogue.broken.items():
        lapses += 1
        _say(f"{name}: cannot be loaded: {reason.splitlines()[0]}")
    for kind in names or catalogue.types():
        found = check_kind(catalogue, kind)
        lapses += len(found)
        _say(f"{kind}: {'keeps all' if not found else ''}")
        for lapse in found:
            _say(f"  {lapse.rule}: {lapse.words}")
    sys.exit(1 if lapses else 0)


@cli.command("export")
@click.option("--format", "kind", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Default: standard output.")
def export_command(kind: str, output: Path | None) -> None:
    """Write all jobs into a file for Git: defaults left out, secrets masked."""
    with _services(existing=True) as (services, _):
        text = services.exchange.export(CLI, kind)
    if output is None:
        click.echo(text, nl=False)
    else:
        with output.open("wb") if output.exists() else private.create(output) as stream:
            stream.write(text.encode())


@cli.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
def import_command(file: TextIO) -> None:
    """Create the jobs of a file that are not there; those that are stay as they are."""
    _carry_out(file, only_new=True)


@cli.command("plan")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Jobs that came out of a file and are in it no more would be deleted.")
def plan_command(file: TextIO, prune: bool) -> None:
    """Print what `apply` would do, and do nothing. Exit code 1 for a file with an invalid job, 2 where something would change."""
    with _services(existing=True) as (services, _):
        plan = services.exchange.plan(CLI, file.read(), prune=prune)
        _print_plan(plan)
    if not plan.valid:
        sys.exit(1)
    if any(step.action is not Action.KEEP for step in plan.steps):
        sys.exit(2)


@cli.command("apply")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Delete jobs that came out of a file and are in it no more.")
def apply_command(file: TextIO, prune: bool) -> None:
    """Make the registry as a file says. Exit code 1 where something could not be done; a file with an invalid job does nothing."""
    _carry_out(file, prune=prune)


def _carry_out(file: TextIO, **options: bool) -> None:
    with _services() as (services, _):
        plan = services.exchange.plan(CLI, file.read(), **options)
        if not plan.valid:
            _print_plan(plan)
            sys.exit(1)
        done = services.exchange.carry_out(CLI, plan)
        _print_plan(done)
        if any(step.result is Result.FAILED for step in done.steps):
            sys.exit(1)


def _print_plan(plan: Plan) -> None:
    for step in plan.steps:
        _say(f"{step.result or step.action:<10}{step.name}{f': {step.detail}' if step.detail else ''}")
        for error in step.errors:
            _say(f"  {error.pointer or '/'}: {error.message}")
        for warning in step.warnings:
            _say(f"  warning {warning.pointer}: {warning.message}")
        for row in step.diff if step.action is Action.UPDATE else ():
            before, after = (escaped(json.dumps(row.get(side), default=str, ensure_ascii=False)) for side in ("before", "after"))
            _say(f"  {row['field']}: {before} -> {after}")


@cli.command("migrate")
@click.option("--down-to", help="Take back each migration after this id; `zero` takes back all.")
def migrate_command(down_to: str | None) -> None:
    """Apply the pending database migrations, or take some back."""
    with _store() as (store, _):
        migrator = Migrator(store.database, SystemClock())
        done = migrator.downgrade(down_to) if down_to else migrator.upgrade()
        _say("\n".join(done) if done else "nothing to do")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(as_json: bool) -> None:
    """Look at the database, its indexes, clocks, disk, key, nodes, jobs and runs; say what to do. Exit code 1 on a problem."""
    from app.doctor import Doctor, Level  # noqa: PLC0415 - only here

    problems = 0
    with _store(existing=True) as (store, settings):
        for finding in Doctor(build_services(settings, store, make_key=False), store).examine():
            problems += finding.level is Level.PROBLEM
            if as_json:
                _say(escaped(json.dumps(asdict(finding), ensure_ascii=False)))
            else:
                advice = f"\n{' ' * 34}{finding.advice}" if finding.advice else ""
                _say(f"{finding.level:<10}{finding.subject:<24}{finding.text}{advice}")
    sys.exit(1 if problems else 0)


@contextmanager
def _store(*, existing: bool = False) -> Iterator[tuple[Store, Settings]]:
    """The database; with `existing`, of a registry that is there: nothing is made for a command that only looks into one."""
    settings = load_settings()
    configure_logging(level="WARNING", style=settings.log_format)
    with told_by_setting(settings):
        store = open_store(settings, existing=existing)
        try:
            yield store, settings
        finally:
            store.close()


@contextmanager
def _services(*, existing: bool = False) -> Iterator[tuple[Services, Store]]:
    with _store(existing=existing) as (store, settings):
        if not existing:
            migrate(store)
        elif pending := Migrator(store.database, SystemClock()).pending():
            raise StartError(f"The registry waits for migrations ({', '.join(pending)}): run `jobwright migrate`")
        yield build_services(settings, store, make_key=not existing), store


if __name__ == "__main__":
    main()
