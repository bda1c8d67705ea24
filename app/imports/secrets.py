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
# All repeats have a bound: the time is then proportional to the length of a text, also if somebody has made the text for this.
_WORDS = r"pass(?:word|wd|phrase)?|pwd|token|secret|api[-_]?key|apikey|access[-_]?key|private[-_]?key|credentials?|signature|auth"
_NAME = rf"(?:[\w.-]{{0,60}}(?:{_WORDS}))"
_PIN = r"(?:[\w.-]{0,60}[_.-])?(?:pin(?:[-_]?code)?|otp|passcode)"
_VALUE = r"(?:'(?P<s>[^']+)'|\"(?P<d>[^\"]+)\"|(?P<b>[^\s'\";|&<>()]+))"
_HEADER = r"(?<![\w-])(?!idempotency-)[\w-]{0,60}(?:authorization|cookie|key|token|secret|auth|password|session(?:-?id)?)\s{0,9}:\s{0,9}"
_SCHEME = r"(?:(?:bearer|basic|token|apikey)\s{1,9})?"


def _of_tools(programs: str, option: str, value: str = rf"(?!-){_VALUE}") -> re.Pattern[str]:
    """Returns a pattern for a value that follows an option of programs. `option` says whether a space may be between the two."""
    return re.compile(rf"(?<![\w-])(?:{programs})(?![\w-])[^|;&]{{0,400}}?(?<=\s){option}{value}")


