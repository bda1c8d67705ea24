"""Functions, tasks and events that the old scheduler calls by a name: what becomes of them is chosen for the whole plan.

- `service:CONNECTION`: the job of a service that has registered a handler with that name. Without CONNECTION, it has the name of the
  source.
- `command:PROGRAM`: a program that gets the name, the positional arguments and the named ones, the last two as JSON. Without PROGRAM, it
  is what the source proposes, such as the command line of Celery.
- `bus:CONNECTION`: a message over NATS. Its subject is the name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from app.imports.entries import APPROVE, LEAVE_OUT, LEAVE_OUT_WORDS, Call, Draft, Need, Question
from app.imports.mapping.command import FOLDER, program_path
from app.imports.mapping.needs import connection
from app.imports.names import slug
from app.imports.secrets import MARK, has_secret
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.validation.secret import named_secret

SERVICE, COMMAND, BUS = "service", "command", "bus"
WAYS = (SERVICE, COMMAND, BUS)
LONGEST_JOB_NAME = 200


def check_calls(calls: str) -> None:
    """Raises SourceError if it is no way to make calls."""
    way, _, target = calls.partition(":")
    if calls and way not in WAYS:
        raise SourceError(f"{way!r} is not a way to make calls. Known ways: service:CONNECTION, command:PROGRAM and bus:CONNECTION.")
    if way == COMMAND and target and not target.startswith("/"):
        raise SourceError(f"command:{target} needs the absolute path of a program, such as command:{FOLDER}/call.")


def map_call(call: Call, source: Source, options: SourceOptions, draft: Draft) -> None:
    """Adds the template and the parameters of a call to the draft, with the fate of its fields."""
    way, _, target = (options.calls or source.calls).partition(":")
    if call.unreadable:
        draft.waits("arguments", "", call.unreadable)
        words = f"The values of the call cannot be read: {call.unreadable}."
        choices = {"empty": "The job is created without them. Enter them in the job.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=words, choices=choices))
    if way == COMMAND:
        _as_command(call, target, source, options, draft)
    elif way == BUS:
        _as_message(call, target or source.type, draft)
    else:
        _as_service_job(call, target or source.type, draft)


def _as_service_job(call: Call, service: str, draft: Draft) -> None:
    """A job of a service: the name is its job name, and the values are its settings."""
    draft.needs.append(Need(name=service, kind="service", settings={}))
    draft.mapped("call", call.name, "parameters.job_name", f"the service {service} runs the handler that it has registered with this name")
    parameters = {"service": service, "job_name": call.name[:LONGEST_JOB_NAME], "config": _values(call, "parameters.config", draft)}
    draft.body |= {"template_type": "service_job", "parameters": {key: value for key, value in parameters.items() if value != {}}}
    _not_sent(call, draft)


def _as_message(call: Call, bus: str, draft: Draft) -> None:
    """A message over NATS: the subject is the name, with - for characters that a subject may not have."""
    draft.needs.append(Need(name=bus, kind="nats", settings={}))
    subject = ".".join(re.sub(r"[^A-Za-z0-9_-]+", "-", part).strip("-") or "-" for part in re.split(r"[.:]", call.name) if part) or "call"
    draft.mapped("call", call.name, "parameters.subject", "" if subject == call.name else "a subject has letters, digits, _, - and dots")
    parameters: dict[str, Any] = {"connection": bus, "subject": subject, "payload": _values(call, "parameters.payload", draft)}
    draft.body |= {"template_type": "message_command", "parameters": parameters}
    _not_sent(call, draft)


def _not_sent(call: Call, draft: Draft) -> None:
    for key, value in call.sending.items():
        draft.dropped(key, _json(value), "it says how the old scheduler sends the call. Jobwright sends it itself")


def _values(call: Call, target: str, draft: Draft) -> dict[str, Any]:
    """Returns the values of a call as one object, without its secrets: people must give those to the service."""
    plain: dict[str, Any] = dict(call.keywords)
    if call.arguments:
        plain = {"args": list(call.arguments), **({"kwargs": plain} if plain else {})}
    if call.arguments:
        draft.mapped("arguments", _json(call.arguments), f"{target}.args")
    for key, value in call.keywords.items():
        draft.mapped(key, _json(value), f"{target}.{'kwargs.' if call.arguments else ''}{key}")
    removed: list[str] = []
    without = _without_secrets(plain, "", removed)
    if removed:
        words = f"The call contains secrets, and parameters of jobs are stored in the clear: {', '.join(removed)}."
        choices = {APPROVE: "The job does without these values. Its receiver reads them from its own settings.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=words, choices=choices))
    return dict(without)


def _without_secrets(value: Any, path: str, removed: list[str]) -> Any:
    """Returns a value of JSON without what has a placeholder. An element of a list becomes null, so that the others keep their places."""
    if isinstance(value, str) and has_secret(value):
        removed.append(path or "the value")
        return None
    if isinstance(value, Mapping):
        parts = {key: _without_secrets(inner, f"{path}.{key}".lstrip("."), removed) for key, inner in value.items()}
        return {key: inner for key, inner in parts.items() if inner is not None or value[key] is None}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner, f"{path}[{place}]", removed) for place, inner in enumerate(value)]
    return value


def _as_command(call: Call, program: str, source: Source, options: SourceOptions, draft: Draft) -> None:
    """A program with the name and the values as arguments. It gets secrets as variables, and their placeholders are their names."""
    own = None if program else source.arguments_of(call, options)
    words = own or [program or f"{FOLDER}/call-{source.type}", call.name, _json(call.arguments), _json(call.keywords)]
    secrets: dict[str, Any] = {}

    def variable(match: re.Match[str]) -> str:
        name, number = f"JOBWRIGHT_SECRET_{match[1]}", int(match[1])
        if name not in secrets:
            prints = (draft.prints[number - 1],)
            secrets[name] = named_secret(connection(draft, "secret", slug(call.name), {}, secret=f"the value {match[0]}", prints=prints))
        return f"${name}"

    texts = [MARK.sub(variable, text) for text in words]
    parameters: dict[str, Any] = {"program": program_path(texts[0]), "arguments": texts[1:], "secrets": secrets}
    if secrets:
        draft.mapped("secrets", ", ".join(secrets), "parameters.secrets", "the program must replace $NAME in its arguments by the variable")
    reason = "list the program in JOBWRIGHT_COMMAND_PROGRAMS. It makes the call"
    draft.mapped("call", call.name, "parameters.program, parameters.arguments", reason)
    if call.arguments:
        draft.mapped("arguments", _json(call.arguments), "parameters.arguments")
    for key, value in call.keywords.items():
        draft.mapped(key, _json(value), "parameters.arguments")
    for key, value in call.sending.items():
        if own:
            draft.mapped(key, _json(value), "parameters.arguments")
        else:
            draft.dropped(key, _json(value), "the program decides how it sends the call")
    draft.body |= {"template_type": "command", "parameters": {key: value for key, value in parameters.items() if value not in ([], {})}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
