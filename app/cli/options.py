"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click
from dateutil.tz import tzlocal

from app import durations, moments
from app.cli.follow import LEVELS, Following
from app.instants import InstantRefused, OutOfBounds

JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer of the REST API as JSON.")
LIMIT = click.option("--limit", type=click.IntRange(1, 200), default=100, show_default=True, help="The number of rows on a page.")
LEVEL = click.option(
    "--level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default=LEVELS[0],
    show_default=True,
    help="Print only lines of this level or of a higher one.",
)
PAGE = click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="The number of the page.")


class Instant(click.ParamType[str]):
    """An instant in the future, which is sent as RFC 3339: `2026-12-01 08:00` or `tomorrow 8:00` in the local time zone, `2 h` from now."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the instant as RFC 3339. Raises BadParameter."""
        text = str(value).strip()
        if not text.isdigit():  # a number without a unit could be a date
            with suppress(durations.DurationRefused):
                text = f"in {durations.write(durations.parse(text))}"
        try:
            return moments.parse(text, now=datetime.now(UTC), zone=tzlocal()).isoformat()
        except (InstantRefused, OutOfBounds):
            self.fail(f"{value!r} is not a time such as '2026-12-01 08:00', 'tomorrow 8:00' or '2 h'.", param, ctx)


_FOLLOW_OPTIONS = (
    click.option("--follow", "-f", is_flag=True, help="Print the log as it comes, until the run ends."),
    click.option("--wait", is_flag=True, help="Wait until the run ends, without its log."),
    click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop waiting after this time. The run goes on."
    ),
    click.option("--cancel-on-interrupt", is_flag=True, help="Cancel the run at Ctrl-C. Without this option, the run goes on."),
)


def follow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a command that starts a run: adds the options for following it, and passes them as `how`; None if it is not followed."""

    @functools.wraps(command)
    def run(*args: Any, follow: bool, wait: bool, timeout: float | None, cancel_on_interrupt: bool, **values: Any) -> Any:
        if not follow and not wait:
            for name, given in (("--timeout", timeout is not None), ("--cancel-on-interrupt", cancel_on_interrupt)):
                if given:
                    raise click.UsageError(f"{name} needs --follow or --wait.")
        how = Following(lines=follow, seconds=timeout, cancel_on_interrupt=cancel_on_interrupt) if follow or wait else None
        return command(*args, how=how, **values)

    for option in reversed(_FOLLOW_OPTIONS):
        run = option(run)
    return run
