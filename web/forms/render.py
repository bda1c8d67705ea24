"""Fields → HTML. What a control says and offers is decided here, where it stands in templates/form.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babel.numbers import format_decimal
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape

from app.errors import FieldError
from app.validation.dynamic import Resolved
from app.validation.layers import Union
from app.validation.patterns import browser_pattern
from app.validation.words import Words
from app.zones import zone_names
from web.forms.draw import LEAST_LIMITED, Drawer, text_control
from web.forms.field import Field, json_text, small_number
from web.forms.prose import markdown
from web.forms.values import ABSENT, same
from web.forms.view import MOST_RADIOS

# What a provider answers for one `x-options`: texts, or (text, words) pairs.
Options = Callable[[Mapping[str, Any]], Sequence[str | tuple[str, str]]]
SEARCHED_FROM = 50  # options; a longer list gets a search
MOST_BECOME = 5  # lines below one control
LONGEST_BECOME = 200
MOST_SUGGESTIONS = 50
MOST_LIVE = 20_000  # options of providers in one form
MOST_TOLD = 300_000  # letters of descriptions in one form
LONGEST_TITLE = 200
_INPUT_MODES = {"email": "email", "idn-email": "email", "uri": "url", "iri": "url", "uri-reference": "url", "ipv4": "decimal"}
_CODE = frozenset({"cron", "duration", "regex", "json-pointer", "uuid"})
_PLACEHOLDERS = {
    "date-time": "2026-03-29T02:30:00Z",
    "time": "02:30:00Z",
    "duration": "PT1H30M",
    "cron": "0 2 * * 0",
    "timezone": "Europe/Berlin",
    "color": "#1a7f64",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date": "2026-03-29",
}


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One error for the list on top of a form: `href` leads to its control."""

    pointer: str
    href: str
    label: str
    message: str


@dataclass(frozen=True, slots=True)
class Presented:
    """The controls, and the errors with where they stand; `is_json` where the whole form is typed as JSON."""

    controls: Markup
    summary: tuple[SummaryLine, ...]
    is_json: bool


def present(
    root: Field,
    errors: Iterable[FieldError],
    *,
    drawer: Drawer,
    options: Options,
    ahead: Resolved,
    saved: Sequence[str] = (),
    words: Words,
    prefix: str,
    locale: str,
) -> Presented:
    """The form as HTML with its summary; `ahead` is what its dynamic values would become now."""
    painter = Painter(root, list(errors), drawer, options, words, locale, saved, ahead)
    html = _environment.get_template("form.html").render(p=painter, w=words, root=root, prefix=prefix)
    return Presented(Markup(html), painter.summary(), root.kind == "source")  # noqa: S704 - autoescaped


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page says of one field, made once."""

    title: str
    badges: Markup
    help: Markup
    messages: list[str]
    becomes: list[tuple[str, str]]
    described: Markup
    visible: Markup
    states: list[tuple[str, str]]
    types: list[tuple[str, str, bool]]
    branches: list[BranchChoice]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class BranchChoice:
    """The choice of a union's branch: `options` are (place, words, chosen); `help` is what the chosen one says of itself."""

    key: str
    words: str
    options: Sequence[tuple[int, str, bool]]
    chosen: int
    help: Markup


