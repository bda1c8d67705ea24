"""/templates/preview: paste a schema, see its form, fill it, see what it posts. Nothing is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale
from flask import Blueprint, render_template, request

from app.accounts.permissions import May, require
from app.validation.older import converted
from app.validation.words import DEFAULT_LOCALE, locales
from templates_lib.messages import joined, say
from web.current import actor, services
from web.forms import ABSENT, Form, SchemaRefused
from web.forms.form import LOCALES, PREFIX
from web.forms.json_text import JsonRefused, parse_json
from web.views.common import CHECK, Editor, Pairs, live_options, posted

blueprint = Blueprint("preview_pages", __name__, url_prefix="/templates")

LONGEST_SCHEMA = 1_000_000
SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A schema to begin with."""

    key: str
    title: str
    text: str


@cache
def _own_samples() -> tuple[Sample, ...]:
    samples = []
    for path in sorted(SAMPLES.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        samples.append(Sample(path.stem, str(schema.get("title", path.stem)), json.dumps(schema, indent=2, ensure_ascii=False)))
    return tuple(samples)


def samples() -> list[Sample]:
    """Those of the gallery, then the parameters of each template."""
    of_kinds = [
        Sample(entry.type, entry.name, json.dumps(entry.parameters_schema, indent=2, ensure_ascii=False)) for entry in services().catalogue
    ]
    return [*_own_samples(), *of_kinds]


@blueprint.route("/preview", methods=["GET", "POST"])
def preview() -> str:
    """The page; a post draws the schema that it holds, and reads the form that stood beside it."""
    require(actor(), May.TRY_SCHEMAS)
    known = samples()
    if request.method == "GET":
        chosen = next((sample for sample in known if sample.key == request.args.get("sample")), known[0])
        return _page(known, chosen.text, [], sample=chosen.key)
    pairs = posted()
    given = dict(pairs)
    chosen = next((sample for sample in known if sample.key == given.get("sample")), known[0])
    if "load" in given:
        return _page(known, chosen.text, [], sample=chosen.key)
    drawn_before = "draw" not in given
    return _page(
        known, given.get("schema", "").replace("\r\n", "\n"), pairs if drawn_before else [], sample=chosen.key, value=given.get("value", "")
    )


def _page(known: list[Sample], text: str, pairs: Pairs, *, sample: str, value: str = "") -> str:
    offered = _languages()
    locale = request.form.get("locale", "")
    page: dict[str, Any] = {
        "samples": known,
        "sample": sample,
        "schema": text,
        "value": value,
        "locales": offered,
        "problem": None,
        "conversion": None,
        "converted": "",
        "value_problem": None,
        "locale": locale if locale in dict(offered) else DEFAULT_LOCALE,
        "shown": None,
        "submission": None,
        "answer": None,
        "pairs": [],
    }
    try:
        conversion = converted(_parsed(text))
        page |= {"conversion": conversion, "converted": json.dumps(conversion.schema, indent=2, ensure_ascii=False)}
        editor = Editor(Form(conversion.schema, options=live_options, locale=page["locale"]))
    except SchemaRefused as refused:
        return render_template("preview.html", **page | {"problem": joined((refused.pointer or say("The schema"), refused.reason), " ")})
    wire = [(name, text) for name, text in pairs if name == PREFIX or name.startswith(f"{PREFIX}.")]
    if not wire:
        try:
            editor.stored = parse_json(value) if value.strip() else ABSENT
        except (ValueError, RecursionError) as error:
            page["value_problem"] = say("is not valid JSON: {error}", error=str(error))
        return render_template("preview.html", **page | {"shown": editor.present()})
    submission = editor.read(wire)
    redrawn = editor.pressed not in {None, CHECK}
    answer = "" if submission.value is ABSENT else json.dumps(submission.value, indent=2, ensure_ascii=False)
    shown = editor.present(() if redrawn else submission.errors)
    return render_template("preview.html", **page | {"shown": shown, "submission": submission, "answer": answer, "pairs": wire})


def _parsed(text: str) -> Any:
    if len(text) > LONGEST_SCHEMA:
        raise SchemaRefused("", say("is longer than {most:,} characters", most=LONGEST_SCHEMA))
    try:
        return parse_json(text)
    except JsonRefused as error:
        raise SchemaRefused("", "is ambiguous JSON: a name occurs twice, or a number is not valid") from error
    except json.JSONDecodeError as error:
        raise SchemaRefused(
            "", say("is not valid JSON: {msg} at line {lineno}, column {colno}", msg=error.msg, lineno=error.lineno, colno=error.colno)
        ) from error
    except RecursionError as error:
        raise SchemaRefused("", "is nested too deeply") from error


def _languages() -> list[tuple[str, str]]:
    """The languages of forms, each in its own words, English first."""
    known = sorted(locales(LOCALES), key=lambda locale: locale != DEFAULT_LOCALE)
    return [(locale, str(Locale.parse(locale).get_display_name(locale)).capitalize()) for locale in known]
