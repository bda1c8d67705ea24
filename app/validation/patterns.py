"""Matches `pattern` and `patternProperties` as ECMA-262 defines them (JSON Schema core, 6.4), within a limit of time."""

from __future__ import annotations

import contextvars
import itertools
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import regex

from templates_lib.messages import say

SECONDS_A_MATCH = 0.1
SECONDS_A_VALUE = 1.0  # for all matches while one value is validated
LONGEST_PATTERN = 2000
_PROBE_SECONDS = 0.05
_PROBE_TRIES = 100  # on a machine that is so busy that a thread gets nothing for seconds, the pattern is refused
_PROBE_LENGTH = 40  # long enough to reveal a time that doubles with each character, short enough for a quadratic one

# ECMA-262 with the u flag: \d and \w are ASCII, \s is Unicode white space with U+FEFF, "." stops at four line ends, `$` has no
# "before a final newline", and a name in \p is case-sensitive (regex folds it, which accepts more and refuses nothing).
_OUTSIDE = {"d": "[0-9]", "D": "[^0-9]", "w": "[A-Za-z0-9_]", "W": "[^A-Za-z0-9_]", "s": "[\\s\ufeff]", "S": "[^\\s\ufeff]"}
_INSIDE = {
    "d": "0-9",
    "w": "A-Za-z0-9_",
    "s": "\\s\ufeff",
    "S": "\\S",
    "D": "\\x00-\\x2f\\x3a-\\U0010ffff",
    "W": "\\x00-\\x2f\\x3a-\\x40\\x5b-\\x5e\\x60\\x7b-\\U0010ffff",
}
_PLAIN = set(string.ascii_letters + string.digits + "_ @:,;=~!#%&'\"<>")

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar("pattern_deadline", default=None)


class PatternRefused(ValueError):
    """The text is not a regular expression, or is one that may run for seconds; the message says which."""


class PatternTooSlow(Exception):
    """A match took longer than the limit."""


@contextmanager
def bounded() -> Iterator[None]:
    """Limits the time of all matches inside this context together to SECONDS_A_VALUE."""
    token = _deadline.set(time.monotonic() + SECONDS_A_VALUE)
    try:
        yield
    finally:
        _deadline.reset(token)


def search(pattern: str, text: str) -> bool:
    """Returns whether `pattern` matches somewhere in `text`. Raises PatternTooSlow, and PatternRefused if it is not a pattern."""
    deadline, seconds = _deadline.get(), SECONDS_A_MATCH
    if deadline is not None:
        seconds = min(seconds, deadline - time.monotonic())
    if seconds <= 0:
        raise PatternTooSlow(pattern)
    try:
        return _compiled(pattern).search(text, timeout=seconds) is not None
    except TimeoutError as error:
        raise PatternTooSlow(pattern) from error


def matches(pattern: str, text: str) -> bool:
    """Does the same as `search` for the name of a member. A match that takes too long counts as no match, so that the keywords for
    unmatched names apply to the member."""
    try:
        return search(pattern, text)
    except PatternTooSlow:
        return False


