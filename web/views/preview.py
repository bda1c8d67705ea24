"""/templates/preview: paste a schema, see its form, fill it, see what it posts. Nothing is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, render_template, request

from app.accounts.model import Role, Scope, require
from web.forms import ABSENT, Form, SchemaRefused, Submission, action_in
from web.forms.field import JsonRefused, parse_json
from web.forms.form import LOCALES, PREFIX
from web.views.common import CHECK, Pairs, actor, live_options, posted
from web.views.signin import services

blueprint = Blueprint("preview_pages", __name__, url_prefix="/templates")

LONGEST_SCHEMA = 300_000
SAMPLES = Path(__file__).parent / "samples"
_HIDDEN = frozenset({"csrf_token", "schema", "sample", "locale", "value"})


@dataclass(frozen=True)
class Sample:
    """A schema to begin with."""

    key: str
    title: str
    text: str


@cache
def _own_samples() -> tuple[Sample, ...]:
    found = []
    for path in sorted(SAMPLES.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        found.append(Sample(path.stem, str(schema.get("title", path.stem)), json.dumps(schema, indent=2, ensure_ascii=False)))
    return tuple(found)


def samples() -> list[Sample]:
    """Those of the gallery, then the parameters of each template."""
    of_kinds = [
        Sample(entry.template.type, entry.template.name, json.dumps(entry.template.parameters_schema, indent=2, ensure_ascii=False))
        for entry in services().catalogue
    ]
    return [*_own_samples(), *of_kinds]


@blueprint.route("/preview", methods=["GET", "POST"])
def preview() -> str:
    """The page; a post draws the schema that it holds, and reads the form that stood beside it."""
    require(actor(), Scope.ADMIN, role=Role.SUPER_ADMIN)
    known = samples()
    if request.method == "GET":
        chosen = next((one for one in known if one.key == request.args.get("sample")), known[0])
        return _page(known, chosen.text, [], sample=chosen.key)
    pairs = posted()
    given = dict(pairs)
    chosen = next((one for one in known if one.key == given.get("sample")), known[0])
    if "load" in given:
        return _page(known, chosen.text, [], sample=chosen.key)
    drawn_before = "draw" not in given
    return _page(
        known, given.get("schema", "").replace("\r\n", "\n"), pairs if drawn_before else [], sample=chosen.key, value=given.get("value", "")
    )


def _page(known: list[Sample], text: str, pairs: Pairs, *, sample: str, value: str = "") -> str:
    locale = dict(pairs).get("locale", request.form.get("locale", "en"))
    page: dict[str, Any] = {
        "samples": known, "sample": sample, "schema": text, "value": value, "locale": locale if locale in {"en", "de"} else "en",
        "locales": _locales(), "problem": None, "value_problem": None, "controls": None, "summary": (), "submission": None, "answer": None,
        "pairs": [], "is_json": False,
    }  # fmt: skip
    try:
        form = Form(_parsed(text), options=live_options, locale=page["locale"])
    except SchemaRefused as refused:
        page["problem"] = f"{refused.pointer or 'The schema'} {refused.reason}"
        return render_template("preview.html", **page)
    if not any(name.startswith(f"{PREFIX}.") or name == PREFIX for name, _ in pairs):
        try:
            shown = form.present(parse_json(value) if value.strip() else ABSENT)
        except (ValueError, RecursionError) as error:
            page["value_problem"] = f"is no JSON: {error}"
            shown = form.present()
        page["controls"], page["is_json"] = shown.controls, shown.is_json
        return render_template("preview.html", **page)
    submission = form.read(pairs)
    action = action_in(pairs)
    if action and action != CHECK:
        submission = form.apply(submission, action)
    return render_template("preview.html", **page | _read(form, submission, pairs, quiet=action is not None and action != CHECK))


def _read(form: Form, submission: Submission, pairs: Pairs, *, quiet: bool) -> dict[str, Any]:
    shown = form.present(submission=submission if not quiet else Submission(submission.value, (), submission.root))
    answer = "" if submission.value is ABSENT else json.dumps(submission.value, indent=2, ensure_ascii=False)
    wire = [(name, value) for name, value in pairs if name not in _HIDDEN]
    return {
        "controls": shown.controls,
        "summary": shown.summary,
        "is_json": shown.is_json,
        "submission": submission,
        "answer": answer,
        "pairs": wire,
    }


def _parsed(text: str) -> Any:
    if len(text) > LONGEST_SCHEMA:
        raise SchemaRefused("", f"is longer than {LONGEST_SCHEMA:,} characters")
    try:
        return parse_json(text)
    except JsonRefused as error:
        raise SchemaRefused("", "is no JSON that means one thing: a key twice, or a number that is none") from error
    except json.JSONDecodeError as error:
        raise SchemaRefused("", f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise SchemaRefused("", "is nested too deep") from error


def _locales() -> list[tuple[str, str]]:
    names = {"en": "English", "de": "Deutsch"}
    return [(path.stem, names.get(path.stem, path.stem)) for path in sorted(LOCALES.glob("*.po"), key=lambda one: one.stem != "en")]
