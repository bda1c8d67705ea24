"""Sentences that remember how they were made, and the catalogues that translate them."""

from __future__ import annotations

import json
import pickle
import re
import string
from datetime import UTC, datetime

import bson
import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.passwords import Passwords
from app.accounts.preferences import LANGUAGES
from app.errors import Conflict, FieldError, NotFound, StaleVersion, ValidationFailed
from scripts.messages import collect, pieces
from templates_lib.messages import Said, joined, parts_of, restored, said, say, say_many
from web import language
from web.language import in_language, translated

OTHERS = [name for name in LANGUAGES if name != "en"]


def catalogue(name: str) -> list[Message]:
    with (language.LOCALES / f"{name}.po").open("rb") as file:
        return [one for one in read_po(file, locale=name) if one.id]


@pytest.mark.parametrize("name", OTHERS)
def test_a_catalogue_has_all_that_is_said_and_nothing_else(name: str) -> None:
    assert {tuple(one.id) if isinstance(one.id, tuple) else one.id for one in catalogue(name)} == set(collect()), "run `make messages`"


def test_no_sentence_is_put_together_from_pieces() -> None:
    assert pieces() == []


def fields(text: str) -> set[str]:
    named = {match[1] for match in re.finditer(r"%\((\w+)\)s", text)}
    try:
        braced = {name for _, name, _, _ in string.Formatter().parse(text) if name and name.isidentifier()}
    except ValueError:  # a JSON example, which is taken as it stands
        braced = set()
    return named | braced


@pytest.mark.parametrize("name", OTHERS)
def test_each_sentence_is_translated_and_names_the_same_values(name: str) -> None:
    for one in catalogue(name):
        keys = one.id if isinstance(one.id, tuple) else (one.id,)
        texts = one.string if isinstance(one.string, tuple) else (one.string,)
        assert len(texts) == len(keys), one.id
        assert all(texts), one.id
        for text in texts:
            assert fields(text) <= fields(keys[-1]) | fields(keys[0]), one.id
        assert fields(keys[-1]) - {"count", "num"} <= fields(texts[-1]), one.id
        assert not one.fuzzy, one.id


def test_a_sentence_works_as_its_english_text() -> None:
    text = say("must be at most {most:,} {what}", most=5000, what=say("characters"))
    assert text == "must be at most 5,000 characters"
    assert json.dumps({"a": text}) == '{"a": "must be at most 5,000 characters"}'
    assert bson.decode(bson.encode({"a": text})) == {"a": "must be at most 5,000 characters"}
    again = pickle.loads(pickle.dumps(text))  # noqa: S301 - our own
    assert (again, again.pattern, again.values) == (text, text.pattern, text.values)
    assert say("braces {} stay without values") == "braces {} stay without values"
    with pytest.raises(KeyError):
        say("{a} {b}", a=1)


def test_errors_keep_it_through_their_text() -> None:
    error = Conflict(say("{name!r} is not deleted", name="x"))
    assert translated(error.detail, "de") == "„x“ ist nicht gelöscht"
    assert isinstance(str(error), Said)
    assert translated(NotFound("job", "7").detail, "de") == "Job „7“ gibt es nicht"
    stale = "Jemand anderes hat dies geändert. Jetzt gilt Version 2.000; Ihre Änderung beruht auf Version 1."
    assert translated(StaleVersion(1, 2000).detail, "de") == stale
    two = ValidationFailed([FieldError("/a", "is required"), FieldError("/b", say("must be at most {most}", most=3))])
    assert (two.detail, translated(two.detail, "de")) == (
        "/a: is required; /b: must be at most 3",
        "/a: ist erforderlich; /b: darf höchstens 3 sein",
    )
    (weak,) = Passwords().problems("password1234", known=())
    assert not re.search("This|password", translated(weak.message, "de")), "what zxcvbn says is translated, too"
    (wrong,) = ValidationFailed([FieldError("/a", "is required")]).errors
    assert (wrong.message, translated(wrong.message, "de")) == ("is required", "ist erforderlich")
    assert hash(wrong) == hash(FieldError("/a", "is required"))