def check_pattern(pattern: str) -> None:
    """Raises PatternRefused if the text is not a pattern, is too long, or backtracks for very long on texts that almost match."""
    if len(pattern) > LONGEST_PATTERN:
        raise PatternRefused(say("is longer than {most} characters", most=LONGEST_PATTERN))
    compiled = _compiled(pattern)
    if not any(sign in pattern for sign in "*+{"):
        return
    letters = list(dict.fromkeys(ch for ch in pattern if ch.isalnum() or ch in " -_.@/"))[:6]
    for seed in [*letters, "a", "0", " ", *(a + b for a, b in itertools.pairwise(letters))]:
        for end in ("", "\x00!"):
            if not _ends_in_time(compiled, seed * (_PROBE_LENGTH // len(seed)) + end):
                raise PatternRefused("can take seconds to match some texts. Avoid a repetition inside a repetition")


def _ends_in_time(compiled: regex.Pattern[str], text: str) -> bool:
    """Whether a search ends within _PROBE_SECONDS of processor time. The limit of `regex` goes by the clock, and a thread of a busy machine
    may wait for longer than that: a search that was cut off before it had half of its time is tried again."""
    for _ in range(_PROBE_TRIES):
        began = time.thread_time()
        try:
            compiled.search(text, timeout=_PROBE_SECONDS)
        except TimeoutError:
            if time.thread_time() - began >= _PROBE_SECONDS / 2:
                return False
        else:
            return True
    return False


def browser_pattern(pattern: str) -> str | None:
    """Returns the value of an HTML `pattern` attribute with the same meaning as `pattern`, or None if there is none.

    A browser anchors the attribute and compiles it with the v flag (HTML Living Standard, 4.10.5.3.6). So only anchored patterns of
    plain characters, simple classes, escapes and repeats are returned.
    """
    if not (pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$")):
        return None
    body, index, in_class = pattern[1:-1], 0, False
    while index < len(body):
        ch = body[index]
        if ch == "\\":
            if body[index + 1 : index + 2] not in {"d", "w", ".", "-" if in_class else "."}:
                return None
            index += 1
        elif in_class:
            if ch == "]":
                in_class = False
            elif (ch not in _PLAIN and ch not in ".-^") or (not ch.isalnum() and body[index + 1 : index + 2] == ch):
                return None
            elif ch == "-" and (body[index - 1] == "[" or body[index + 1 : index + 2] == "]"):
                return None  # a lone "-" is an error under the v flag
        elif ch == "[":
            in_class = True
        elif ch not in _PLAIN and ch not in "-*+?{}":
            return None
        index += 1
    return None if in_class else body


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    try:
        return regex.compile(_translate(pattern))
    except (regex.error, OverflowError, RecursionError, ValueError, IndexError) as error:
        raise PatternRefused(say("is not a valid regular expression: {error}", error=error)) from error


def _translate(pattern: str) -> str:
    """Returns the pattern in the dialect of the library `regex`."""
    parts: list[str] = []
    index, in_class = 0, False
    while index < len(pattern):
        ch = pattern[index]
        index += 1
        if ch == "\\":
            if index >= len(pattern):
                raise PatternRefused("is not a valid regular expression: it ends with a backslash")
            text, index = _escape(pattern, index, in_class=in_class)
            parts.append(text)
        elif in_class:
            in_class = ch != "]"
            parts.append("\\" + ch if ch in "[&~|" else ch)
        elif ch == "[":
            if pattern.startswith("[^]", index - 1):
                parts.append("(?s:.)")
                index += 2
            elif pattern.startswith("[]", index - 1):
                parts.append("(?!)")
                index += 1
            else:
                in_class = True
                parts.append(ch)
                if pattern.startswith("^", index):
                    parts.append("^")
                    index += 1
        else:
            parts.append({"$": "\\Z", ".": "[^\\n\\r\u2028\u2029]"}.get(ch, ch))
    return "".join(parts)


def _escape(pattern: str, index: int, *, in_class: bool) -> tuple[str, int]:
    """Translates the escape whose letter is at `index`. Returns its text in the dialect of `regex`, and the index after it."""
    ch, rest = pattern[index], pattern[index + 1 :]
    table = _INSIDE if in_class else _OUTSIDE
    if ch in table:
        return table[ch], index + 1
    if ch == "k" and rest.startswith("<") and ">" in rest:
        name = rest[1 : rest.index(">")]
        return f"(?P={name})", index + len(name) + 3
    if ch == "c" and rest[:1].isascii() and rest[:1].isalpha():
        return f"\\x{ord(rest[0]) % 32:02x}", index + 2
    if ch == "u" and rest.startswith("{"):
        digits, _, _ = rest[1:].partition("}")
        return regex.escape(chr(int(digits, 16))), index + len(digits) + 3
    if ch in {"u", "x"}:
        size = 4 if ch == "u" else 2
        return regex.escape(chr(int(rest[:size], 16))), index + 1 + size
    if ch in {"a", "A", "Z", "z", "G", "K", "R", "X", "Q", "E", "m", "M", "L", "l", "h", "N", "U"}:
        # Letters that mean something in `regex` and nothing in ECMA-262, where such an escape is an error.
        raise PatternRefused(say("is not a valid regular expression: \\{ch} has no meaning", ch=ch))
    return "\\" + ch, index + 1
