"""Reads `beat_schedule` in a Python file. The file is data (app.imports.stores.python_data): it is never imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.imports.shell import operand
from app.imports.sources.base import SourceError, SourceOptions, read_bytes
from app.imports.stores.beat import BeatEntry, BeatReading, Spec, crontab_spec
from app.imports.stores.python_data import Made, PythonData, Unknown, unknown_in, without_unknown

LARGEST_BYTES = 5_000_000
SCHEDULES = frozenset({"beat_schedule", "CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE"})
ZONES = frozenset({"timezone", "CELERY_TIMEZONE"})
UTC_NAMES = frozenset({"enable_utc", "CELERY_ENABLE_UTC"})
_DISABLED = "#jobwright# "
_FUNCTIONS = {
    **dict.fromkeys(("celery.schedules.crontab", "crontab"), "crontab"),
    **dict.fromkeys(("celery.schedules.crontab.from_string", "crontab.from_string"), "from_string"),
    **dict.fromkeys(("celery.schedules.schedule", "schedule"), "schedule"),
    **dict.fromkeys(("celery.schedules.solar", "solar"), "solar"),
    **dict.fromkeys(("datetime.timedelta", "timedelta"), "timedelta"),
}
_CRONTAB = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")  # the order of the arguments
_FROM_STRING = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_SPAN = {"days": 86_400, "seconds": 1, "microseconds": 0.000_001, "milliseconds": 0.001, "minutes": 60, "hours": 3_600, "weeks": 604_800}
_OF_ENTRY = frozenset({"task", "schedule", "args", "kwargs", "options", "relative"})


@dataclass(slots=True)
class _Found:
    """What a file says: entries as (name, value, first line, last line), the time zone, and remarks."""

    data: PythonData
    entries: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    timezone: str = ""
    local: bool = False
    remarks: list[str] = field(default_factory=list)


def read_module(place: str, options: SourceOptions) -> BeatReading:
    """Returns the entries of a file. Raises SourceError."""
    path = Path(place)
    data = read_bytes(path, LARGEST_BYTES)
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise SourceError(f"{place} is not a Python file{line}.") from error
    found = _Found(data=PythonData(_FUNCTIONS))
    _read_block(tree.body, found, "")
    zone = found.timezone or options.timezone or ("" if found.local else "UTC")
    if not found.timezone and not options.timezone:
        found.remarks.append("The file names no time zone. Celery takes UTC. If the application sets another one, give it with --zone.")
    lines = data.decode("utf-8", "replace").split("\n")
    entries = tuple(_entry(path, name, value, lines, first, last, zone) for name, (value, first, last) in found.entries.items())
    if not entries:
        found.remarks.append(f"{place} has no entries in beat_schedule.")
    return BeatReading(name=f"{options.machine}:{path.absolute()}", entries=entries, remarks=tuple(found.remarks))


# -- statements ---------------------------------------------------------------------------------------------------------


def _read_block(body: list[ast.stmt], found: _Found, owner: str) -> None:
    """Reads the statements of a file or a class from top to bottom. `owner` is the class with a dot, or ""."""
    for statement in body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                found.data.note_import(statement)
            case ast.Assign():
                for target in statement.targets:
                    _assign(target, statement.value, found, owner)
            case ast.AnnAssign(value=ast.expr() as value):
                _assign(statement.target, value, found, owner)
            case ast.Expr(value=ast.Call() as call):
                _read_call(call, found)
            case ast.ClassDef():
                _read_block(statement.body, found, f"{statement.name}.")
            case ast.If() | ast.Try() | ast.With() | ast.FunctionDef():
                _remark_inside(statement, found)


def _assign(target: ast.expr, value: ast.expr, found: _Found, owner: str) -> None:
    if isinstance(target, ast.Subscript):
        name = found.data.value(target.slice)
        if found.data.dotted(target.value).rpartition(".")[2] in SCHEDULES and isinstance(name, str):
            found.entries[name] = (found.data.value(value), target.lineno, value.end_lineno or value.lineno)
        return
    dotted = found.data.dotted(target)
    last = dotted.rpartition(".")[2]
    if last in SCHEDULES:
        found.entries = {}
        _add(value, found)
    elif last in ZONES or last in UTC_NAMES:
        _setting(last, found.data.value(value), found)
    if isinstance(target, ast.Name):
        found.data.names[f"{owner}{dotted}"] = found.data.names[dotted] = found.data.value(value)


def _setting(name: str, value: Any, found: _Found) -> None:
    if name in ZONES and isinstance(value, str):
        found.timezone = value
    elif name in ZONES:
        found.remarks.append("The time zone in the file is not a text. Give it with --zone.")
    elif value is False:
        found.local = True


def _read_call(call: ast.Call, found: _Found) -> None:
    """Reads `app.conf.update(beat_schedule={...})`, `beat_schedule.update({...})`, and remarks on tasks that are added by functions."""
    dotted = found.data.dotted(call.func)
    if not dotted.endswith(".update"):
        return
    if dotted.split(".")[-2] in SCHEDULES:
        for argument in call.args:
            _add(argument, found)
        return
    settings = [(keyword.arg, keyword.value) for keyword in call.keywords]
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            settings += [(found.data.value(key), value) for key, value in zip(argument.keys, argument.values, strict=True) if key]
    for name, value in settings:
        if name in SCHEDULES:
            found.entries = {}
            _add(value, found)
        elif name in ZONES | UTC_NAMES:
            _setting(str(name), found.data.value(value), found)


def _add(node: ast.expr, found: _Found) -> None:
    """Adds the entries of a dict, with their lines where it is written out."""
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        for key, value in zip(node.keys, node.values, strict=True):
            name = found.data.value(key) if key else None
            if isinstance(name, str) and key is not None:
                found.entries[name] = (found.data.value(value), key.lineno, value.end_lineno or value.lineno)
            else:
                found.remarks.append(f"The entry in line {value.lineno} is left out: its name is not a text in this file.")
        return
    value = found.data.value(node)
    if isinstance(value, dict):
        found.entries |= {str(name): (inner, node.lineno, node.lineno) for name, inner in value.items()}
    else:
        text = value.text if isinstance(value, Unknown) else ast.unparse(node)[:100]
        found.remarks.append(f"The schedule in line {node.lineno} is left out, because it is not written out in this file: {text}")


def _remark_inside(statement: ast.stmt, found: _Found) -> None:
    """Remarks on what runs only under a condition or in a function."""
    for node in ast.walk(statement):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if isinstance(node, ast.expr) and (name in SCHEDULES or name == "add_periodic_task"):
            found.remarks.append(f"Line {node.lineno}: {name} inside {_kind(statement)} is not read.")


def _kind(statement: ast.stmt) -> str:
    return "a function" if isinstance(statement, ast.FunctionDef) else "a condition"


# -- entries ------------------------------------------------------------------------------------------------------------


def _entry(path: Path, name: str, value: Any, lines: list[str], first: int, last: int, zone: str) -> BeatEntry:
    off, on = _commands(path, name, lines, first, last)
    common: dict[str, Any] = {"name": name, "where": f"{path}:{first}", "disable": off, "enable": on}
    if not isinstance(value, dict) or not isinstance(value.get("task"), str) or "schedule" not in value:
        wrong = "needs a task and a schedule that are written out in this file"
        return BeatEntry(task="", schedule={"type": "none"}, wrong=wrong, **common)
    arguments, keywords, options = value.get("args") or [], value.get("kwargs") or {}, value.get("options") or {}
    unknown = unknown_in([arguments, keywords])
    unreadable = f"they contain {', '.join(unknown[:3])}, which is code and not data" if unknown else ""
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        arguments, keywords = [], {}
        unreadable = unreadable or "they are not a list and a dict"
    others = {key: (str(value[key]), "Celery does not know it") for key in value if key not in _OF_ENTRY}
    return BeatEntry(
        task=value["task"],
        schedule=_schedule(value["schedule"], bool(value.get("relative")), zone),
        arguments=tuple(without_unknown(arguments)),
        keywords=without_unknown(keywords),
        options=without_unknown(options) if isinstance(options, dict) else {},
        others=others,
        unreadable=unreadable,
        **common,
    )


def _schedule(value: Any, relative: bool, zone: str) -> Spec:
    """Returns the description of a schedule."""
    seconds = _seconds(value)
    if seconds is not None:
        return {"type": "interval", "seconds": seconds, "relative": relative, "timezone": zone}
    if isinstance(value, Made) and not unknown_in([*value.arguments, *value.keywords.values()]):
        match value.name:
            case "crontab":
                return crontab_spec({**dict(zip(_CRONTAB, value.arguments, strict=False)), **value.keywords}, zone)
            case "from_string" if value.arguments and isinstance(value.arguments[0], str):
                return crontab_spec(dict(zip(_FROM_STRING, value.arguments[0].split(" "), strict=False)), zone)
            case "solar":
                given = {**dict(zip(("event", "lat", "lon"), value.arguments, strict=False)), **value.keywords}
                return {"type": "solar", "event": given.get("event"), "latitude": given.get("lat"), "longitude": given.get("lon")}
    return {"type": "other", "text": ", ".join(unknown_in(value)) or str(value)[:100]}


def _seconds(value: Any) -> float | None:
    """Returns the length of an interval: a number, `timedelta(...)` or `schedule(...)`. None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, Made):
        return None
    given = [*zip(_SPAN, value.arguments, strict=False), *value.keywords.items()]
    if value.name == "timedelta" and all(name in _SPAN and isinstance(number, int | float) for name, number in given):
        return round(float(sum(_SPAN[name] * number for name, number in given)), 6)
    if value.name == "schedule":
        return _seconds(value.keywords.get("run_every", value.arguments[0] if value.arguments else None))
    return None


def _commands(path: Path, name: str, lines: list[str], first: int, last: int) -> tuple[str, str]:
    """Returns the commands that make a comment of an entry and take that back, if it has lines of its own."""
    begin, end = lines[first - 1].strip() if first <= len(lines) else "", lines[last - 1].strip() if last <= len(lines) else ""
    own = (
        begin[:1] in "\"'"
        and begin[1:].startswith(name)
        and end.rstrip(",").endswith(("}", ")"))
        and (first < last or begin.endswith(("},", "}")))
    )
    if not own:
        words = f"# {path}:{first}: remove the entry {name!r} from beat_schedule"
        return words, f"# {path}:{first}: put the entry {name!r} into beat_schedule again"
    return (
        f"sed -i '{first},{last}s/^/{_DISABLED}/' {operand(str(path))}",
        f"sed -i '{first},{last}s/^{_DISABLED}//' {operand(str(path))}",
    )
