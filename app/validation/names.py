"""The normal spelling of names: composed (NFC), with plain single spaces, and without invisible characters. The registry stores and
compares names in this spelling.

Two names that look alike are one name. So `normal` returns the normal spelling of a name, and `name_problem` refuses a character that is
invisible at its place, or that changes the direction of text. Joiners, variation selectors and tags are allowed where Unicode gives them
a visible effect: in emoji (UTS #51), between letters that join (RFC 5892, appendix A) and in three flags.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import regex

from app.errors import FieldError
from app.validation.pointer import pointer
from templates_lib.messages import Said, say

NAME_OF_CONNECTION = r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}"  # and of a channel
LONGEST_READ = 2000  # characters: no field for a name or a line takes more
ZWNJ, ZWJ, TEXT_STYLE, EMOJI_STYLE = "\u200c", "\u200d", "\ufe0e", "\ufe0f"
_SIGN = r"\p{Extended_Pictographic}"

# -- the normal spelling ----------------------------------------------------------------------------------------------

_SPACES = regex.compile(r"[\p{Zs}]+")
# A selector without an effect: that of an emoji after a character that is an emoji anyway, a glyph variant of an ideograph (UTS #37).
_IDLE_SELECTOR = regex.compile(r"(?<=\p{Emoji_Presentation})\ufe0f+|(?<=\p{Unified_Ideograph})[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
# A sign in a sequence of emoji looks the same with the selector and without it; the full spelling has the selector (UTS #51, ED-18).
_BARE_BEFORE = regex.compile(rf"(?<=(?!\p{{Emoji_Presentation}}){_SIGN})(?=\u200d{_SIGN})")
_STYLED = r"[\ufe0f\p{Emoji_Modifier}]"
_BARE_BEHIND = regex.compile(rf"(?<={_SIGN}{_STYLED}?\u200d(?!\p{{Emoji_Presentation}}){_SIGN})(?!{_STYLED})")
_BARE_KEY = regex.compile(r"(?<=[0-9#*])(?=\u20e3)")


def normal(name: str) -> str:
    """Returns the normal spelling of a name: NFC, one plain space for each run of spaces, no spaces at the ends, and selectors only where
    they have an effect."""
    text = unicodedata.normalize("NFC", name) if not name.isascii() else name
    text = _SPACES.sub(" ", text).strip(" ")
    if text.isascii():
        return text
    text = _IDLE_SELECTOR.sub("", text)
    for place in (_BARE_BEFORE, _BARE_BEHIND, _BARE_KEY):
        text = place.sub(EMOJI_STYLE, text)
    return text


def spellings(name: str) -> list[str]:
    """Returns the spellings under which a name may be stored: the normal one, and the name as it is written, for older names."""
    return list(dict.fromkeys((normal(name), name)))


# -- invisible characters ---------------------------------------------------------------------------------------------

_TURNS = regex.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SEEN_FORMAT = regex.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")  # Arabic signs that frame a number
_BREAKS = regex.compile(r"[\p{Cc}\u2028\u2029]")
_NO_CHARACTER = regex.compile(r"[\p{Cs}\p{Noncharacter_Code_Point}]")
# The characters that Unicode tells to show as nothing, and also blank signs that are not spaces and marks of annotations and objects.
UNSEEN_CLASS = r"\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800\ufff9-\ufffc\U0001d159"
_INVISIBLE = regex.compile(f"[{UNSEEN_CLASS}]")

_ROLE_SIGNS = "⚕⚖✈❤🌾🍳🍼🎄🎓🎤🎨🏫🏭💋💻💼🔧🔬🚀🚒🤝🦯🦰🦱🦲🦳🦼🦽🩰"
_PEOPLE = "👦👧👨👩👶🧑🧒"
# Emoji that are joined with others than those above: by the sign before the joiner, the signs that may follow it.
_PAIRS = {
    "🏳": "🌈⚧",
    "🏴": "☠",
    "👁": "🗨",
    "🐈": "⬛",
    "🐦": "⬛🔥",
    "🐕": "🦺",
    "🐻": "❄",
    "🍋": "🟩",
    "🍄": "🟫",
    "⛓": "💥",
    "❤": "🔥🩹👨👩🧑💋",
    "😮": "💨",
    "😵": "💫",
    "😶": "🌫",
    "🙂": "↔↕",
    "🫱": "🫲",
    **dict.fromkeys("💋🤝🐰🫯", "👨👩🧑"),
    **dict.fromkeys("♂♀🦯🦼🦽🏃🚶🧎", "➡"),
    **dict.fromkeys("👯🤼🧞🧟🧌", "♂♀"),
}
_PAIR = "|".join(f"(?<={a}[\\ufe0f\\p{{Emoji_Modifier}}]?)\\u200d(?=[{b}])" for a, b in _PAIRS.items())
_SEEN_JOINER = regex.compile(
    "|".join(
        (
            # in emoji (UTS #51, 2.3)
            rf"(?<=[{_PEOPLE}]\p{{Emoji_Modifier}}?)\u200d(?=[{_ROLE_SIGNS}{_PEOPLE}🐰🫯])",
            r"(?<=\p{Emoji_Modifier_Base}[\ufe0f\p{Emoji_Modifier}]?)\u200d(?=[♂♀])",
            _PAIR,
            # RFC 5892, A.1: between letters that would join; and between the sign that drops a vowel and a letter
            r"(?<=[\p{jt=L}\p{jt=D}]\p{jt=T}*)\u200c(?=\p{jt=T}*[\p{jt=R}\p{jt=D}])",
            r"(?<=\p{ccc=9})\u200c(?=\p{L})",
            # RFC 5892, A.2; and before that sign in scripts that use it so (Bengali, Kannada: Unicode, 12.2 and 12.8)
            r"(?<=\p{ccc=9})\u200d",
            r"(?<=[\u09b0\u0cb0])\u200d(?=\p{ccc=9})",
            # A letter that is shown as if another letter came after or before it (Unicode, 9.2)
            r"(?<=[\p{jt=L}\p{jt=D}]\p{jt=T}*)\u200d(?!\p{jt=T}*[\p{jt=R}\p{jt=D}\p{jt=C}])",
            r"(?<![\p{jt=L}\p{jt=D}\p{jt=C}]\p{jt=T}*)\u200d(?=\p{jt=T}*[\p{jt=R}\p{jt=D}])",
        )
    )
)
_SEEN_SELECTOR = regex.compile(
    rf"(?<=(?!\p{{Emoji_Presentation}}){_SIGN})\ufe0f|(?<=\p{{Emoji}})(?<={_SIGN})\ufe0e|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    r"|(?<=[\u1820-\u18aa])[\u180b-\u180d\u180f]|(?<=[\u1820-\u18aa])\u180e(?=[\u1820-\u18aa])"  # forms of Mongolian letters
)
_FLAGS = ("gbeng", "gbsct", "gbwls")  # England, Scotland, Wales: all that Unicode recommends
_TAGGED = "|".join("".join(chr(0xE0000 + ord(letter)) for letter in region) for region in _FLAGS)
_FLAG = regex.compile(f"\U0001f3f4(?:{_TAGGED})\U000e007f")

_CALLED = {
    0x00: say("NUL"),
    0x08: say("backspace"),
    0x09: say("tab"),
    0x0A: say("line feed"),
    0x0D: say("carriage return"),
    0x1B: say("escape"),
    0x7F: say("delete character"),
    0xFEFF: say("byte order mark"),
}


def character_name(character: str) -> str:
    """Returns the name of an invisible character: "soft hyphen (U+00AD)". Most names are those of Unicode, in English."""
    point = ord(character)
    known = _CALLED.get(point) or unicodedata.name(character, "").lower() or say("control character")
    return say("{name} (U+{number})", name=known, number=f"{point:04X}")


def name_problem(name: str) -> Said | None:
    """Returns the problem with the first character that is refused in a name; None if there is none."""
    place = _unseen(name)
    return None if place is None else _refusal(name[place])


def visible(name: str) -> str:
    """Returns the normal spelling of a name without the characters that `name_problem` refuses. Migrations use it for stored names."""
    text = normal(name)
    while (place := _unseen(text)) is not None:
        text = normal(text[:place] + text[place + 1 :])
    return text


def _unseen(name: str) -> int | None:
    """Returns the index of the first character that is refused; None if there is none."""
    return next(unseen_places(name), None)


def unseen_places(text: str) -> Iterator[int]:
    """Yields the indexes of characters in a text that are invisible or change its direction. Line feeds and tabs are among them."""
    if text.isascii() and text.isprintable():
        return
    flags = [match.span() for match in _FLAG.finditer(text)]
    for match in _INVISIBLE.finditer(text):
        place = match.start()
        flag = any(begin <= place < end for begin, end in flags)
        if not (flag or _SEEN_FORMAT.match(text, place) or _SEEN_JOINER.match(text, place) or _SEEN_SELECTOR.match(text, place)):
            yield place


def _refusal(character: str) -> Said:
    shown = character_name(character)
    if _BREAKS.match(character):
        return say("must be one line without control characters, but contains {character}", character=shown)
    if _NO_CHARACTER.match(character):
        return say("must be text, but contains U+{number}, which is not a character", number=f"{ord(character):04X}")
    if _TURNS.match(character):
        return say("must not contain characters that change the direction of text, but contains {character}", character=shown)
    if character in {ZWJ, ZWNJ} or unicodedata.name(character, "").startswith(("VARIATION SELECTOR", "TAG ", "MONGOLIAN")):
        return say("must not contain {character} at this place, where it is invisible", character=shown)
    return say("must not contain the invisible character {character}", character=shown)


def read_name(text: str) -> tuple[str, Said | None]:
    """Returns the normal spelling of a name and its problem, or None. A text that is too long for any field stays as it is."""
    if len(text) > LONGEST_READ:
        return text, None
    name = normal(text)
    return name, name_problem(name)


def read_names(body: Any, *fields: str) -> tuple[Any, list[FieldError]]:
    """Returns a body with the normal spelling of the names in these members, and the errors of the names, each at its pointer. Each
    member may be a text or a list of texts. Other values stay as they are; the schema reports them."""
    if not isinstance(body, Mapping):
        return body, []
    read, errors = dict(body), list[FieldError]()
    for field in fields:
        value = read.get(field)
        if isinstance(value, str):
            read[field] = _read_at((field,), value, errors)
        elif isinstance(value, list):
            read[field] = [_read_at((field, place), item, errors) if isinstance(item, str) else item for place, item in enumerate(value)]
    return read, errors


def _read_at(path: tuple[str | int, ...], text: str, errors: list[FieldError]) -> str:
    name, problem = read_name(text)
    errors += [FieldError(pointer(path), problem)] if problem else []
    return name