class Painter:
    """What the page asks of a field."""

    def __init__(
        self,
        root: Field,
        errors: list[FieldError],
        drawer: Drawer,
        options: Options,
        words: Words,
        locale: str,
        saved: Sequence[str],
        ahead: Resolved,
    ) -> None:
        self._saved = saved
        self._root, self._drawer, self._provider, self._words, self._locale = root, drawer, options, words, locale
        self._fields: dict[str, Field] = {}  # those that are drawn
        self._all = {one.pointer: one for one in reversed(list(root.walk()))}
        for one in root.walk():
            if not self._hidden(one):  # what is wrong with it stands at what holds it
                self._fields.setdefault(one.pointer, one)
        self._errors: dict[str, list[str]] = {}
        self._found = errors
        for error in errors:
            texts = self._errors.setdefault(self._nearest(error.pointer), [])
            if error.message not in texts:
                texts.append(error.message)
        self._becomes: dict[str, list[tuple[str, str]]] = {}
        for pointer, text in [*((at, _short(value)) for at, value in ahead.became.items()), *((at, "") for at in sorted(ahead.open))]:
            at = self._nearest(pointer)
            self._becomes.setdefault(at, []).append((pointer[len(at) :].strip("/").replace("/", " › "), text))
        self._wrong = {pointer.rsplit("/", depth)[0] for pointer in self._errors for depth in range(pointer.count("/") + 1)}
        self._known: dict[str, Sequence[Any]] = {}
        self._told_letters = self._offered = 0
        self._suggested: dict[str, list[str]] = {}  # by the name of the field
        self.uses_zones = False
        self._optional = Markup(' <span class="optional">{}</span>').format(words("optional"))
        self._deprecated = Markup(' <span class="badge">{}</span>').format(words("deprecated"))

    def _nearest(self, pointer: str) -> str:
        """The pointer of the control that shows an error: its own, or of the nearest one around it."""
        while pointer and pointer not in self._fields:
            pointer = pointer.rpartition("/")[0]
        return pointer

    def _hidden(self, f: Field) -> bool:
        """True for a place that keeps what it has, unseen."""
        return f.kind == "readonly" and bool(self.hint(f, "x-hidden"))

    def messages(self, f: Field) -> list[str]:
        found = self._errors.get(f.pointer, [])
        return [*found, self._words("secretAgain")] if f.retype else found

    def holds_error(self, fields: Iterable[Field]) -> bool:
        """True where one of the fields, or one inside them, is wrong."""
        return any(one.pointer in self._wrong for one in fields)

    def summary(self) -> tuple[SummaryLine, ...]:
        """The errors in the order of the form."""
        order = {pointer: index for index, pointer in enumerate(self._fields)}
        lines = []
        for error in sorted(self._found, key=lambda one: order[self._nearest(one.pointer)]):
            field = self._fields[self._nearest(error.pointer)]
            lines.append(SummaryLine(error.pointer, f"#{field.name}", self._path(error.pointer), error.message))
        return tuple(dict.fromkeys(lines))

    def _path(self, pointer: str) -> str:
        """A pointer in the words of the form: "Attachments › 2 › Path"."""
        found, at = [], ""
        for part in pointer.split("/")[1:]:
            at += "/" + part
            field = self._fields.get(at)
            found.append(
                self.title(field) if field and not field.place.endswith("/*") else str(int(part) + 1) if part.isdecimal() else part
            )
        return " › ".join(found) or self._words("form")

    def shown(self, f: Field) -> Shown:
        """What the page says of a field."""
        found, text = self.messages(f), self.help(f)
        described = [f"{f.name}-help"] if text else []
        described += [f"{f.name}-messages"] if found or f.pointer in self._becomes else []
        attribute = _attribute("aria-describedby", " ".join(described)) if described else _NOTHING
        if found:
            attribute += Markup(' aria-invalid="true"')
        return Shown(
            self.title(f),
            self._badges(f),
            text,
            found,
            self._becomes.get(f.pointer, [])[:MOST_BECOME],
            attribute,
            self._visible(f),
            self.states(f),
            self.types(f),
            self.branches(f),
            self._notes(f),
        )

    def _notes(self, f: Field) -> list[str]:
        """What the form did by itself: what went because of a choice, what is not drawn because it is too much."""
        found = [self._words("gone", names=", ".join(map(_cut, f.gone)))] if f.gone else []
        if f.bounded:
            found.append(self._words("bounded"))
        return [*found, self._words("limited")] if f.limited else found

    def _badges(self, f: Field) -> Markup:
        found = _NOTHING if f.required or f.place[-2:] == "/*" else self._optional
        return found + self._deprecated if f.view is not None and f.view.deprecated else found

    # -- words ----------------------------------------------------------------------------------------------------

    def title(self, f: Field) -> str:
        return _cut((f.view.title if f.view else "") or f.title or self._words("value"))

    def lower(self, text: str) -> str:
        """A title inside a sentence: English writes it small, but for what is an abbreviation."""
        return text[:1].lower() + text[1:] if self._locale.startswith("en") and not text[1:2].isupper() else text

    def hint(self, f: Field, name: str) -> Any:
        return self._drawer.hints(f).get(name)

    def help(self, f: Field) -> Markup:
        """What stands below the control: its help or description, then its bounds."""
        text = self.hint(f, "x-help") or (f.view.description if f.view else "")
        bounds = self._bounds(f)
        shown = self._told(str(text)) if text else _NOTHING
        if bounds:
            shown += Markup(' <span class="bounds">{}{}</span>').format("· " if shown else "", bounds)
        return shown

    def _told(self, text: str) -> Markup:
        """A description as HTML; nothing once those of the form are longer than MOST_TOLD together."""
        self._told_letters += len(text)
        return markdown(text) if self._told_letters <= MOST_TOLD else _NOTHING

    def _bounds(self, f: Field) -> str:
        """What a number or a list must keep to, in short: "1 to 10,000"."""
        if f.view is None or f.kind not in {"integer", "number", "array", "checks"}:
            return ""
        listed = f.kind in {"array", "checks"}
        low, high = f.view.most("minItems" if listed else "minimum"), f.view.least("maxItems" if listed else "maximum")
        if (low is None and high is None) or (listed and not low and high is None):
            return ""
        key = "boundsBoth" if low is not None and high is not None else "boundsLow" if low is not None else "boundsHigh"
        return self._words(key, low=self._number(low), high=self._number(high))

    def _number(self, value: Any) -> str:
        return "" if value is None else str(format_decimal(value, locale=self._locale.replace("-", "_")))

    def placeholder(self, f: Field) -> str:
        examples = f.view.first("examples") if f.view else None
        example = next((one for one in examples if isinstance(one, str)), "") if isinstance(examples, list) else ""
        return _cut(str(self.hint(f, "x-placeholder") or example or (_PLACEHOLDERS.get(f.view.format, "") if f.view else "")))

    # -- the control ----------------------------------------------------------------------------------------------

    def control(self, f: Field) -> str:
        """The name of the macro that draws the field."""
        if f.kind == "string":
            if self.hint(f, "x-options") and self._may_offer(f):
                return "combo" if self.hint(f, "x-options").get("free") else "live"
            return text_control(f, self.hint(f, "x-widget"))
        if f.kind in {"integer", "number"}:
            return "number"
        if f.kind == "choice" and f.required and f.raw == "0" and f.choices is not None and len(f.choices.options) == 1:
            return "fixed"
        if f.kind == "choice":
            few = f.choices is not None and len(f.choices.options) <= MOST_RADIOS
            return "radio" if self.hint(f, "x-widget") == "radio" and few and not f.raw.startswith("k") else "select"
        return {"source": "json", "boolean": "yesno"}.get(f.kind, f.kind)

    def attributes(self, f: Field) -> Markup:
        """What a line of text carries besides: keyboard, pattern, suggestions, placeholder."""
        found = []
        form = f.view.format if f.view else ""
        if form in _INPUT_MODES:
            found.append(("inputmode", _INPUT_MODES[form]))
        if form in _CODE:
            found += [("class", "code"), ("spellcheck", "false")]
        pattern = f.view.first("pattern") if f.view else None
        same_pattern = browser_pattern(pattern) if pattern else None
        if same_pattern is not None and len(same_pattern) <= LONGEST_TITLE:
            found.append(("pattern", same_pattern))
        if self.suggestions(f):
            found.append(("list", f"{f.name}-list"))
        elif form == "timezone":
            self.uses_zones = True
            found.append(("list", f"{self._root.name}-zones"))
        text = self.placeholder(f)
        if text:
            found.append(("placeholder", text))
        return _NOTHING.join([_attribute(name, value) for name, value in found])

    def suggestions(self, f: Field) -> list[str]:
        """Examples of the schema, for texts and numbers; none where those of the form are MOST_LIVE together."""
        if f.name not in self._suggested:
            self._suggested[f.name] = self._within(self._examples(f))
        return self._suggested[f.name]

    def _examples(self, f: Field) -> list[str]:
        examples = f.view.first("examples") if f.view else None
        if not isinstance(examples, list) or f.kind not in {"string", "integer", "number"}:
            return []
        fitting = [
            one
            for one in examples
            if isinstance(one, str) == (f.kind == "string") and isinstance(one, str | int | float) and one is not True and one is not False
        ]
        texts = [one if isinstance(one, str) else json_text(one) for one in fitting]
        return [one for one in texts if len(one) <= LONGEST_TITLE][:MOST_SUGGESTIONS]

    def entry_names(self, f: Field) -> Sequence[str]:
        """The names that entries of a map may bear, where the schema lists them; counted as suggestions are."""
        names = f.view.entry_names if f.view is not None and (f.rows or self.may_add(f)) else ()
        if f.name not in self._suggested:
            self._suggested[f.name] = self._within([one for one in names if len(one) <= LONGEST_TITLE])
        return self._suggested[f.name]

    def _within(self, texts: list[str]) -> list[str]:
        """The texts, where the form may offer so many more."""
        self._offered += len(texts)
        return texts if self._offered <= MOST_LIVE else []

    def zones(self) -> list[str]:
        return sorted(zone_names())

    def fixed(self, f: Field) -> str:
        """The words of what cannot be changed."""
        if f.kind == "choice" and f.choices is not None:
            return f.choices.options[0][1]
        if f.state == "absent":
            return self._words("unset")
        value = self._drawer.value(f)
        return value if isinstance(value, str) and value else f.raw

    def select_options(self, f: Field) -> Markup:
        """The <option>s of given values, posted by their index."""
        raw, options = f.raw, f.choices.options if f.choices else ()
        parts = []
        if raw == "" or not f.required:
            parts.append(_option("", self._words("choose" if f.required else "unset"), raw == "" and f.state != "null"))
        if f.view is not None and f.view.nullable and not any(value is None for value, _ in options):
            parts.append(_option("n", self._words("null"), f.state == "null"))
        if raw.startswith("k"):
            parts.append(_option("k", self._words("notOffered", value=raw[1:60]), True))
        offered = [(index, words, raw == str(index)) for index, (_, words) in enumerate(options)]
        shown = _window(offered, small_number(raw)) if f.limited else offered
        parts += [_option(str(index), _cut(words), chosen) for index, words, chosen in shown]
        return Markup("").join(parts)

    def has_search(self, f: Field) -> bool:
        return self.hint(f, "x-widget") == "search" or (f.choices is not None and len(f.choices.options) > SEARCHED_FROM)

    def yesno_options(self, f: Field) -> Markup:
        states = [
            ("", "unset", not f.required or f.raw == ""),
            ("n", "null", f.view is not None and f.view.nullable),
            ("true", "yes", True),
            ("false", "no", True),
        ]
        chosen = "n" if f.state == "null" else f.raw
        return Markup("").join(_option(value, self._words(key), value == chosen) for value, key, there in states if there)

    def saved_secrets(self, f: Field) -> list[str]:
        """Names that this secret may be given by, its own first where it is not among them any more."""
        return [*([f.named] if f.named and f.named not in self._saved else []), *self._saved]

    def live_options(self, f: Field) -> list[tuple[str, str]]:
        """What the provider offers, asked with the values that the hint depends on."""
        source = {key: value for key, value in self.hint(f, "x-options").items() if key not in {"free", "depends"}}
        for argument, sibling in self.hint(f, "x-options").get("depends", {}).items():
            source[argument] = self._value_at(f, sibling)
        key = repr(sorted(source.items(), key=str))
        if key not in self._known:
            self._known[key] = self._provider(source)
        return [(one, one) if isinstance(one, str) else one for one in self._known[key]]

    def _may_offer(self, f: Field) -> bool:
        """True where the options of a provider still fit on the page; else the field is a line of text."""
        self._offered += len(self.live_options(f))
        return self._offered <= MOST_LIVE

    def live_select(self, f: Field) -> Markup:
        """The <option>s of a provider, posted as their text; what is not offered any more stays."""
        options = self.live_options(f)
        parts = [_option("", self._words("choose" if f.required else "unset"), f.raw == "")]
        parts += [_option(value, words, value == f.raw) for value, words in options]
        if f.raw and f.raw not in {value for value, _ in options}:
            parts.append(_option(f.raw, self._words("notThere", value=f.raw), True))
        return Markup("").join(parts)

    def steers(self, f: Field) -> bool:
        """True where other fields' options depend on this one, so that the form has to be drawn anew when it changes."""
        return f.name in self._steering

    @property
    def _steering(self) -> set[str]:
        if not hasattr(self, "_steering_names"):
            names: set[str] = set()
            for one in self._fields.values():
                for sibling in (self.hint(one, "x-options") or {}).get("depends", {}).values():
                    at = self._fields.get(sibling if sibling.startswith("/") else f"{one.pointer.rpartition('/')[0]}/{sibling}")
                    if at is not None:
                        names.add(at.name)
            self._steering_names = names
        return self._steering_names

    def _value_at(self, f: Field, sibling: str) -> Any:
        """The text or chosen value of a sibling, or of any field by its pointer; None where it has none."""
        at = self._fields.get(sibling if sibling.startswith("/") else f"{f.pointer.rpartition('/')[0]}/{sibling}")
        value = self._drawer.value(at) if at is not None else ABSENT
        return None if value is ABSENT else value

    # -- state, type, branch --------------------------------------------------------------------------------------

    def states(self, f: Field) -> list[tuple[str, str]]:
        """The states that a person may choose between, as (state, words); one or none means that there is nothing to choose."""
        entry = f.place.endswith("/*")
        nullable = f.view is not None and f.view.nullable
        match f.kind:
            case "choice" | "boolean" | "switch" | "readonly":
                return []
            case "secret":
                return (
                    [("kept", self._words("stateKept")), ("absent", self._words("stateRemoved")), ("value", self._words("stateNew"))]
                    if f.state == "kept" and not f.required
                    else []
                )
            case "string":
                absent = not entry and (not f.required or f.state == "absent") and (nullable or (f.view is not None and f.view.takes_empty))
                absent = absent and not self.hint(f, "x-options")
            case _:
                absent = not entry and (not f.required or f.state == "absent")
        if f.kind in {"integer", "number", "json", "source"} and not (nullable and f.kind != "json") and f.state != "null":
            return []
        states = [("absent", self._words("stateAbsent"))] if absent or (f.state == "absent" and f.kind != "string") else []
        if nullable or f.state == "null" or f.kind == "null":
            states.append(("null", self._words("stateNull")))
        if f.kind != "null":
            states.append(
                ("value", self._words({"array": "stateList", "checks": "stateList", "object": "stateSet"}.get(f.kind, "stateValue")))
            )
        if len(states) > 1 and f.state not in {state for state, _ in states}:
            states.insert(0, ("absent", self._words("stateAbsent")))
        return states if len(states) > 1 else []

    def state_is_quiet(self, f: Field) -> bool:
        """True where the choice matters only while the control is empty: it is shown when the field is looked at."""
        return f.kind in {"string", "array", "checks", "secret"} and not (f.view is not None and f.view.nullable) and f.state != "null"

    def types(self, f: Field) -> list[tuple[str, str, bool]]:
        """The types to choose from, as (kind, words, chosen); none where there is one."""
        if (
            f.view is None
            or f.kind in {"choice", "readonly", "secret", "null", "checks"}
            or f.view.choices is not None
            or self.hint(f, "x-widget") == "json"
        ):
            return []
        kinds = list(f.view.types)
        current = "boolean" if f.kind == "switch" else f.kind
        makeshift = f.kind == "json"
        if len(kinds) < 2 and not (makeshift and kinds):
            return []
        if makeshift or f.kind == "source" or f.view.first("type") is None:
            kinds.append("json")
        current = "json" if current == "source" else current
        return [(f.kind if kind == current else kind, self._words(f"kind.{kind}"), kind == current) for kind in kinds]

    def branches(self, f: Field) -> list[BranchChoice]:
        """The unions to choose a branch of."""
        if f.view is None or f.kind in {"readonly", "source"} or (f.state == "absent" and f.kind == "object" and not f.required):
            return []
        drawn = [union for union in f.view.unions if union.drawn]
        return [self._branch_choice(f, union, number if len(drawn) > 1 else 0) for number, union in enumerate(drawn, 1)]

    def _branch_choice(self, f: Field, union: Union, number: int) -> BranchChoice:
        names = [_cut(told.in_words(self._words)) for told in self._drawer.branch_names(union)]
        options = [(place, name, place == union.chosen) for place, name in zip(union.places, names, strict=True)]
        branch = union.branches[union.chosen]
        text = branch.get("description", "") if isinstance(branch, Mapping) else ""
        words = self._words("alternative")
        return BranchChoice(
            union.key,
            f"{words} {number}" if number else words,
            _window(options, union.chosen) if f.limited else options,
            union.chosen,
            self._told(str(text)) if text else _NOTHING,
        )

    # -- groups ---------------------------------------------------------------------------------------------------

    def sections(self, f: Field) -> list[tuple[str, list[Field], bool]]:
        """The members by section, as (title, members, open); the title is empty for those in none."""
        found: dict[str, list[Field]] = {}
        loose = 0
        last = None
        for member in filter(lambda one: not self._hidden(one), f.members.values()):
            title = str(self.hint(member, "x-section") or "")
            key = title
            if not title:
                loose += last != ""
                key = f"\0{loose}"
            last = title
            found.setdefault(key, []).append(member)
        return [
            (
                "" if key.startswith("\0") else key,
                members,
                self.holds_error(members) or any(one.required or one.state not in {"absent"} for one in members),
            )
            for key, members in found.items()
        ]

    def _visible(self, f: Field) -> Markup:
        """The attributes of a field that shows only while siblings have some values: the raw texts that stand for these, by the
        siblings' control names; and whether it is hidden now."""
        rule = self.hint(f, "x-visible-if")
        if not rule:
            return _NOTHING
        parent = f.pointer.rpartition("/")[0]
        watched, hidden = {}, False
        for sibling, values in rule.items():
            at = self._all.get(f"{parent}/{sibling}")
            if at is not None and at.kind == "readonly":  # no control to watch: it stays as it is
                hidden = hidden or not any(same(self._drawer.value(at), one) for one in values)
            elif at is not None:
                watched[at.name] = _raws(at, values)
                hidden = hidden or at.raw not in watched[at.name]
        shown = Markup(" hidden") if hidden else _NOTHING
        return _attribute("data-visible-if", json.dumps(watched)) + shown if watched else shown

    def may_add(self, f: Field) -> bool:
        if f.view is None:
            return False
        return f.view.may_add(len(f.rows)) if f.kind == "array" else f.view.offers_entries

    def entry(self, f: Field) -> str:
        """What one more row is called."""
        hinted = self.hint(f, "x-item-title")
        return _cut(str(hinted) if hinted else self._drawer.entry_title(f) or self._words("entry"))

    def entry_of(self, f: Field) -> str:
        """What a row's field is called: its own title, else what its list calls it."""
        return _cut((f.view.title if f.view else "") or f.title or self._words("entry"))


