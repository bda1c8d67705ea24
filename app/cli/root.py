"""The root command `jobwright` and its entry point."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import NoReturn

import click
from pymongo.errors import PyMongoError

from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.exchange import apply_file, export_jobs, import_file, plan_file
from app.cli.migrate import migrate
from app.cli.output import echo
from app.cli.run import scheduler, serve, web
from app.cli.sample import sample
from app.cli.secrets import secrets
from app.cli.template import template
from app.cli.token import token
from app.cli.user import user
from app.errors import JobwrightError

EX_CONFIG = 78  # the exit code of a failed command, from sysexits.h; systemd shows it by name
EX_INTERRUPTED = 130  # after Ctrl-C, as in shells: 128 + SIGINT
COMMANDS = (
    serve,
    web,
    scheduler,
    demo,
    user,
    token,
    secrets,
    sample,
    template,
    export_jobs,
    import_file,
    plan_file,
    apply_file,
    migrate,
    doctor,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("jobwright"), "-V", "--version")
def cli() -> None:
    """Jobwright is a template-driven job registry.

    Jobwright reads its settings from the environment (docs/reference/settings.md).
    """


for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Runs the command line. An expected error becomes one message on standard error and an exit code, never a traceback."""
    try:
        cli.main(prog_name="jobwright", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EX_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except JobwrightError as error:
        _fail(f"{error.title}: {error}")
    except PyMongoError as error:
        reason = " ".join(str(error).split())[:300]
        _fail(f"The database reports {type(error).__name__}: {reason}. Check MONGODB_URI.")
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _fail(message: str) -> NoReturn:
    echo(f"jobwright: {message}", err=True)
    sys.exit(EX_CONFIG)
