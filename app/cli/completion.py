"""`jobwright completion`, and what the shell offers for arguments: names of jobs and templates, as a server knows them."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete, add_completion_class

from app.cli.connect import open_client, server_of
from app.cli.groups import examples
from app.cli.look_up import EXECUTIONS, id_of

T = TypeVar("T")
SECONDS = 1.5  # that a shell waits for names
MOST = 50  # names that a shell offers
_MEANS_SOMETHING, _ESCAPED = re.compile(r"([^A-Za-z0-9_@%+=:,./-])"), r"\\\1"


class _Bash(BashComplete):
    """Bash takes each word as it is written, so signs that mean something to it get a backslash."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' response line
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete $1)
    for line in $response; do
        case "${line%%%%,*}" in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("${line#*,}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    @staticmethod
    def _check_version() -> None:
        """Does nothing: the script also runs in the Bash 3.2 of macOS, and click would ask the bash on PATH."""

    def format_completion(self, item: CompletionItem) -> str:
        """Returns a line for the script above."""
        return f"{item.type},{_MEANS_SOMETHING.sub(_ESCAPED, str(item.value))}"


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    epilog=examples(
        "jobwright completion bash > ~/.local/share/bash-completion/completions/jobwright",
        'jobwright completion zsh > "${fpath[1]}/_jobwright"',
        "jobwright completion fish > ~/.config/fish/completions/jobwright.fish",
    )
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print a script that completes commands and names in a shell.

    Names of jobs are completed if the server, or the database of this machine, answers quickly.
    """
    root = click.get_current_context().find_root().command
    click.echo(SHELLS[shell](root, {}, "jobwright", "_JOBWRIGHT_COMPLETE").source())


def register_shells() -> None:
    """Has click answer the scripts above."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def complete_jobs(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the names of jobs that begin with a text."""
    return _names(context, "/scheduler-jobs", "jobs", "name", incomplete, search=incomplete or None, limit=MOST)


def complete_templates(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the types of templates that begin with a text."""
    return _names(context, "/job-templates", "templates", "id", incomplete)


def complete_executions(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the ids of the newest executions that begin with a text, with their jobs."""
    return _ids(context, incomplete, (None,))


def complete_unended(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the ids of executions that wait or run and begin with a text, with their jobs."""
    return _ids(context, incomplete, ("running", "queued", "retrying"))


def _ids(context: click.Context, incomplete: str, statuses: Iterable[str | None]) -> list[CompletionItem]:
    def ask() -> list[CompletionItem]:
        with open_client(server_of(context, seconds=SECONDS)) as client:
            return [
                CompletionItem(id_of(row), help=f"{row.get('job_name')}, {row.get('status')}")
                for status in statuses
                for row in client.get(EXECUTIONS, "executions", status=status, limit=MOST)["executions"]
            ]

    return [item for item in _quietly(ask) if item.value.startswith(incomplete)]


def _names(context: click.Context, path: str, member: str, name: str, incomplete: str, **query: Any) -> list[CompletionItem]:
    def ask() -> list[str]:
        with open_client(server_of(context, seconds=SECONDS)) as client:
            return [str(row.get(name)) for row in client.get(path, member, **query)[member]]

    return [CompletionItem(text) for text in _quietly(ask) if text.startswith(incomplete)]


def _quietly(ask: Callable[[], list[T]]) -> list[T]:
    """Returns what can be offered; nothing if it cannot be known in time: a shell has no place for an error, and people wait."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return ask()
    except Exception:
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_late(*_: object) -> None:
    raise TimeoutError
