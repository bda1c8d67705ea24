"""Finds secrets in lines of other schedulers, and puts placeholders in their place before anything else sees the line.

The values are not kept: people enter them into a connection. A plan can therefore contain no secret.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = re.compile(r"‹secret-(\d+)›")
_NAME = (
    r"(?:[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|token|secret|api[-_]?key|apikey|access[-_]?key|private[-_]?key|credentials?|signature|auth))"
)
_VALUE = r"(?:'(?P<s>[^']+)'|\"(?P<d>[^\"]+)\"|(?P<b>[^\s'\";|&<>()]+))"
# Each pattern has the secret as one of the groups s, d and b.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("the password in an address", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:(?P<b>[^\s/@'\"]+)@", re.IGNORECASE)),
    (
        "a header that signs in",
        re.compile(
            r"(?:authorization|proxy-authorization|cookie|x-[\w-]*(?:key|token|secret|auth)[\w-]*|api-?key)\s*:\s*"
            r"(?:(?:bearer|basic|token|apikey)\s+)?(?P<b>[^'\"\s]+)",
            re.IGNORECASE,
        ),
    ),
    ("a parameter of an address", re.compile(rf"[?&]{_NAME}=(?P<b>[^\s&'\"#]+)", re.IGNORECASE)),
    ("an option or a variable", re.compile(rf"(?<![\w?&/-])-{{0,2}}{_NAME}=(?!/){_VALUE}", re.IGNORECASE)),
    ("an option", re.compile(rf"(?<!\S)--{_NAME}\s+(?!-){_VALUE}", re.IGNORECASE)),
    ("a member of JSON", re.compile(rf"[\"']{_NAME}\\?[\"']\s*:\s*\\?\"(?P<b>[^\"\\]+)", re.IGNORECASE)),
    ("the password of curl -u", re.compile(r"(?<!\S)(?:-u|--user)[ =]?['\"]?[^\s:'\"]+:(?P<b>[^\s'\"]+)")),
    (
        "the password of a database tool",
        re.compile(r"\b(?:mysql|mysqldump|mysqladmin|mysqlcheck|mariadb|mariadb-dump)\b[^|;&]*?\s-p(?P<b>[^\s'\";|&]+)"),
    ),
    (
        "the password of a database tool",
        re.compile(
            r"\b(?:mongo|mongosh|mongodump|mongorestore|mongoexport|redis-cli|sshpass|smbclient)\b[^|;&]*?\s-(?:p|a)[ ]?"
            r"(?P<b>[^\s'\";|&-][^\s'\";|&]*)"
        ),
    ),
    ("a token", re.compile(r"\b(?P<b>(?:gh[pousr]_|glpat-|xox[abprs]-|AKIA|sk_live_|sk-|jw_|hvs\.|dop_v1_|eyJ)[A-Za-z0-9_.=/+-]{12,})")),
)
_RANDOM = re.compile(r"(?<![A-Za-z0-9+_%{$])[A-Za-z0-9+_-]{20,}={0,2}(?![A-Za-z0-9+_])")
_LEAST_ENTROPY = 3.6  # bits a character: words and paths have less, random texts of 20 characters have more
_ENVIRONMENT = re.compile(rf"{_NAME}|[\w]*(?:_KEY|_DSN)", re.IGNORECASE)


@dataclass
class Redactor:
    """Replaces secrets by numbered placeholders. One for each entry."""

    found: list[str] = field(default_factory=list)
    prints: list[str] = field(default_factory=list)  # they tell equal secrets from others, and leave the process as little as the secrets

    def redact(self, text: str) -> str:
        """Returns `text` with a placeholder for each secret, and notes what each of them is."""
        for what, pattern in _PATTERNS:
            text = self._replace(text, what, pattern)
        return self._replace_random(text)

    def redact_value(self, name: str, value: str) -> str:
        """Returns the value of a variable with placeholders: as a whole if its name says that it is secret."""
        if value and not MARK.search(value) and _ENVIRONMENT.fullmatch(name) and not value.startswith(("/", "~")) and not value.isdigit():
            redacted = self.redact(value)
            return redacted if redacted != value else self._mark(f"the variable {name}", value)
        return self.redact(value)

    def redact_json(self, value: Any, name: str = "") -> Any:
        """Returns a value of JSON with placeholders. `name` is that of the member that has the value."""
        if isinstance(value, str):
            return self.redact_value(name, value)
        if isinstance(value, Mapping):
            # The name of a variable may stand beside its value: {name: DB_PASSWORD, value: …}.
            beside = value.get("name") if isinstance(value.get("name"), str) else None
            return {key: self.redact_json(inner, beside if beside and key == "value" else str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_json(inner, name) for inner in value]
        return value

    def hidden(self, what: str, identity: str) -> str:
        """Returns a placeholder for a secret whose value the source does not have. `identity` tells it from others."""
        return self._mark(what, identity)

    def _replace(self, text: str, what: str, pattern: re.Pattern[str]) -> str:
        parts, place = [], 0
        for match in pattern.finditer(text):
            group = next(name for name in ("s", "d", "b") if match.groupdict().get(name))
            value = match[group]
            if MARK.search(value) or value.startswith(("$", "`")) or not value.strip("*\"'"):
                continue
            parts += [text[place : match.start(group)], self._mark(what, value)]
            place = match.end(group)
        return "".join([*parts, text[place:]])

    def _replace_random(self, text: str) -> str:
        parts, place = [], 0
        for start, end in _random_spans(text):
            parts += [text[place:start], self._mark("a long random text", text[start:end])]
            place = end
        return "".join([*parts, text[place:]])

    def _mark(self, what: str, value: str) -> str:
        self.found.append(what)
        self.prints.append(hashlib.sha256(value.encode()).hexdigest())
        return f"‹secret-{len(self.found)}›"


def has_secret(text: str) -> bool:
    """Returns whether a text has a placeholder."""
    return MARK.search(text) is not None


def _random_spans(text: str) -> Iterator[tuple[int, int]]:
    for match in _RANDOM.finditer(text):
        value = match[0]
        if any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and _looks_random(value):
            yield match.span()


def _looks_random(value: str) -> bool:
    bare = value.replace("-", "").replace("_", "")
    if re.fullmatch(r"[0-9a-f]{32,}|[0-9A-F]{32,}", bare):
        return True
    parts = re.split(r"[-_]", value)
    if max(map(len, parts)) < 16:
        return False  # words joined by hyphens
    counts, length = Counter(value), len(value)
    entropy = -sum(n / length * math.log2(n / length) for n in counts.values())
    digits = sum(c.isdigit() for c in value)
    return entropy >= _LEAST_ENTROPY and (digits >= 3 or (any(c.isupper() for c in value) and any(c.islower() for c in value)))
