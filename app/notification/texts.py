"""The texts of messages about executions and about channels, in the language of who reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from app.notification.message import LONGEST_TEXT, Excerpt, Fact, Link, Message, MessageKind, Severity, cut
from app.queue.execution import Execution
from app.queue.model import Status
from app.validation.terminal import one_line, plain
from templates_lib.messages import Said, say, say_many

LONGEST_VALUE = 500  # characters of a fact


class InWords(Protocol):
    """Puts a sentence into a language."""

    def __call__(self, sentence: str, language: str) -> str: ...


def in_english(sentence: str, language: str) -> str:  # noqa: ARG001 - the signature of InWords
    """Leaves a sentence as it is."""
    return sentence


def title_of(status: str, name: str) -> Said:
    """Returns the title of a message about an end."""
    match status:
        case Status.SUCCESS:
            return say("{job} succeeded", job=name)
        case Status.TIMEOUT:
            return say("{job} timed out", job=name)
        case Status.MISSED:
            return say("{job} was missed", job=name)
    return say("{job} failed", job=name)


def about_end(
    execution: Execution, *, key: str, language: str, public_url: str, in_words: InWords, at: datetime, excerpts: tuple[Excerpt, ...] = ()
) -> Message:
    """Returns the message about the end of an execution."""
    good, name = execution.status == Status.SUCCESS, one_line(execution.job_name)
    url = f"{public_url.rstrip('/')}/executions/{execution.id}" if public_url else ""
    text = "\n\n".join(in_words(part, language) for part in parts_of_end(execution))
    return Message(
        key=key,
        thread=execution.id,
        kind=MessageKind.NOTICE if good else MessageKind.FIRING,
        severity=Severity.GOOD if good else Severity.BAD,
        title=in_words(title_of(execution.status, name), language),
        text=cut(text, LONGEST_TEXT),
        at=at,
        facts=tuple(Fact(label=in_words(label, language), value=value[:LONGEST_VALUE]) for label, value in facts_of_end(execution)),
        links=(Link(words=in_words(say("Show the execution"), language), url=url),) if url else (),
        excerpts=excerpts,
        language=language,
        event=event_of_end(execution),
    )


def event_of_end(execution: Execution) -> dict[str, Any]:
    """Returns what programs read of an end."""
    return {
        "type": f"execution.{execution.status}",
        "execution_id": execution.id,
        "job_id": execution.job_id,
        "job_name": execution.job_name,
        "status": str(execution.status),
        "attempts": len(execution.attempts),
    }


def parts_of_end(execution: Execution) -> Iterator[str]:
    """Yields the paragraphs of a message about an end."""
    error, result, missed = execution.error, execution.result, execution.due_times
    if error:
        yield f"{one_line(error.type)}: {plain(error.message)}"
    if result and result.get("message"):
        yield plain(str(result["message"]))
    if missed:
        yield say_many("{count} run was not started in time.", "{count} runs were not started in time.", missed.count)


def facts_of_end(execution: Execution) -> Iterator[tuple[str, str]]:
    """Yields the labels and the values of what a message about an end has besides its text."""
    if execution.scheduled_for:
        yield say("Scheduled for"), f"{execution.scheduled_for:%Y-%m-%d %H:%M:%S} UTC"
    if execution.completed_at:
        yield say("Ended"), f"{execution.completed_at:%Y-%m-%d %H:%M:%S} UTC"
    if execution.attempts:
        yield say("Attempts"), str(len(execution.attempts))
    if execution.group:
        yield say("Group"), one_line(execution.group)
    if execution.execution_host:
        yield say("Node"), one_line(execution.execution_host)


def about_test(name: str, by: str, *, key: str, language: str, in_words: InWords, at: datetime) -> Message:
    """Returns the message that a person sends to test a channel."""
    return Message(
        key=key,
        thread=key,
        kind=MessageKind.TEST,
        severity=Severity.INFO,
        title=in_words(say("Test of the channel {channel}", channel=name), language),
        text=in_words(say("{person} has tested this channel. Messages arrive here.", person=by), language),
        at=at,
        language=language,
        event={"type": "channel.test", "channel": name},
    )
