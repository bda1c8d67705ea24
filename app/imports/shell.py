"""Reads a shell line as far as that is possible without a shell: simple commands, and the operators between them (POSIX, 2.10).

Whatever needs a shell to be understood is refused with a reason: loops, functions, the output of other commands, variables without a known
value, file name patterns.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

OPERATORS = ("&&", "||", ";;", "|&", "|", ";", "&", "(", ")")
_REDIRECT = re.compile(r"(\d*)(&>>|&>|>>|>&|>\||>|<<<|<<-|<<|<&|<)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DATE = re.compile(
    r"\$\(\s*(?:/bin/)?date(?:\s+(?:-u|-I|['\"]?\+[^)`|;&]*))?\s*\)|`\s*(?:/bin/)?date(?:\s+(?:-u|-I|['\"]?\+[^`|;&]*))?\s*`"
)
RESERVED = frozenset(
    {
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "{",
        "}",
        "!",
        "[[",
        "function",
        "eval",
        "trap",
        "source",
        ".",
    }
)


class NeedsShell(Exception):
    """The line cannot be understood without a shell; the message says why."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word. `pattern` means that a shell would replace it by the names of files; `dated` that a date is part of it, as `{date}`."""

    text: str
    pattern: bool = False
    dated: bool = False


@dataclass(slots=True)
class Simple:
    """A simple command: assignments before it, its words, and its redirections as (descriptor, operator, target). `after` is the operator
    that follows it, or ""."""

    assignments: dict[str, str] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    redirects: list[tuple[str, str, str]] = field(default_factory=list)
    after: str = ""

    @property
    def program(self) -> str:
        """The name of the program without its folder."""
        return self.words[0].text.rpartition("/")[2] if self.words else ""

    @property
    def texts(self) -> list[str]:
        """The words as texts."""
        return [word.text for word in self.words]


def operand(text: str) -> str:
    """Returns a name as a word of a command line that no program takes for an option, also if it begins with a hyphen."""
    return f"-- {shlex.quote(text)}" if text.startswith("-") else shlex.quote(text)


def read_line(line: str, variables: Mapping[str, str]) -> list[Simple]:
    """Returns the simple commands of a line. `variables` are those whose values are known. Raises NeedsShell."""
    reader = _Reader(line, variables)
    return reader.commands()


class _Reader:
    """Goes through a line once."""

    def __init__(self, line: str, variables: Mapping[str, str]) -> None:
        self._line, self._variables, self._place = line, variables, 0

    def commands(self) -> list[Simple]:
        commands, current = [], Simple()
        while True:
            self._skip_blanks()
            if self._place >= len(self._line) or self._line[self._place] == "#":
                break
            operator = next((op for op in OPERATORS if self._line.startswith(op, self._place)), "")
            redirect = _REDIRECT.match(self._line, self._place)
            if redirect:
                self._redirect(current, redirect)
            elif operator:
                self._end(current, operator)
                commands.append(current)
                current = Simple()
            else:
                self._word(current)
        if current.words or current.assignments:
            commands.append(current)
        if not commands:
            raise NeedsShell("there is no command")
        return commands

    def _skip_blanks(self) -> None:
        while self._place < len(self._line) and self._line[self._place] in " \t":
            self._place += 1
        if self._line.startswith("\n", self._place):
            raise NeedsShell("it has several lines")

    def _end(self, current: Simple, operator: str) -> None:
        if operator in {"(", ")", ";;"}:
            raise NeedsShell("it runs a group of commands")
        if not current.words:
            raise NeedsShell(f"there is no command before {operator}")
        current.after = operator
        self._place += len(operator)

    def _redirect(self, current: Simple, match: re.Match[str]) -> None:
        descriptor, operator = match.groups()
        if operator.startswith("<<"):
            raise NeedsShell("it has a here-document")
        self._place = match.end()
        self._skip_blanks()
        current.redirects.append((descriptor, operator, self._next_word().text))

    def _word(self, current: Simple) -> None:
        start = self._place
        word = self._next_word()
        if not current.words:
            assignment = _ASSIGNMENT.fullmatch(word.text)
            if assignment and self._line[start : start + len(assignment[1]) + 1] == f"{assignment[1]}=":
                current.assignments[assignment[1]] = assignment[2]
                return
            if word.text in RESERVED:
                raise NeedsShell(f"it uses {word.text} of the shell")
        current.words.append(word)

    def _next_word(self) -> Word:
        parts: list[str] = []
        pattern = dated = False
        while self._place < len(self._line):
            char = self._line[self._place]
            if char in " \t\n;|&()<>":
                break
            if char == "'":
                parts.append(self._quoted())
            elif char == '"':
                text, has_date = self._double()
                parts.append(text)
                dated |= has_date
            elif char == "\\":
                parts.append(self._line[self._place + 1 : self._place + 2])
                self._place += 2
            elif char in "$`":
                text, has_date = self._expansion()
                parts.append(text)
                dated |= has_date
            else:
                pattern |= char in "*?["
                parts.append(self._home() if char == "~" and not parts else char)
                self._place += 1
        return Word("".join(parts), pattern, dated)

    def _quoted(self) -> str:
        end = self._line.find("'", self._place + 1)
        if end < 0:
            raise NeedsShell("a quote is not closed")
        text = self._line[self._place + 1 : end]
        self._place = end + 1
        return text

    def _double(self) -> tuple[str, bool]:
        parts: list[str] = []
        dated = False
        self._place += 1
        while self._place < len(self._line):
            char = self._line[self._place]
            if char == '"':
                self._place += 1
                return "".join(parts), dated
            if char == "\\" and self._line[self._place + 1 : self._place + 2] in {"$", "`", '"', "\\"}:
                parts.append(self._line[self._place + 1])
                self._place += 2
            elif char in "$`":
                text, has_date = self._expansion()
                parts.append(text)
                dated |= has_date
            else:
                parts.append(char)
                self._place += 1
        raise NeedsShell("a quote is not closed")

    def _expansion(self) -> tuple[str, bool]:
        date = _DATE.match(self._line, self._place)
        if date:
            self._place = date.end()
            return "{date}", True
        if self._line[self._place] == "`" or self._line.startswith("$(", self._place):
            raise NeedsShell("it uses the output of another command")
        match = _VARIABLE.match(self._line, self._place)
        if match is None:
            if self._line.startswith(("$ ", '$"', "$/"), self._place) or self._place + 1 >= len(self._line):
                self._place += 1
                return "$", False
            raise NeedsShell("it uses an expansion of the shell")
        name = match[1] or match[2]
        if name not in self._variables:
            raise NeedsShell(f"the value of ${name} is not known")
        self._place = match.end()
        return self._variables[name], False

    def _home(self) -> str:
        following = self._line[self._place + 1 : self._place + 2]
        if following not in {"", "/", " ", "\t"}:
            raise NeedsShell("it names the home folder of another user")
        if "HOME" not in self._variables:
            raise NeedsShell("the home folder is not known; give it with --home")
        return self._variables["HOME"]
