"""Turns the output of a job into what a terminal would show: colours, progress bars that overwrite their line, and a visible mark for each
character that is invisible or changes the direction of the text around it.

The sequences are those of ECMA-48 and xterm. A line is shown in its last state: a carriage return, a backspace and sequences that move
within the line or erase parts of it are carried out. Colours and other renditions (SGR) are kept; all other sequences are dropped. Each
text begins without a colour, because the line before it may not be shown.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

import regex

from app.validation.names import UNSEEN_CLASS, character_name, unseen_places

LONGEST_STRING = 4_096  # characters of a title or another string for the terminal; a longer or unfinished one is shown as text
MOST_COLUMNS = 20_000  # the last column that a sequence may move to; a line of a log has at most 8,000 characters
BRIGHT, MOST_BASIC = 8, 16


@dataclass(frozen=True, slots=True)
class Style:
    """How characters look. Colours are the 16 basic ones: 0 black, 1 red, 2 green, 3 yellow, 4 blue, 5 magenta, 6 cyan, 7 white, and
    8 to 15 the same colours in bright. None is the colour of the page."""

    ink: int | None = None
    ground: int | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one style. For a mark, which stands for one invisible character, `named` is the name of that character."""

    text: str
    style: Style
    named: str = ""


PLAIN = Style()
_NOTHING_SPECIAL = regex.compile(f"[^{UNSEEN_CLASS}]*")
_CSI = regex.compile(r"(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])")
_STRING = regex.compile(rf"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{{0,{LONGEST_STRING}}}(?:\x07|\x1b\\|\x9c)")
_ESCAPE = regex.compile(r"\x1b(?:[ -/]+[0-~]|[0-OQ-WYZ\\`-~])?|\x1b[PX^_\[\]]|[\x90\x98\x9b-\x9f]")


# -- faces ------------------------------------------------------------------------------------------------------------


def runs(text: str) -> list[Run]:
    """Returns the text as it is seen, in runs of one style; lines end with a line feed."""
    if _NOTHING_SPECIAL.fullmatch(text):
        return [Run(text, PLAIN)] if text else []
    screen = _Screen()
    screen.write(text)
    return list(screen.runs())


def plain(text: str) -> str:
    """Returns the text as it is seen, without its colours."""
    return text if _NOTHING_SPECIAL.fullmatch(text) else "".join(run.text for run in runs(text))


def one_line(text: str) -> str:
    """Returns the same on one line, for the subject of a mail or a cell of a table: each line break becomes a space."""
    return " ".join(plain(text).split())


_HARMFUL = regex.compile(r"[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069--[\t\n\r]]", flags=regex.V1)


def harmless(text: str) -> str:
    """Returns a text of any origin with a mark in place of each character that would turn or break the text around it. Typographic
    characters stay."""
    if text.isascii() and text.isprintable():
        return text
    return _HARMFUL.sub(lambda match: mark(match[0]), text)


def printable(text: str) -> str:
    """Returns a text that is safe for the terminal of a person who runs a command: it holds no sequence, and overwrites no line."""
    return harmless(text).replace("\r", mark("\r"))


def mark(character: str) -> str:
    """Returns the mark of an invisible character: its number, because every font can show that."""
    return f"⟨U+{ord(character):04X}⟩"


def escaped(text: str) -> str:
    """Returns JSON with an escape for each invisible character."""
    places = set(unseen_places(text.replace("\n", " ")))
    return "".join(_json_escape(char) if place in places else char for place, char in enumerate(text)) if places else text


def _json_escape(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[place : place + 2].hex()}" for place in range(0, len(raw), 2))


# -- the screen -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cell:
    text: str
    style: Style
    named: str = ""


