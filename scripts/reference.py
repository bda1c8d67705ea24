"""Writes the reference page of each template: docs/reference/templates/.

A page is made of the schema of the template, of the README.md and of the examples.yaml in its folder. A test fails if a page is stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from templates_lib.connections import KINDS

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference" / "templates"
NOTE = (
    "This page is made from the schema of the template, and its examples are run by a test. "
    "The page of the template in Jobwright shows the same fields as a form."
)
APPROVAL = "yes. If an admin creates, changes or runs such a job, a super-admin must [approve](../permissions.md) it"


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: the parameters of a job, perhaps its policies, and the message of its run, in which … stands for what differs."""

    title: str
    text: str
    parameters: dict[str, Any]
    message: str
    policies: dict[str, Any] = field(default_factory=dict)


def templates() -> list[TemplateVersion]:
    """Returns the templates of the library, by type."""
    entries = [entry for entry in Catalogue.discover() if type(entry.template).__module__.startswith("templates_lib.")]
    return sorted(entries, key=lambda entry: entry.template.type)


def examples(kind: str) -> list[Example]:
    """Returns the worked examples of a template."""
    rows = yaml.safe_load((ROOT / "templates_lib" / kind / "examples.yaml").read_text("utf-8"))
    return [Example(**row) for row in rows]


def page(entry: TemplateVersion) -> str:
    """Returns the reference page of a template as Markdown."""
    template = entry.template
    head, sections = _readme(template.type)
    told = _meanings(sections.pop("Parameters"))
    sections.pop("Example")
    parts = [f"# {template.name}", head, _facts(entry), f"## When to use it\n\n{sections.pop('When to use it')}"]
    parts.append(f"## Parameters\n\n{_parameters(entry.parameters_schema, told[0])}{told[1]}")
    parts.append(_examples(entry))
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    parts.append(NOTE)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _readme(kind: str) -> tuple[str, dict[str, str]]:
    """Returns the sentence at the beginning of a README, and its sections by their titles. Links lead from the reference page."""
    text = (ROOT / "templates_lib" / kind / "README.md").read_text("utf-8")
    text = re.sub(r"\]\(/help/([^)#]+)", lambda match: f"]({_from_here(match[1])}.md", text)
    head, *rest = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    sections = dict(zip(rest[::2], (part.strip() for part in rest[1::2]), strict=True))
    return head.partition("\n")[2].strip(), sections


def _from_here(topic: str) -> str:
    return f"../{topic.removeprefix('reference/')}" if topic.startswith("reference/") else f"../../{topic}"


def _meanings(section: str) -> tuple[dict[str, str], str]:
    """Returns what a README says of each parameter, and what stands below its table."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    after = section.rpartition("|\n")[2] if section.rstrip()[-1] != "|" else ""
    return dict(rows), f"\n\n{after.strip()}" if after.strip() else ""


def _facts(entry: TemplateVersion) -> str:
    template = entry.template
    kinds = list(dict.fromkeys(_connections(entry.parameters_schema)))
    rows = [
        ("Type", f"`{template.type}`, version {template.version}"),
        ("Category", template.category),
        ("Risk", template.risk_level),
        ("Needs approval", APPROVAL if entry.dangerous else "no"),
        ("Dry run", "the button **Dry run** says what a run would do" if entry.previews else "there is none"),
        ("Connections", ", ".join(KINDS[kind].name for kind in kinds) or "none"),
        ("Usual duration", template.estimated_duration),
        ("Network", "its processes may open connections" if template.network else "its processes have no network"),
    ]
    if template.needs_setting:
        rows.append(("Setting", f"off until the [setting](../settings.md) `{template.needs_setting}` has a value"))
    if not template.listed:
        rows.append(("Where jobs come from", "services register them; people cannot choose this template"))
    return "| fact | value |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _connections(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        options = schema.get("x-options")
        if isinstance(options, Mapping) and options.get("from") == "connections":
            yield options["kind"]
        for value in schema.values():
            yield from _connections(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _connections(value)


def _parameters(schema: Mapping[str, Any], told: Mapping[str, str]) -> str:
    rows = ["| parameter | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for name, member, required in _members(schema, ""):
        default = "required" if required else f"`{_json(member['default'])}`" if "default" in member else "–"
        words = told.get(name) or member.get("description", "")
        meaning = f"*{member['title']}.* {words}" if "title" in member else words
        rows.append(f"| `{name}` | {_type(member)} | {default} | {_bounds(member)} | {_cell(meaning)} |")
    return "\n".join(rows)


def _members(schema: Mapping[str, Any], before: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yields each member of an object with its name, its schema and whether it is required, and then the members below it."""
    for name, member in schema.get("properties", {}).items():
        yield f"{before}{name}", member, name in schema.get("required", ())
        yield from _members(member, f"{before}{name}.")
        for branch in member.get("oneOf", ()):
            yield from _members(branch, f"{before}{name}.")
        items = member.get("items")
        if isinstance(items, Mapping):
            yield from _members(items, f"{before}{name}[].")


