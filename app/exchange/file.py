"""Files of jobs, for people and for Git: YAML or JSON, read strictly and with limits.

A file may hold only the values that JSON has (YAML 1.2, 10.2: the JSON schema). So `no`, `2026-01-01` and `1e3` mean the same to every
reader: text, text and a number. Anchors, aliases, tags, merge keys and a second document are refused, so that a file has no hidden
meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml

from app.errors import FieldError, ValidationFailed
from app.jobs.reading import json_schema
from app.jobs.schema import JobDefinitionSchema
from app.triggers import ManualTrigger
from app.validation import SchemaValidator, strict_json
from app.validation.names import unseen_places
from app.validation.storable import decimal_of
from app.validation.terminal import escaped
from templates_lib.messages import amount, joined, said, say

FORMAT = 1
LONGEST = 1_000_000  # characters
DEEPEST = 64
LONGEST_NUMBER = 4_000  # digits; Python's own limit for turning text into a number is 4,300
MOST_JOBS = 2_000
MEDIA = {"yaml": "application/yaml", "json": "application/json"}


_MEMBERS = json_schema(JobDefinitionSchema())["properties"]
# The `defaults` of a file: values for members that its jobs leave out. Only members whose defaults are settings are allowed, because
# settings differ between installations.
DEFAULTS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        part: {"type": "object", "additionalProperties": False, "properties": {name: _MEMBERS[part]["properties"][name] for name in names}}
        for part, names in {
            "schedule": ("timezone",),
            "retry_policy": ("max_retries", "retry_delay_seconds"),
            "misfire": ("grace_seconds",),
        }.items()
    },
}
_defaults_validator = SchemaValidator(DEFAULTS)


class FileRefused(ValidationFailed):
    """The text is not a file of jobs. `line` and `column` count from 1, and are None if the place is not known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        self.line, self.column = line, column
        words = say("line {line}, column {column}: {reason}", line=line, column=column, reason=said(reason)) if line else reason
        super().__init__([FieldError("", words)], words)


class _Loader(yaml.CSafeLoader):
    """Reads only JSON values; see the module."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own interface

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002 - PyYAML's
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            mark = key_node.start_mark
            if not isinstance(key, str):
                raise FileRefused("a name must be text: put it in quotes", mark.line + 1, mark.column + 1)
            if key in members:
                raise FileRefused(say("the name {key!r} occurs twice in one object", key=key), mark.line + 1, mark.column + 1)
            members[key] = self.construct_object(value_node, deep=True)
        return members


_SCALARS = (
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", ["t", "f"]),
    ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", list("-0123456789")),
    ("tag:yaml.org,2002:float", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", list("-0123456789")),
)
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _whole(_loader: Any, node: Any) -> int:
    if len(node.value) > LONGEST_NUMBER:
        raise FileRefused("the number is too long", node.start_mark.line + 1, node.start_mark.column + 1)
    return int(node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(cast(yaml.MappingNode, node)))
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _loader, node: decimal_of(node.value))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


# A text that another reader of YAML would not read as text is put into quotes.
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text)),
)


def _style(text: str) -> str | None:
    """Returns the style of a text: a block for several lines, double quotes for characters that must be escaped, single quotes for a text
    that would be read as a number or another scalar; None for no quotes."""
    if not all(character == "\n" or character.isprintable() for character in text):
        return '"'
    if any(re.match(pattern, text) for _, pattern, _ in _SCALARS):
        return "'"
    return "|" if "\n" in text else None


def read(text: str) -> list[Any]:
    """Returns the bodies of the jobs in a file. A job gets the file's `defaults` for members that it leaves out. Raises FileRefused, with
    the place, if the text is not such a file."""
    if len(text) > LONGEST:
        raise FileRefused(say("the file is longer than {most:,} characters", most=LONGEST))
    content = _value(text)
    if not isinstance(content, Mapping) or "jobs" not in content:
        raise FileRefused("the file must be an object with `jobwright: 1` and `jobs`")
    unknown = sorted(set(content) - {"jobwright", "defaults", "jobs"})
    if unknown:
        raise FileRefused(say("{name!r} is not a known field. Known fields: jobwright, defaults, jobs", name=unknown[0]))
    if content.get("jobwright") != FORMAT or isinstance(content["jobwright"], bool):
        raise FileRefused(say("`jobwright` must be {number}, the format that this release reads", number=FORMAT))
    jobs = content["jobs"] if content["jobs"] is not None else []
    if not isinstance(jobs, list):
        raise FileRefused("`jobs` must be a list")
    if len(jobs) > MOST_JOBS:
        raise FileRefused(
            say("the file has more than {most:,} jobs, which is the limit: it has {found:,}", found=len(jobs), most=MOST_JOBS)
        )
    defaults = content.get("defaults") or {}
    if errors := _defaults_validator.errors(defaults, prefix="/defaults"):
        raise FileRefused(joined((joined((error.pointer, error.message), " ") for error in errors), "; "))
    return [_with_defaults(job, defaults) if isinstance(job, dict) else job for job in jobs]


def _with_defaults(job: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a job with the members of `defaults` that it leaves out."""
    parts = {name: job.get(name, {"type": ManualTrigger.type} if name == "schedule" else {}) for name in defaults}
    return {**job, **{name: {**defaults[name], **part} for name, part in parts.items() if isinstance(part, dict)}}


def write(bodies: list[dict[str, Any]], kind: str, defaults: Mapping[str, Any] | None = None, *, left_out: int = 0) -> str:
    """Returns a file of jobs that `read` can read. `kind` is `yaml` or `json`; `defaults` are values for members that the jobs leave
    out. `left_out` is the number of jobs that services register, for a comment, which only YAML has."""
    whole = {"jobwright": FORMAT, **({"defaults": dict(defaults)} if defaults and bodies else {}), "jobs": bodies}
    if kind == "json":
        return escaped(json.dumps(whole, indent=2, ensure_ascii=False)) + "\n"
    comment = f"# Left out, because services register them from their code: {amount(left_out, 'job')}\n" if left_out else ""
    return comment + _escape_invisible(str(yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)))


def _escape_invisible(text: str) -> str:
    """Returns YAML with an escape for each character that is invisible or changes the direction of text. All these characters are in
    double quotes already (`_style`), where YAML allows escapes."""
    places = {place for place in unseen_places(text) if not text[place].isprintable() and text[place] != "\n"}
    return "".join(f"\\U{ord(char):08x}" if place in places else char for place, char in enumerate(text)) if places else text


def _value(text: str) -> Any:
    """Returns the value of the text, which is JSON or YAML. The events of YAML are checked before any value is built."""
    if text.lstrip().startswith("{"):
        try:
            return strict_json.parse(text, deepest=DEEPEST)
        except strict_json.JsonRefused as error:
            raise FileRefused(str(error)) from error
        except ValueError:
            pass  # the YAML reader reports the error, or takes the text: {a: 1}
    depth = 0
    try:
        events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        for event in events:
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise FileRefused("anchors and aliases are not supported; write the value in full", *place)
            if getattr(event, "tag", None) not in {None, "!"}:
                raise FileRefused(say("the YAML tag {tag!r} is not supported", tag=event.tag), *place)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise FileRefused(say("it is nested more than {most} levels deep", most=DEEPEST), *place)
            depth -= isinstance(event, yaml.CollectionEndEvent)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, narrowed further
        json.dumps(value, ensure_ascii=False).encode()  # raises for half of a surrogate pair, which an escape may write
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise FileRefused(str(error.problem or error.context), *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileRefused(say("it is not valid YAML: {error}", error=str(error)[:200])) from error
    return value