@dataclass(slots=True)
class _Screen:
    """Lines of cells. Text is written to the last line. Sequences never move to another line."""

    lines: list[list[_Cell]] = field(default_factory=lambda: [[]])
    column: int = 0
    style: Style = PLAIN

    def write(self, text: str) -> None:
        unseen, place = set(unseen_places(text)), 0
        while place < len(text):
            if match := _NOTHING_SPECIAL.match(text, place):
                for character in match[0]:
                    self._put(character)
                place = match.end()
            if place < len(text):
                place = self._special(text, place, unseen=place in unseen)

    def _special(self, text: str, place: int, *, unseen: bool) -> int:
        """Carries out the sequence or character that begins at `place`. Returns the place after it."""
        character = text[place]
        if match := _CSI.match(text, place):
            self._sequence(match[1], match[2])
            return int(match.end())
        if match := _STRING.match(text, place) or _ESCAPE.match(text, place):
            return int(match.end())
        if character == "\n":
            self.lines.append([])
            self.column = 0
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character != "\t" and unseen:
            self._put(mark(character), named=character_name(character))
        else:
            self._put(character)
        return place + 1

    def _put(self, text: str, named: str = "") -> None:
        line = self.lines[-1]
        if 0 < self.column <= len(line) and not named and (unicodedata.combining(text) or unicodedata.category(text) in {"Mn", "Me", "Cf"}):
            line[self.column - 1].text += text  # a combining character takes no column of its own
            return
        line += [_Cell(" ", PLAIN) for _ in range(self.column - len(line))]
        line[self.column : self.column + 1] = [_Cell(text, self.style, named)]
        self.column += 1

    def _sequence(self, parameters: str, final: str) -> None:
        if final == "m" and parameters[:1] not in {"<", "=", ">", "?"}:
            self.style = rendition(self.style, parameters)
        elif final == "K":
            self._erase(parameters)
        elif final in "CDG`":
            count = min(int(digits), MOST_COLUMNS) if (digits := parameters.partition(";")[0]).isdecimal() else 1
            target = {"C": self.column + max(1, count), "D": self.column - max(1, count)}.get(final, count - 1)
            self.column = min(max(0, target), MOST_COLUMNS)

    def _erase(self, parameters: str) -> None:
        line = self.lines[-1]
        if parameters in {"", "0"}:
            del line[self.column :]
        elif parameters == "1":
            line[: self.column + 1] = [_Cell(" ", PLAIN) for _ in line[: self.column + 1]]
        elif parameters == "2":
            line.clear()

    def runs(self) -> Iterator[Run]:
        for number, line in enumerate(self.lines):
            if number:
                yield Run("\n", PLAIN)
            for (style, named), cells in groupby(line, key=lambda cell: (cell.style, cell.named)):
                if named:
                    yield from (Run(cell.text, style, named) for cell in cells)
                else:
                    yield Run("".join(cell.text for cell in cells), style)


# -- renditions -------------------------------------------------------------------------------------------------------

_SWITCHES: dict[int, dict[str, bool]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"inverse": True},
    9: {"strike": True},
    21: {"underline": True},
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"inverse": False},
    29: {"strike": False},
}


def rendition(style: Style, parameters: str) -> Style:
    """Returns the style after SGR with these parameters (ECMA-48, 8.3.117). Blinking and concealment are ignored, because people must be
    able to read the log."""
    parts = [part.split(":") for part in parameters.split(";")]
    codes = [[_code(number) for number in part] for part in parts]
    place = 0
    while place < len(codes):
        first, *rest = codes[place]
        place += 1
        if first in {38, 48, 58}:
            if not rest:  # 38;5;n and 38;2;r;g;b: the colour is in the next parameters
                size = {5: 2, 2: 4}.get(codes[place][0] if place < len(codes) else 0, 1)
                rest = [code[0] for code in codes[place : place + size]]
                place += size
            elif rest[0] == 2 and len(rest) > 4:
                rest = [2, *rest[2:5]]  # 38:2:space:r:g:b
            if first != 58 and (colour := _extended(rest)) is not None:
                style = replace(style, ink=colour) if first == 38 else replace(style, ground=colour)
        else:
            style = _switch(style, first, rest)
    return style


def _code(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 5 else 0


def _switch(style: Style, code: int, rest: list[int]) -> Style:
    if code == 0:
        return PLAIN
    if code == 4 and rest == [0]:
        return replace(style, underline=False)
    if code in _SWITCHES:
        return replace(style, **_SWITCHES[code])
    if code in {39, 49}:
        return replace(style, ink=None) if code == 39 else replace(style, ground=None)
    for first, shift in ((30, 0), (90, BRIGHT)):
        if first <= code < first + BRIGHT:
            return replace(style, ink=code - first + shift)
        if first <= code - 10 < first + BRIGHT:
            return replace(style, ground=code - 10 - first + shift)
    return style


def _extended(rest: list[int]) -> int | None:
    """Returns the basic colour that is nearest to one of 256 colours or to an RGB colour; None if the code has no colour."""
    match rest:
        case [5, number, *_] if number < MOST_BASIC:
            return number
        case [5, number, *_] if number < 232:
            return nearest(
                *(0 if step == 0 else 55 + 40 * step for step in ((number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6))
            )
        case [5, number, *_] if number < 256:
            return nearest(*[8 + 10 * (number - 232)] * 3)
        case [2, red, green, blue, *_] if max(red, green, blue) < 256:
            return nearest(red, green, blue)
    return None


def nearest(red: int, green: int, blue: int) -> int:
    """Returns the basic colour for an RGB colour. The hue decides, because the page has one colour for each hue. A mixture without much
    colour becomes a grey of about the same lightness.

    (255, 95, 95) → 9 bright red, (0, 95, 0) → 2 green, (128, 128, 128) → 8 bright black.
    """
    most, least = max(red, green, blue), min(red, green, blue)
    if most - least < 40:
        return 0 if most < 64 else 8 if most < 160 else 7 if most < 230 else 15
    spread = most - least
    hue = (green - blue) / spread % 6 if most == red else (blue - red) / spread + 2 if most == green else (red - green) / spread + 4
    basic = (1, 3, 2, 6, 4, 5)[round(hue) % 6]  # red, yellow, green, cyan, blue, magenta
    return basic + (BRIGHT if most > 200 else 0)