def _short(value: Any) -> str:
    """What a dynamic value becomes, in a line."""
    text = value if isinstance(value, str) else json_text(value, indent=None)
    return text if len(text) <= LONGEST_BECOME else text[:LONGEST_BECOME] + "…"


def _raws(at: Field, values: Sequence[Any]) -> list[str]:
    """What a control holds while its value is one of `values`."""
    if at.choices is not None:
        return [str(index) for index, (value, _) in enumerate(at.choices.options) if any(same(value, one) for one in values)]
    return [value if isinstance(value, str) else json_text(value, indent=None) for value in values]


_NOTHING = Markup("")


def _attribute(name: str, value: str) -> Markup:
    html = f' {name}="{escape(value)}"'
    return Markup(html)  # noqa: S704 - escaped above


def _option(value: str, words: str, selected: bool) -> Markup:
    html = f'<option value="{escape(value)}"{" selected" if selected else ""}>{escape(words)}</option>'
    return Markup(html)  # noqa: S704 - escaped above


def _cut(text: str) -> str:
    """A title, or the words of an option, of a length that a page can show."""
    return text if len(text) <= LONGEST_TITLE else f"{text[:LONGEST_TITLE]}…"


def _window(options: Sequence[tuple[int, str, bool]], chosen: int) -> Sequence[tuple[int, str, bool]]:
    """The first of many options, and the chosen one."""
    return [one for place, one in enumerate(options) if place < LEAST_LIMITED or one[0] == chosen]


_environment = Environment(
    loader=PackageLoader("web.forms"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
)
