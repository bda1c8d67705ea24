"""Unit files of systemd: sections, drop-ins, specifiers and command lines (systemd.unit(5), systemd.service(5), systemd.syntax(7))."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from app.imports.systemd_calendar import SystemdRefused

_SECTION = re.compile(r"\[(.+)\]")
_ESCAPES = dict(zip("abfnrtvs\\\"'", "\a\b\f\n\r\t\v \\\"'", strict=True))
_PREFIXES = re.compile(r"[-@:+!|]+")
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


@dataclass(slots=True)
class Unit:
    """The assignments of a unit with its drop-ins: values by (section, key), in their order. `texts` are the files."""

    name: str
    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Adds the assignments of a file. An empty one takes back those before it."""
        section = ""
        for line in _lines(text):
            match = _SECTION.fullmatch(line)
            if match:
                section = match[1]
                continue
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals:
                raise SystemdRefused(f"the line {line[:60]!r} is not an assignment")
            found = self.values.setdefault((section, key), [])
            if value:
                found.append(value)
            else:
                found.clear()

    def all(self, section: str, key: str) -> list[str]:
        """Returns the values of a key."""
        return self.values.get((section, key), [])

    def last(self, section: str, key: str, default: str = "") -> str:
        """Returns the value of a key that counts: the last one."""
        found = self.all(section, key)
        return found[-1] if found else default

    def has(self, section: str) -> bool:
        """Returns whether there is a section with values."""
        return any(name == section and values for (name, _), values in self.values.items())


def _lines(text: str) -> Iterator[str]:
    """Yields the lines, joined where one ends with a backslash. Comments between joined lines are left out."""
    pending = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line[:1] in {"#", ";"} or (not line and not pending):
            continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        if pending + line:
            yield (pending + line).strip()
        pending = ""
    if pending.strip():
        yield pending.strip()


def specifiers(name: str, *, user: bool) -> dict[str, str]:
    """Returns the specifiers of a unit whose values are known from its name and from the kind of the manager."""
    stem, _, suffix = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    run, state, cache, logs, conf = ("", "", "", "", "") if user else ("/run", "/var/lib", "/var/cache", "/var/log", "/etc")
    known = {"n": name, "N": stem, "p": prefix, "P": unescape(prefix), "i": instance, "I": unescape(instance), "%": "%", "T": "/tmp"}  # noqa: S108
    known |= {"V": "/var/tmp", "j": prefix.rpartition("-")[2], "f": "/" + unescape(instance if at else prefix)}  # noqa: S108
    if not user:
        known |= {"t": run, "S": state, "C": cache, "L": logs, "E": conf, "u": "root", "U": "0", "h": "/root", "g": "root", "G": "0"}
    return {key: value for key, value in known.items() if value or key in {"i", "I"}} if suffix else known


def unescape(text: str) -> str:
    r"""Returns a name of a unit without its escapes: `-` is `/`, and `\x2d` is a character."""
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text.replace("-", "/"))


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replaces the specifiers of a text. Raises SystemdRefused for one whose value is known on the machine only."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise SystemdRefused(f"the value of %{match[1]} is known on the machine only")
        return known[match[1]]

    return re.sub(r"%(.)", value, text)


def words(text: str) -> list[tuple[str, bool]]:
    """Splits a text as systemd does: (word, whether it was quoted). Raises SystemdRefused for a quote that is not closed."""
    found: list[tuple[str, bool]] = []
    current, quote, quoted, place = "", "", False, 0
    started = False
    while place < len(text):
        char = text[place]
        if char == "\\" and place + 1 < len(text):
            piece, place = _escape(text, place)
            current += piece
            started = True
            continue
        if quote:
            current, quote = (current, "") if char == quote else (current + char, quote)
        elif char in "'\"" and not current:
            quote, quoted, started = char, True, True
        elif char.isspace():
            if started:
                found.append((current, quoted))
            current, quoted, started = "", False, False
        else:
            current += char
            started = True
        place += 1
    if quote:
        raise SystemdRefused("a quote is not closed")
    return [*found, (current, quoted)] if started else found


def _escape(text: str, place: int) -> tuple[str, int]:
    following = text[place + 1]
    if following in _ESCAPES:
        return _ESCAPES[following], place + 2
    digits = {"x": 2, "u": 4, "U": 8}.get(following, 0)
    code = text[place + 2 : place + 2 + digits]
    if digits and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", code):
        return chr(int(code, 16)), place + 2 + digits
    return "\\" + following, place + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command line: its prefixes such as `-`, and its text as a line of a shell. A word whose variable is not known keeps `$NAME`, which
    only a shell can fill in."""

    prefixes: str
    text: str


def read_exec(value: str, known: Mapping[str, str], variables: Mapping[str, str]) -> Iterator[Exec]:
    """Yields the commands of an ExecStart: `;` as a word separates them. Raises SystemdRefused."""
    parts: list[tuple[str, bool]] = []
    for word in [*words(value), (";", False)]:
        if word == (";", False):
            if parts:
                yield _exec(parts, known, variables)
            parts = []
        else:
            parts.append(word)


def _exec(parts: list[tuple[str, bool]], known: Mapping[str, str], variables: Mapping[str, str]) -> Exec:
    first, _ = parts[0]
    match = _PREFIXES.match(first)
    prefixes = match[0] if match else ""
    program = expand(first[len(prefixes) :], known)
    rest = parts[1:]
    if "@" in prefixes:
        rest = rest[1:]  # the name that the program sees as its own
    if not program:
        raise SystemdRefused("an ExecStart has no program")
    texts = [shlex.quote(program)]
    for word, quoted in rest:
        expanded = expand(word, known)
        texts += [shlex.quote(expanded)] if ":" in prefixes else _with_variables(expanded, quoted, variables)
    return Exec(prefixes=prefixes, text=" ".join(texts))


def _with_variables(word: str, quoted: bool, variables: Mapping[str, str]) -> list[str]:
    """A word with its variables. `$NAME` alone becomes several words at its blanks, anything else one."""
    alone = re.fullmatch(r"\$([A-Za-z_]\w*)", word)
    if alone and not quoted and alone[1] in variables:
        return [shlex.quote(text) for text in variables[alone[1]].split()]
    unknown = [name for match in _VARIABLE.finditer(word) if (name := match[1] or match[2]) and name not in variables]
    if unknown:
        return [f'"{_escaped(word)}"']
    return [shlex.quote(_VARIABLE.sub(_value_of(variables), word))]


def _value_of(variables: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: variables[match[1] or match[2]] if match[1] or match[2] else "$"


def _escaped(word: str) -> str:
    """A word inside double quotes of a shell in which variables stay."""
    return re.sub(r'(["\\`])', r"\\\1", word).replace("$$", "\\$")
