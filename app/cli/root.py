"""The root command `jobwright` and its entry point."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from app.cli.failures import ExitCode, code_of_status
from app.cli.groups import DOCUMENTATION, SectionedGroup, examples
from app.errors import ConfigError, JobwrightError, StartError, ValidationFailed

COMPLETION = "_JOBWRIGHT_COMPLETE"  # click's name of the variable
SECTIONS = {
    "Jobs and runs": {
        "job": "app.cli.job:job",
        "execution": "app.cli.execution:execution",
        "template": "app.cli.template:template",
    },
    "Jobs as files": {
        "export": "app.cli.exchange:export_jobs",
        "plan": "app.cli.exchange:plan_file",
        "apply": "app.cli.exchange:apply_file",
        "import": "app.cli.imports:import_jobs",
        "migrate-jobs": "app.cli.migrate_jobs:migrate_jobs",
    },
    "Accounts": {
        "user": "app.cli.user:user",
        "token": "app.cli.token:token",
    },
    "Notifications": {
        "channel": "app.cli.channel:channel",
    },
    "Nodes": {
        "node": "app.cli.node:node",
    },
    "The service on this machine": {
        "serve": "app.cli.run:serve",
        "web": "app.cli.run:web",
        "scheduler": "app.cli.run:scheduler",
        "worker": "app.cli.run:worker",
        "demo": "app.cli.demo:demo",
        "sample": "app.cli.sample:sample",
    },
    "The registry of this machine": {
        "doctor": "app.cli.doctor:doctor",
        "migrate": "app.cli.migrate:migrate",
        "backup": "app.cli.backup:backup",
        "restore": "app.cli.backup:restore",
        "secrets": "app.cli.secrets:secrets",
    },
    "Shell": {
        "completion": "app.cli.completion:completion",
    },
}


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - other commands do without it

        click.echo(f"jobwright, version {version('jobwright')}")
        context.exit()


@click.group(
    cls=SectionedGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{examples('jobwright serve', 'jobwright job list --status failed', 'jobwright job run NAME --follow')}\n\n{DOCUMENTATION}",
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version and exit."
)
def cli() -> None:
    """Jobwright runs jobs that are made from templates.

    Commands for jobs, files and accounts work on the registry of this machine. For a server, set JOBWRIGHT_SERVER and JOBWRIGHT_TOKEN.
    """


def main() -> None:
    """Runs the command line. An expected error becomes one message on standard error and an exit code, never a traceback."""
    if COMPLETION in os.environ:  # the script of `jobwright completion` asks for words
        from app.cli.completion import register_shells  # noqa: PLC0415 - other commands do without it

        register_shells()
    try:
        cli.main(prog_name="jobwright", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ConfigError, StartError) as error:
        _fail(f"{error.title}: {error}", ExitCode.SETTING)
    except ValidationFailed as error:
        from app.cli.client import wrong_fields  # noqa: PLC0415 - `--help` does without it

        fields = wrong_fields([{"pointer": wrong.pointer, "detail": wrong.message} for wrong in error.errors])
        _fail("\n".join([f"{error.title}:", *fields]), ExitCode.REFUSED)
    except JobwrightError as error:
        _fail(f"{error.title}: {error}", code_of_status(error.status))
    except BrokenPipeError:
        _end_quietly()
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", ExitCode.SETTING)
    except Exception as error:
        _fail_of_database(error)


def _fail_of_database(error: Exception) -> NoReturn:
    """Ends the command after an error of the database; raises any other."""
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - `--help` does without it

    if not isinstance(error, PyMongoError):
        raise error
    reason = " ".join(str(error).split())[:300]
    _fail(f"The database reports {type(error).__name__}: {reason}. Check MONGODB_URI.", ExitCode.SETTING)


def _fail(message: str, code: ExitCode) -> NoReturn:
    from app.cli.output import echo  # noqa: PLC0415 - `--help` does without it

    echo(f"jobwright: {message}", err=True)
    sys.exit(code)


def _end_quietly() -> NoReturn:
    """Ends the command after the reader of its output has gone, such as `head`."""
    sys.stdout = None  # so that nothing is flushed into the closed pipe
    sys.exit(ExitCode.FAILED)
