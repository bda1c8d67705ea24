"""XML of Rundeck as the same objects that its YAML has."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from app.imports.sources.base import SourceError
from app.imports.sources.documents import DEEPEST, mapping

_LONGEST_PROLOG = 10_000


def read_xml(text: str, path: Path) -> list[dict[str, Any]]:
    """Returns the jobs of a `joblist`. Raises SourceError; a document type is refused, because its entities can grow without limit."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SourceError(f"{path} has a document type, which an export of Rundeck does not have.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise SourceError(f"{path} is not valid XML: {error}.") from error
    return [_job(mapping(_value(job, path, 0))) for job in root.iter("job")]


def _value(element: ElementTree.Element, path: Path, depth: int) -> Any:
    """An element as a text, or as an object of its attributes and children; children of one name are a list."""
    if depth > DEEPEST:
        raise SourceError(f"{path} is too deeply nested.")
    if not len(element) and not element.attrib:
        return (element.text or "").strip()
    found: dict[str, Any] = dict(element.attrib)
    if element.text and element.text.strip():
        found["text"] = element.text.strip()
    for child in element:
        value = _value(child, path, depth + 1)
        present = found.setdefault(child.tag, value)
        if isinstance(present, list):
            present.append(value)
        elif present is not value:
            found[child.tag] = [present, value]
    return found


def _job(job: dict[str, Any]) -> dict[str, Any]:
    """An object of XML in the form of YAML: steps are `commands`, options are a list, texts beside attributes are values."""
    sequence = mapping(job.get("sequence"))
    commands = sequence.pop("command", [])
    steps = [_step(mapping(step)) for step in (commands if isinstance(commands, list) else [commands])]
    job["sequence"] = {**sequence, "commands": steps}
    context = mapping(job.pop("context", {}))
    options = mapping(context.get("options")).get("option", [])
    if options:
        job["options"] = [mapping(option) for option in (options if isinstance(options, list) else [options])]
    if isinstance(job.get("retry"), dict):
        job["retry"] = {"retry": job["retry"].get("text", ""), "delay": job["retry"].get("delay", "")}
    return job


def _step(step: dict[str, Any]) -> dict[str, Any]:
    if "scriptargs" in step:
        step["args"] = step.pop("scriptargs")
    if isinstance(step.get("scriptinterpreter"), str):
        step["scriptInterpreter"] = step.pop("scriptinterpreter")
    for kind in ("step-plugin", "node-step-plugin"):
        if kind in step:
            step |= {"type": str(mapping(step.pop(kind)).get("type", "")), "nodeStep": "true" if kind == "node-step-plugin" else "false"}
    return step