def _type(member: Mapping[str, Any]) -> str:
    if "items" in member:
        return f"list of {_type(member['items'])}"
    if "enum" in member or ("oneOf" in member and all("const" in branch for branch in member["oneOf"])):
        return "choice"
    kind = member.get("type")
    if isinstance(kind, list):
        return " or ".join(kind)
    named = {"email": "mail address", "uri": "address"}.get(str(member.get("format", "")))
    text = {"string": named or "text", "boolean": "yes or no", "object": "object", "integer": "integer", "number": "number"}
    return text.get(str(kind), "object" if "oneOf" in member else "any JSON value")


def _bounds(member: Mapping[str, Any]) -> str:
    """Returns what restricts the value of a member, in words."""
    words = [f"`{_json(value)}`" for value in member.get("enum", ())]
    words += [f"`{_json(branch['const'])}`: {branch['title']}" for branch in member.get("oneOf", ()) if "const" in branch]
    patterns = (
        ("minimum", "at least {}"),
        ("exclusiveMinimum", "more than {}"),
        ("maximum", "at most {}"),
        ("minLength", "at least {} characters"),
        ("maxLength", "at most {} characters"),
        ("minItems", "at least {} entries"),
        ("maxItems", "at most {} entries"),
        ("minProperties", "at least {} entries"),
        ("maxProperties", "at most {} entries"),
    )
    for keyword, pattern in patterns:
        if keyword in member and (keyword, member[keyword]) != ("minLength", 1):
            number = f"{member[keyword]:,}"
            words.append(pattern.format(number).replace("1 entries", "1 entry") if number == "1" else pattern.format(number))
    words += ["no value twice"] if member.get("uniqueItems") else []
    words += [member["x-pattern-words"]] if "x-pattern-words" in member else []
    words += ["stored encrypted"] if member.get("writeOnly") else []
    words += ["may be [dynamic](../dynamic-values.md)"] if member.get("x-dynamic") else []
    return _cell("; ".join(words)) or "–"


def _examples(entry: TemplateVersion) -> str:
    kind, rows = entry.template.type, examples(entry.template.type)
    parts = ["## Examples"]
    for example in rows:
        parts.append(f"### {example.title}\n\n{example.text}")
        parts.append(f"```json\n{_pretty(example.parameters)}\n```")
        parts.append(f"The run ends with “{example.message}”.")
    if entry.template.listed:
        body = {
            "name": rows[0].title,
            "template_type": kind,
            "parameters": rows[0].parameters,
            "schedule": {"type": "cron", "expression": "0 2 * * *"},
        }
        words = "The parameters are a part of the job. This request creates the job of the first example with a schedule:"
        parts.append(f"### Create such a job by REST\n\n{words}")
        parts.append(
            "```sh\ncurl -fsS -X POST -H \"Authorization: Bearer $token\" -H 'Content-Type: application/json' \\\n"
            f"  \"$JOBWRIGHT_SERVER/api/admin/scheduler-jobs\" --data @- <<'END'\n{_pretty(body)}\nEND\n```"
        )
    return "\n\n".join(parts)


def _pretty(value: Any) -> str:
    """Returns JSON in which each member has a line, and what fits into a line stands in it."""
    width = 110

    def lines(value: Any, indent: int, taken: int) -> str:
        flat = _json(value)
        if len(flat) + indent + taken <= width or not isinstance(value, dict | list):
            return flat
        space, begin, end = " " * (indent + 2), *("{}" if isinstance(value, dict) else "[]")
        if isinstance(value, dict):
            rows = [f"{space}{_json(key)}: {lines(item, indent + 2, len(key) + 4)}" for key, item in value.items()]
        else:
            rows = [f"{space}{lines(item, indent + 2, 0)}" for item in value]
        return f"{begin}\n" + ",\n".join(rows) + f"\n{' ' * indent}{end}"

    return lines(value, 0, 0)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Returns the text of each page by its path."""
    return {PAGES / f"{entry.template.type}.md": page(entry) for entry in templates()}


def main() -> None:
    PAGES.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in set(PAGES.glob("*.md")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    sys.stderr.write(f"{len(wanted)} pages in {PAGES.relative_to(ROOT)}/\n")


if __name__ == "__main__":
    main()
