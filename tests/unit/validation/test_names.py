"""Names: one spelling for what looks alike, and no character that nobody sees."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FieldError
from app.validation.names import LONGEST_READ, name_problem, normal, read_names, spellings, visible

# What Unicode says to show as nothing (DerivedCoreProperties.txt, Default_Ignorable_Code_Point), and what else is blank.
IGNORED = [
    0xAD,
    0x34F,
    0x61C,
    *range(0x115F, 0x1161),
    *range(0x17B4, 0x17B6),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    0x3164,
    *range(0xFE00, 0xFE10),
    0xFEFF,
    0xFFA0,
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
]
BLANK = [0x2800, 0xFFFC, 0x1D159, *range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800, 0xDFFF, 0xFFFE, 0x1FFFF]


@pytest.mark.parametrize("place", ["{}name", "na{}me", "name{}", "{}"])
def test_a_character_that_nobody_sees_is_refused_wherever_it_stands(place: str) -> None:
    passed = [f"U+{point:04X}" for point in [*IGNORED, *BLANK] if name_problem(normal(place.format(chr(point)))) is None]
    assert passed == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\u00adb", "must not contain the invisible character soft hyphen (U+00AD)"),
        ("\u3164", "must not contain the invisible character hangul filler (U+3164)"),
        ("a\u200bb", "must not contain the invisible character zero width space (U+200B)"),
        ("\ufeffa", "must not contain the invisible character byte order mark (U+FEFF)"),
        (
            "safe\u202egnp.exe",
            "must not contain characters that change the direction of text, but contains right-to-left override (U+202E)",
        ),
        ("a\nb", "must be one line without control characters, but contains line feed (U+000A)"),
        ("a\x85b", "must be one line without control characters, but contains control character (U+0085)"),
        ("a\ud800", "must be text, but contains U+D800, which is not a character"),
        ("a\u200db", "must not contain zero width joiner (U+200D) at this place, where it is invisible"),
        ("a\ufe0f", "must not contain variation selector-16 (U+FE0F) at this place, where it is invisible"),
        ("a\U000e0061", "must not contain tag latin small letter a (U+E0061) at this place, where it is invisible"),
    ],
)
def test_the_reason_names_the_character(name: str, told: str) -> None:
    assert name_problem(name) == told


@pytest.mark.parametrize(
    "name",
    [
        "👩‍💻 deploys",
        "👨‍👩‍👧‍👦",
        "🏳️‍🌈",
        "🏳️‍⚧️",
        "🏴‍☠️",
        "👁️‍🗨️",
        "🧑🏽‍🚀",
        "🕵🏻‍♂️",
        "❤️‍🔥",
        "👩‍❤️‍💋‍👨",
        "🧑🏻‍🤝‍🧑🏿",
        "🐻‍❄️",
        "🚶🏾‍♀️‍➡️",
        "1️⃣",
        "©️",
        "☺︎",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "🏴󠁧󠁢󠁷󠁬󠁳󠁿",
        "🇩🇪",
        "🫨",
        "می‌خواهم",
        "نامه‌ای",
        "کتاب‌ها",
        "سال ۱۳۴۵ ه‍",
        "क्‍ष",
        "क्‌ष",
        "শ্রী",
        "র‍্যাব",
        "ශ්‍රී ලංකා",
        "അവന്‍",
        "ᠬᠠᠷ᠎ᠠ",
        "한국어",
        "日本語",
        "Größe – “täglich” №1",
        "عربي",
        "עברית",
        "Ünïcode",
        "a b",
    ],
)
def test_what_people_write_is_a_name(name: str) -> None:
    assert name_problem(normal(name)) is None
    assert visible(name) == normal(name)


@pytest.mark.parametrize(
    "name",
    [
        "می‌",
        "‌می",
        "می‌‌خواهم",
        "क‍",
        "क्‌",
        "🚀‍🚀",
        "🚀‍",
        "‍🚀",
        "🏴\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f",
        "🏴\U000e0067",
        "1\ufe0f",
        "a‍👩",
        "👩‍a",
        "x\u180ey",
    ],
)
def test_a_joiner_without_effect_is_no_part_of_a_name(name: str) -> None:
    assert name_problem(normal(name)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ünïcode", unicodedata.normalize("NFD", "Ünïcode")),
        ("Å", "\u212b"),
        ("K", "\u212a"),
        ("가", "\u1100\u1161"),
        ("café", "cafe\u0301"),
        ("a b", " a\u00a0 b "),
        ("a b", "a\u3000b"),
        ("a b", "a\u2009\u202fb"),
        ("⛄", "⛄\ufe0f"),
        ("葛", "葛\U000e0100"),
        ("🏳️‍🌈", "🏳‍🌈"),
        ("👩‍⚕️", "👩‍⚕"),
        ("1️⃣", "1⃣"),
        ("ệ", "e\u0323\u0302"),
        ("ệ", "e\u0302\u0323"),
    ],
)
def test_what_looks_alike_is_one_name(one: str, other: str) -> None:
    assert one != other
    assert normal(one) == normal(other)


@given(st.text(max_size=40))
def test_a_name_has_one_spelling(name: str) -> None:
    assert normal(normal(name)) == normal(name)
    assert name_problem(visible(name)) is None
    assert visible(visible(name)) == visible(name)
    assert (name_problem(normal(name)) is None) == (visible(name) == normal(name))


def test_names_of_a_body_are_read_where_they_stand() -> None:
    read, errors = read_names(
        {"name": " a\u0308 ", "tags": ["x", "b\u00ad", 5], "other": "\u00ad", "flag": None}, "name", "tags", "flag", "gone"
    )
    assert read == {"name": "ä", "tags": ["x", "b\u00ad", 5], "other": "\u00ad", "flag": None}
    assert errors == [FieldError("/tags/1", "must not contain the invisible character soft hyphen (U+00AD)")]
    assert read_names(["no body"], "name") == (["no body"], [])
    assert spellings("a\u0308") == ["ä", "a\u0308"]


def test_a_huge_text_is_left_to_the_bound_of_its_field() -> None:
    huge = "\u0301\u200c" * LONGEST_READ
    assert read_names({"name": huge}, "name") == ({"name": huge}, [])