# The programs whose option has a password, and the option.
_TOOLS = (
    (r"(?:mysql|mariadb)(?:-?dump|-?admin|-?check|import|pump|sh|show)?", r"-p"),
    (
        r"mongo(?:sh|dump|restore|export|import|stat|top)?|sshpass",
        r"-p[ =]?",
    ),
    (r"(?:docker|podman|buildah|skopeo|nerdctl|helm|oc|az)\s{1,9}(?:registry\s{1,9})?login", r"-p[ =]?"),
    (r"redis-cli|valkey-cli|keydb-cli", r"-a "),
    (r"7z[azr]?|7zz|rar|unrar", r"-h?p"),
    (r"zip|unzip|mosquitto_(?:pub|sub|rr)|sqlcmd|osql|isql|bcp|tsql|ipmitool", r"-P[ =]?"),
    (r"ldap(?:search|modify|add|delete|whoami|passwd|compare|modrdn|exop)", r"-w[ ]?"),
    (r"openssl", r"-k "),
    (r"openssl", r"-(?:pass|passin|passout) pass:"),
    (r"sendemail|sendEmail", r"-xp "),
    (r"swaks", r"-ap "),
    (r"snmp\w{1,20}", r"-A[ ]?"),
    (r"snmp\w{1,20}", r"-X[ ]?"),
    (r"snmp\w{1,20}", r"-c[ ]?"),
    (r"xfreerdp|rdesktop", r"/p:"),
    (r"ssh-keygen", r"-[NP] "),
)
# Each pattern has the secret as one of the groups s, d and b.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?P<b>[^-]+)")),
    ("a header that signs in", re.compile(rf"['\"]{_HEADER}{_SCHEME}(?P<b>[^'\"\n]+)['\"]", re.IGNORECASE)),
    ("the password in an address", re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]{0,200}:(?P<b>[^\s/@'\"]+)@", re.IGNORECASE)),
    (
        "a header that signs in",
        re.compile(
            r"(?:authorization|cookie|x-[\w-]{0,60}(?:key|token|secret|auth)[\w-]{0,60}|api-?key)\s{0,9}:\s{0,9}"
            rf"{_SCHEME}(?P<b>[^'\"\s]+)",
            re.IGNORECASE,
        ),
    ),
    (
        "the address of a web hook",
        re.compile(
            r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks/\d{1,30}|webhook\.office\.com/webhookb2)/"
            r"(?P<b>[^\s'\"?&;|]+)",
            re.IGNORECASE,
        ),
    ),
    (
        "a parameter of an address",
        re.compile(rf"[?&](?:{_NAME}|key|sig|sign|jwt|sid|session(?:_?id)?)=(?P<b>[^\s&'\"#\\]+)", re.IGNORECASE),
    ),
    ("a parameter of an address", re.compile(r"[?&]code=(?P<b>[^\s&'\"#\\]{16,})", re.IGNORECASE)),
    ("an option or a variable", re.compile(rf"(?<![\w?&/-])-{{0,2}}{_NAME}=(?!/){_VALUE}", re.IGNORECASE)),
    ("an option", re.compile(rf"(?<!\S)-{{1,2}}{_NAME}\s{{1,9}}(?!-|(?:env|file|fd|pass):){_VALUE}", re.IGNORECASE)),
    ("a setting", re.compile(rf"(?<=\sset\s){_NAME}\s{{1,9}}(?!-){_VALUE}", re.IGNORECASE)),
    (
        "a member of JSON",
        re.compile(rf"[\"']{_NAME}\\?[\"']\s{{0,9}}:\s{{0,9}}(?:\\?\"(?P<b>[^\"\\]+)|(?P<d>\d{{2,}})(?![\w.]))", re.IGNORECASE),
    ),
    (
        "a PIN",
        re.compile(rf"(?<![\w?&/-])-{{0,2}}{_PIN}(?:=|\s{{1,9}}|\\?[\"']\s{{0,9}}:\s{{0,9}})\\?[\"']?(?P<b>\d{{4,}})(?!\w)", re.IGNORECASE),
    ),
    (
        "a password with its name",
        re.compile(
            r"(?<![\w.-])[\w.-]{0,60}(?:password|passwd|passphrase|secret|token|api[-_ ]?key)\s{0,9}:\s{1,9}"
            r"(?:'(?P<s>[^'\n]{6,})'|\"(?P<d>[^\"\n]{6,})\"|(?P<b>[^\s'\";|&<>()]{6,}|\d{4,}(?![\w.])))",
            re.IGNORECASE,
        ),
    ),
    ("the password of curl -u", re.compile(r"(?<!\S)(?:-u|-U|--user|--proxy-user)[ =]?['\"]?[^\s:'\"]{1,200}:(?P<b>[^\s'\"]+)")),
    ("the password of an HTTP client", _of_tools(r"http|https|xh", r"-a[ =]?", r"['\"]?[^\s:'\"]{1,200}:(?P<b>[^\s'\"]+)")),
    (
        "a cookie",
        _of_tools("curl", r"(?:-b|--cookie)[ =]?", r"(?:'(?P<s>[^'=]+=[^']+)'|\"(?P<d>[^\"=]+=[^\"]+)\"|(?P<b>[^\s'\"=]+=[^\s'\"]+))"),
    ),
    ("the password of a file server", _of_tools("lftp|ncftp|ncftpput|ncftpget", r"-u[ ]?", r"['\"]?[^\s,'\"]{1,200},(?P<b>[^\s'\"]+)")),
    (
        "the password of a file server",
        _of_tools("smbclient|smbget|smbspool|rpcclient|net|smbmap", r"(?:-U|--user)[ =]?", r"['\"]?[^\s%'\"]{1,200}%(?P<b>[^\s'\"]+)"),
    ),
    (
        "the password of a database tool",
        _of_tools("sqlplus|expdp|impdp|rman|sqlldr|exp|imp", "", r"['\"]?[\w.-]{1,100}/(?P<b>[^\s@'\"/]+)@"),
    ),
    ("a password", _of_tools("htpasswd", r"-\w{0,9}b\w{0,9}\s{1,9}\S{1,400}\s{1,9}\S{1,200}\s{1,9}")),
    (
        "a secret key",
        re.compile(
            rf"(?<![\w-])mc\s{{1,9}}(?:alias\s{{1,9}}set|config\s{{1,9}}host\s{{1,9}}add)(?:\s{{1,9}}\S{{1,400}}){{3}}\s{{1,9}}{_VALUE}"
        ),
    ),
    ("a token", re.compile(rf"(?<![\w-])vault\s{{1,9}}login\s{{1,9}}(?!-){_VALUE}")),
    (
        "a password",
        re.compile(
            rf"(?<![\w-])echo\s{{1,9}}(?:-\w\s{{1,9}})?{_VALUE}\s{{0,9}}\|\s{{0,9}}(?:sudo\s{{1,9}}-\w{{0,9}}S|(?:sudo\s{{1,9}})?chpasswd)"
        ),
    ),
    *(("the password of a program", _of_tools(programs, option)) for programs, option in _TOOLS),
    ("the hash of a password", re.compile(r"\$(?P<b>(?:[1567y]|2[aby]|apr1|argon2\w{1,2}|pbkdf2[\w-]{0,20})\$[./A-Za-z0-9$=,+]{20,})")),
    (
        "a token",
        re.compile(r"\b(?P<b>(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|sk_live_|sk-|jw_|hvs\.|dop_v1_|eyJ)[A-Za-z0-9_.=/+-]{12,})"),
    ),
)
_RANDOM = re.compile(r"(?<![A-Za-z0-9+_%{$])[A-Za-z0-9+_-]{20,}={0,2}(?![A-Za-z0-9+_])")
_LEAST_ENTROPY = 3.6  # bits a character: words and paths have less, random texts of 20 characters have more
SHORTEST_PIN = 4  # digits; a shorter number behind such a name says something else
_SWITCHES = {"0", "1"}


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
        if value and not MARK.search(value) and _is_secret(name, value):
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
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_secret(name, str(value)):
            return self.redact_value(name, str(value))
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


def _is_secret(name: str, value: str) -> bool:
    """Returns whether a value is a secret because of the name that it has. A PIN or a password may have digits only."""
    if value.startswith(("/", "~")) or value in _SWITCHES:
        return False
    if re.fullmatch(_NAME, name, re.IGNORECASE):
        return True
    perhaps = re.fullmatch(rf"{_PIN}|\w*(?:_KEY|_DSN)", name, re.IGNORECASE) is not None
    return perhaps and not (value.isdigit() and len(value) < SHORTEST_PIN)


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
