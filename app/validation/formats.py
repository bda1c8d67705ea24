"""Checks of the formats of JSON Schema (validation, 7.3), and of the formats for which Jobwright's forms have controls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime

import idna
from cronsim import CronSim, CronSimError
from jsonschema import Draft202012Validator, FormatChecker
from rfc3986_validator import validate_rfc3986

from app.validation.patterns import PatternRefused, check_pattern
from app.zones import is_zone

# The checks of jsonschema for this draft, with the libraries that they need. The checks below replace some of them and add others.
checker = FormatChecker(formats=())
checker.checkers = dict(Draft202012Validator.FORMAT_CHECKER.checkers)

_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]\x00-\x1f\x7f]{1,64}")
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
_DOMAIN = re.compile(r"(?=.{1,255}\Z)[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*")
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](.+)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.\d+)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_DURATION = re.compile(
    r"P(?!\Z)(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?(?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)", re.ASCII
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _format(name: str) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    """Registers a check of texts. Values that are not text have no format and always pass."""

    def register(check: Callable[[str], bool]) -> Callable[[str], bool]:
        checker.checks(name)(lambda value: not isinstance(value, str) or check(value))
        return check

    return register


@_format("email")
@_format("idn-email")
def is_email(text: str) -> bool:
    """Checks the form of a Mailbox (RFC 5321; RFC 6531 for idn-email). The check of jsonschema itself only looks for an "@"."""
    local, _, domain = text.rpartition("@")
    dotted = local.startswith(".") or local.endswith(".") or ".." in local
    if not (_QUOTED_LOCAL.fullmatch(local) or (_LOCAL.fullmatch(local) and not dotted)):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        address = domain[1:-1]
        return checker.conforms(address.removeprefix("IPv6:"), "ipv6" if address.startswith("IPv6:") else "ipv4")
    return _DOMAIN.fullmatch(domain) is not None


@_format("date-time")
def is_date_time(text: str) -> bool:
    """Checks a date-time of RFC 3339, 5.6."""
    parts = _DATE_TIME.fullmatch(text)
    return parts is not None and checker.conforms(parts[1], "date") and is_time(parts[2])


@_format("time")
def is_time(text: str) -> bool:
    """Checks a full-time of RFC 3339. A leap second is allowed only as the last second of a day in UTC."""
    parts = _TIME.fullmatch(text)
    if parts is None:
        return False
    hour, minute, second, sign, off_hour, off_minute = parts.groups()
    offset = (int(off_hour) * 60 + int(off_minute)) * (1 if sign == "+" else -1) if sign else 0
    return second != "60" or (int(hour) * 60 + int(minute) - offset) % 1440 == 1439


@_format("iri")
def is_iri(text: str) -> bool:
    """Checks an IRI by the URI to which RFC 3987, 3.1 maps it."""
    return _maps_to(text, "URI")


@_format("iri-reference")
def is_iri_reference(text: str) -> bool:
    """Does the same as `is_iri`, and also takes relative references."""
    return _maps_to(text, "URI_reference")


def _maps_to(text: str, rule: str) -> bool:
    mapped = "".join(ch if ch.isascii() else "".join(f"%{byte:02X}" for byte in ch.encode("utf-8", "surrogatepass")) for ch in text)
    return validate_rfc3986(mapped, rule=rule) is not None


@_format("idn-hostname")
def is_idn_hostname(text: str) -> bool:
    """Checks that IDNA 2008 (RFC 5890) can encode the labels."""
    try:
        return bool(text) and len(idna.encode(text)) <= 253
    except (idna.IDNAError, UnicodeError):
        return False


@_format("duration")
def is_duration(text: str) -> bool:
    """Checks a duration of RFC 3339, appendix A."""
    return _DURATION.fullmatch(text) is not None


@_format("uuid")
def is_uuid(text: str) -> bool:
    """Checks a UUID of RFC 4122."""
    return _UUID.fullmatch(text) is not None


@_format("regex")
def is_regex(text: str) -> bool:
    """Checks for an ECMA-262 pattern that runs in bounded time."""
    try:
        check_pattern(text)
    except PatternRefused:
        return False
    return True


@_format("json")
def is_json(text: str) -> bool:
    """Checks for a text that is JSON (RFC 8259)."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@_format("color")
def is_color(text: str) -> bool:
    """Checks for `#rrggbb`, the form that a browser's colour control uses (HTML Living Standard, 2.3.6)."""
    return _COLOR.fullmatch(text) is not None


@_format("cron")
def is_cron(text: str) -> bool:
    """Checks for five fields, or six with seconds first (crontab(5))."""
    try:
        CronSim(text, datetime(2026, 1, 1))  # noqa: DTZ001 - only the expression is looked at
    except (CronSimError, ValueError, OverflowError, RecursionError):
        return False
    return text.isascii()


@_format("timezone")
def is_timezone(text: str) -> bool:
    """Checks for a name of the IANA time zone database."""
    return is_zone(text)
