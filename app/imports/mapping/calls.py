"""Reads the options of curl and wget: what is called, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_NOWHERE = {"/dev/null", "-", "/dev/stdout"}


class NotOurs(Exception):
    """The command does something that no template does, such as saving a file; it stays a command."""


@dataclass(slots=True)
class Request:
    """What the options say. `timeout` is in seconds, 0 for none. `saves` means that the answer goes to a file."""

    urls: list[str] = field(default_factory=list)
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    user: str = ""
    timeout: float = 0
    retries: int = 0
    follow: bool = False
    insecure: bool = False
    head: bool = False
    saves: bool = False


# Each option and what it means; those with `=` take a value.
_CURL = {
    **dict.fromkeys(("X", "request"), "method="),
    **dict.fromkeys(("H", "header"), "header="),
    **dict.fromkeys(("d", "data", "data-raw", "data-binary", "json"), "data="),
    **dict.fromkeys(("u", "user"), "user="),
    **dict.fromkeys(("m", "max-time"), "timeout="),
    **dict.fromkeys(("o", "output"), "output="),
    **dict.fromkeys(("L", "location"), "follow"),
    **dict.fromkeys(("k", "insecure"), "insecure"),
    **dict.fromkeys(("I", "head"), "head"),
    **dict.fromkeys(("A", "user-agent", "w", "write-out", "connect-timeout", "retry-delay", "retry-max-time"), "ignored="),
    **dict.fromkeys(("s", "S", "f", "N", "i", "4", "6", "v", "g", "silent", "show-error", "fail", "compressed", "globoff"), "ignored"),
    **dict.fromkeys(("no-progress-meter", "fail-with-body", "ipv4", "ipv6", "retry-connrefused", "retry-all-errors"), "ignored"),
    "retry": "retries=",
    "url": "url=",
}
_WGET = {
    **dict.fromkeys(("O", "output-document"), "output="),
    **dict.fromkeys(("T", "timeout"), "timeout="),
    **dict.fromkeys(("t", "tries"), "tries="),
    **dict.fromkeys(("o", "U", "user-agent", "password", "output-file"), "ignored="),
    **dict.fromkeys(("q", "nv", "S", "4", "6", "quiet", "no-verbose", "no-cache", "server-response"), "ignored"),
    "header": "header=",
    "post-data": "data=",
    "user": "user=",
    "spider": "head",
    "no-check-certificate": "insecure",
    "delete-after": "forget",
}


def read_call(program: str, texts: list[str]) -> Request:
    """Returns what a call of curl or wget asks for. Raises NotOurs for options that a job cannot have."""
    is_curl = program == "curl"
    request = Request() if is_curl else Request(method="GET", follow=True, saves=True)
    for meaning, value in _options(texts, _CURL if is_curl else _WGET):
        _apply(request, meaning, value)
    if request.saves:
        raise NotOurs
    return request


def _options(texts: list[str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the meaning and the value of each option, and `url` with each address."""
    rest = iter(texts)
    for text in rest:
        if text == "-" or not text.startswith("-"):
            yield "url", text
        elif text.startswith("--"):
            name, equals, value = text[2:].partition("=")
            meaning = _meaning(name, known)
            yield meaning.rstrip("="), value if equals else next(rest, "") if meaning.endswith("=") else ""
        elif text[1:] in known and not known[text[1:]].endswith("="):
            yield known[text[1:]], ""
        else:
            yield from _letters(text[1:], rest, known)


def _letters(letters: str, rest: Iterator[str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields options of one letter each. The last one may have its value right behind it, or as the next word."""
    for place, letter in enumerate(letters, start=1):
        meaning = _meaning(letter, known)
        if meaning.endswith("="):
            yield meaning.rstrip("="), letters[place:] or next(rest, "")
            return
        yield meaning, ""


def _meaning(name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        raise NotOurs
    return known[name]


def _apply(request: Request, meaning: str, value: str) -> None:
    match meaning:
        case "url":
            request.urls.append(value)
        case "method":
            request.method = value.upper()
        case "header":
            name, _, text = value.partition(":")
            request.headers.append((name.strip(), text.strip()))
        case "data":
            if value.startswith("@"):
                raise NotOurs
            request.data.append(value)
            request.method = request.method if request.method not in {"", "GET"} else "POST"
        case "user":
            request.user = value
        case "timeout":
            request.timeout = _number(value)
        case "retries":
            request.retries = int(_number(value))
        case "tries":
            request.retries = max(0, int(_number(value)) - 1)
        case "output":
            request.saves = value not in _NOWHERE
        case "follow":
            request.follow = True
        case "insecure":
            request.insecure = True
        case "head":
            request.head, request.saves = True, False
        case "forget":
            request.saves = False


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise NotOurs from error
