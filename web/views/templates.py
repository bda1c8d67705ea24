"""/templates: the gallery, and each template's page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, lacks, require
from app.jobtemplates.entry import TemplateVersion
from app.validation.words import DEFAULT_LOCALE
from templates_lib.connections import KINDS, ConnectionKind
from web.current import actor, services
from web.forms.values import from_name
from web.language import in_language, language, translated
from web.views.help import reference_of

blueprint = Blueprint("templates_pages", __name__, url_prefix="/templates")

JOBS_SHOWN = 50
PARAMETERS_HEADING = "## Parameters"  # of a help text that describes the parameters itself
_PARAMETER_TABLE = re.compile(rf"^{PARAMETERS_HEADING}\n\n(?:\|.*\n)+\n?", re.MULTILINE)
NOT_SHOWN = {"secret"}  # kinds of connections that hold a value and lead nowhere


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter of a template, for people."""

    name: str
    title: str
    help: str
    required: bool


@blueprint.get("")
def gallery() -> str:
    """What a job can do, by category; narrowed by words and risk."""
    require(actor(), May.SEE_TEMPLATES)
    catalogue, words, risk = services().catalogue, request.args.get("q", "").strip()[:100], request.args.get("risk", "")
    entries = [entry for entry in catalogue if catalogue.is_offered(entry) and _matches(entry, words.lower().split(), risk)]
    by_category: dict[str, list[TemplateVersion]] = {}
    for entry in entries:
        by_category.setdefault(entry.category, []).append(entry)
    manages = lacks(actor(), May.MANAGE_TEMPLATES) is None
    return render_template(
        "gallery.html",
        by_category=by_category,
        broken=catalogue.broken,
        mendable=services().templates.mendable(actor()),
        manages=manages,
        q=words,
        risk=risk,
        jobs=services().directory.counts_by_template(),
        typical=services().history.typical_seconds(entry.type for entry in entries),
        standing={entry.type: catalogue.standing(entry.type) for entry in entries},
        closed={entry.type: catalogue.closed(entry.type) for entry in entries},
        drafts=services().templates.drafts(actor()) if manages else [],
        needs={entry.type: connections_needed(entry.parameters_schema) for entry in entries},
    )


def connections_needed(schema: Any) -> list[ConnectionKind]:
    """Returns the kinds of connections that the parameters of a template ask for, in the order of the schema."""
    kinds = dict.fromkeys(kind for kind in _kinds_in(schema) if kind in KINDS and kind not in NOT_SHOWN)
    return [KINDS[kind] for kind in kinds]


def _kinds_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _kinds_in(item)
    elif isinstance(schema, Mapping):
        source = schema.get("x-options")
        if isinstance(source, Mapping) and source.get("from") == "connections":
            yield str(source.get("kind", ""))
        for value in schema.values():
            yield from _kinds_in(value)


def help_of(entry: TemplateVersion, rows: Iterable[ParameterRow]) -> str:
    """Returns the help of a template as Markdown. In its table of parameters, titles stand before the names."""
    text = entry.help_text
    for row in rows:
        text = text.replace(f"\n| `{row.name}` |", f"\n| **{row.title}** `{row.name}` |", 1)
    return text


def without_parameters(text: str) -> str:
    """Returns the help of a template without its table of parameters, for a page that shows them in another language."""
    table = _PARAMETER_TABLE.search(text)
    if table is None:
        return text
    after = text[table.end() :]
    heading = f"{PARAMETERS_HEADING}\n\n" if after and not after.startswith("#") else ""
    return text[: table.start()] + heading + after


def parameter_rows(schema: Mapping[str, Any]) -> list[ParameterRow]:
    """Returns the parameters of a template as its form names them, in the order of the form."""
    told = in_language(schema)
    required = told.get("required", ())
    members = [(name, member) for name, member in told.get("properties", {}).items() if isinstance(member, Mapping)]
    members.sort(key=lambda pair: pair[1].get("x-order", math.inf))
    return [
        ParameterRow(name, str(member.get("title") or from_name(name)), str(member.get("description", "")), name in required)
        for name, member in members
        if not member.get("x-hidden")
    ]


def _matches(entry: TemplateVersion, words: Iterable[str], risk: str) -> bool:
    named = (entry.name, entry.description, entry.category)
    text = " ".join((entry.type, *named, *map(translated, named))).lower()
    return all(word in text for word in words) and (not risk or entry.template.risk_level == risk)


@blueprint.get("/<kind>")
def show(kind: str) -> str:
    """A template's page: its help; for super-admins its versions, jobs and moves."""
    require(actor(), May.SEE_TEMPLATES)
    entry, catalogue = services().catalogue.get(kind), services().catalogue
    manages = lacks(actor(), May.MANAGE_TEMPLATES) is None
    row = services().templates.get(actor(), kind)
    base = services().catalogue.find(entry.base) if entry.base else None
    parameters, is_foreign = parameter_rows(entry.parameters_schema), language() != DEFAULT_LOCALE
    return render_template(
        "template.html",
        entry=entry,
        reference=reference_of(entry),
        base=base,
        row=row,
        standing=catalogue.standing(kind),
        closed=catalogue.closed(kind),
        manages=manages,
        jobs=services().directory.of_template(actor(), kind, JOBS_SHOWN),
        count=services().directory.count_of(kind),
        typical=services().history.typical_seconds([kind]).get(kind),
        presets=services().presets.of(actor(), kind),
        moves=services().moves.latest(actor(), kind) if manages else [],
        behind=services().directory.versions_of(kind) if manages else {},
        needs=connections_needed(entry.parameters_schema),
        parameters=parameters if is_foreign or PARAMETERS_HEADING not in entry.help_text else [],
        help_text=without_parameters(entry.help_text) if is_foreign else help_of(entry, parameters),
        help_is_foreign=is_foreign,
    )