def test_counts_pick_the_plural_of_the_language() -> None:
    for count, english, german in (
        (1, "1 run queued", "1 Lauf eingereiht"),
        (0, "0 runs queued", "0 Läufe eingereiht"),
        (1234, "1,234 runs queued", "1.234 Läufe eingereiht"),
    ):
        text = say_many("{count} run queued", "{count:,} runs queued", count)
        assert (text, translated(text, "de")) == (english, german)


@given(st.text(max_size=60), st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=20), min_size=1))
def test_whatever_a_value_holds_is_shown_as_it_is(text: str, values: dict[str, str]) -> None:
    pattern = " ".join(f"{{{name}}}" for name in values)
    assert translated(say(pattern, **values), "de") == " ".join(values.values())
    assert translated(said(text), "de") in {text, language._catalogue("de").gettext(text)} or not text


def test_a_schema_is_worded_anew_and_asks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {
        "type": "object",
        "title": "Report",
        "default": {"title": "Report"},
        "enum": ["Report"],
        "properties": {"title": {"title": "Title", "const": "Title", "examples": [{"title": "Title"}]}, "description": {"type": "string"}},
        "items": {"anyOf": [{"description": "Plain text"}, True]},
        "additionalProperties": False,
    }
    assert in_language(schema) is schema
    monkeypatch.setattr(language, "language", lambda: "de")
    assert in_language(schema) == {
        **schema,
        "title": "Bericht",
        "properties": {"title": {"title": "Titel", "const": "Title", "examples": [{"title": "Title"}]}, "description": {"type": "string"}},
        "items": {"anyOf": [{"description": "Reiner Text"}, True]},
    }
    assert schema["title"] == "Report"


CODEC: CodecOptions[dict[str, object]] = CodecOptions(tz_aware=True)
STORED = [
    say("The answer is empty"),
    say("{name!r} did not answer within {seconds:g} s", name="shop", seconds=2.5),
    say_many("{count} run queued", "{count:,} runs queued", 1234),
    say_many("{count} run queued", "{count:,} runs queued", 1),
    joined((say("{a} failed", a=say("The {b}", b=1)), "plain"), "; "),
    say("due at {at:%H:%M}", at=datetime(2026, 3, 29, 2, 30, tzinfo=UTC)),
    say("The settings cannot be used: {detail}.", detail=ValueError("no host")),
]


@pytest.mark.parametrize("sentence", STORED, ids=str)
def test_a_stored_sentence_comes_back_with_its_parts(sentence: Said) -> None:
    row = bson.decode(bson.encode({"text": sentence, "said": parts_of(sentence)}), CODEC)
    again = restored(row["text"], row["said"])
    assert isinstance(again, Said)
    assert (again, again.pattern, again.plural, again.number) == (sentence, sentence.pattern, sentence.plural, sentence.number)
    assert translated(again, "de") == translated(sentence, "de")


@pytest.mark.parametrize(
    "parts",
    [
        None,
        {},
        "Nothing",
        {"pattern": "{a}", "values": {"a": "of another text"}},
        {"pattern": "{a}", "values": {}},
        {"pattern": "{a:d}", "values": {"a": "x"}},
        {"pattern": "{a.real}", "values": {"a": 5}},
        {"pattern": "{", "values": {"a": 5}},
        {"pattern": "5", "values": []},
        {"pattern": "5", "plural": "{count}", "number": "many", "values": {}},
        {"pattern": "{a}", "values": {"a": {"text": 5}}},
        {"pattern": "{a:>999999999}", "values": {"a": 5}},
    ],
    ids=repr,
)
def test_parts_that_do_not_belong_to_a_stored_text_are_left_alone(parts: object) -> None:
    assert restored("5", parts) == "5"
    assert not isinstance(restored("5", parts), Said)


@pytest.mark.parametrize("text", ["plain", say("{count:,} rows", count=2**70), say("{name!r}", name="\ud800")], ids=ascii)
def test_a_text_whose_parts_cannot_be_stored_has_none(text: str) -> None:
    assert parts_of(text) is None
