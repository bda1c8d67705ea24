"""Rows of many results: the log of a run, the last outcomes of a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from app.queue.execution import Outline
from app.queue.items import ItemCounts
from templates_lib.messages import say, say_many
from web.filters.states import STATES
from web.filters.texts import (
    seen,
)
from web.filters.times import local, seconds
from web.language import decimal, language, translated

# How many runs ended in which way, from the ground of a chart up.
OUTCOMES = {
    "success": say("{count} successful"),
    "skipped": say("{count} skipped"),
    "missed": say("{count} missed"),
    "cancelled": say("{count} cancelled"),
    "timeout": say("{count} timed out"),
    "failed": say("{count} failed"),
}


def log_items(lines: Iterable[Mapping[str, Any]], failing: int = 0, *, links: bool = False) -> Markup:
    """Returns the <li> elements of log lines {number, level, timestamp, message}.

    `failing` is the number of the line that tells why a run failed. With `links`, the number of each line leads to its place in the whole
    log. A page has hundreds of lines, so Python puts them together, which is faster than a template.
    """
    parts = []
    for line in lines:
        number, here = line["number"], local(line["timestamp"])
        mark = " failing" if number == failing else ""
        where = f"?line={number}" if links else ""
        parts.append(
            f'<li id="L{number}" class="level-{escape(line["level"].lower())}{mark}">'
            f'<a class="line-number" href="{where}#L{number}">{number}</a>'
            f'<time datetime="{here.isoformat()}" title="{here:%Y-%m-%d %H:%M:%S.%f}">{here:%H:%M:%S}</time>'
            f'<span class="text" dir="auto">{seen(line["message"])}</span></li>'
        )
    return Markup("".join(parts))  # noqa: S704 - each part is a number, a time, or escaped


def strip(executions: Sequence[Outline]) -> Markup:
    """Returns the last outcomes as a row of links, oldest first; `executions` come newest first.

    The height of a link is 20 to 100, by its duration. A list of jobs has hundreds of links, so Python puts them together, which is
    faster than a template.
    """
    longest = max((row.duration_seconds or 0.0 for row in executions), default=0.0) or 1.0
    name = language()
    words = {status: escape(translated(word, name)) for status, (_, word) in STATES.items()}
    parts = []
    for row in reversed(executions):
        took = row.duration_seconds
        hint = f"{words[row.status]}, {seconds(took, name)}"
        high = 20 + round(80 * (took or 0.0) / longest / 10) * 10
        parts.append(
            f'<a href="/executions/{escape(row.id)}" class="tick state-{escape(row.status)} h{high}" title="{hint}"'
            f' aria-label="{hint}"></a>'
        )
    label = translated(say("Last {count} outcomes, oldest first", count=len(executions)), name)
    return Markup('<span class="strip" role="group" aria-label="{}">{}</span>').format(
        label,
        Markup("".join(parts)),  # noqa: S704 - each part is a number, a word of ours, or escaped
    )


def item_words(items: ItemCounts) -> str:
    """Returns how many items were done, in words, such as "1,198 of 1,200 items succeeded, 2 failed"."""
    if not items.failed:
        return translated(say_many("{count} item", "{count:,} items", items.processed))
    return translated(
        say_many(
            "{succeeded} of {count} item succeeded, {failed} failed",
            "{succeeded:,} of {count:,} items succeeded, {failed:,} failed",
            items.processed,
            succeeded=items.succeeded,
            failed=items.failed,
        )
    )


def hour_words(counts: Mapping[str, int]) -> str:
    """Returns the outcomes of an hour in words, such as "3 successful, 1 failed"."""
    told = [translated(say(OUTCOMES[status], count=decimal(count))) for status in OUTCOMES if (count := counts.get(status, 0))]
    return ", ".join(told) or translated(say("nothing"))
