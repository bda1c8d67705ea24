"""What a setting may be: its variable, its parser and its bounds."""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import ip_network
from typing import Any

from marshmallow import ValidationError
from marshmallow import fields as ma
from marshmallow.validate import Range

from app.config.addresses import is_mail_address, is_web_address
from app.labels import LONGEST_LABEL, MOST_LABELS, is_label
from app.zones import is_zone, not_a_zone
from templates_lib.addresses import distinct_addresses
from templates_lib.subjects import PATTERN, SUBJECT

SERVICE_URL = "_SERVICE_URL"  # the end of the variables that give the addresses of services
ROUTE = r"[a-z0-9][a-z0-9_-]{0,62}"  # the name of a route to workers
ROLES = ("user", "admin", "super_admin")  # app.accounts.model, which lies above


def setting(name: str, kind: str, default: Any, text: str, *, secret: bool = False, **options: Any) -> Any:
    """A dataclass field that knows its variable, its parser, its bounds, its line in docs/reference/settings.md, and whether it may be
    shown."""
    return field(
        default=default, repr=not secret, metadata={"name": name, "parse": _PARSERS[kind](**options), "text": text, "secret": secret}
    )


def _parts(value: str) -> list[str]:
    """Returns the parts of a text with commas between them."""
    return [part.strip() for part in value.split(",") if part.strip()]


def _named(part: str) -> tuple[str, str]:
    """Returns the name and the value of `name=value`; two empty texts for a part that is none."""
    name, _, value = (piece.strip() for piece in part.rpartition("="))
    return (name, value) if name and value else ("", "")


class _Upper(ma.String):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).upper()


class _Zone(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        if not is_zone(value):
            raise ValidationError(not_a_zone(value))
        return str(value)


class _Hosts(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return tuple(part.lower() for part in _parts(value))


class _WebAddress(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        address = str(value).strip()
        if address and not is_web_address(address):
            raise ValidationError("must be an address such as https://monitor.example.com/ping/1234")
        return address


class _Addresses(ma.String):
    """Mail addresses, comma-separated."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        addresses = tuple(part.strip() for part in value.split(",") if part.strip())
        for address in addresses:
            if not is_mail_address(address):
                raise ValidationError(f"{address!r} is not a mail address, such as ops@example.com")
        return tuple(distinct_addresses(addresses))


class _Networks(ma.String):
    """Networks in CIDR notation, comma-separated."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        networks = []
        for part in _parts(value):
            try:
                networks.append(str(ip_network(part)))
            except ValueError:
                raise ValidationError(f"{part!r} is not a network, such as 10.0.0.0/8 or fd00::/8") from None
        return tuple(networks)


class _ChosenJobs(ma.String):
    """`top:NUMBER` or `tag:NAME`, as a pair of texts."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        how, _, what = (part.strip() for part in value.partition(":"))
        if not value.strip():
            return ()
        whole = what.isascii() and what.isdigit() and len(what) < 4
        if not ((how == "top" and whole and 1 <= int(what) <= MOST_MEASURED_JOBS) or (how == "tag" and what)):
            raise ValidationError(f"must be top:NUMBER, with a number from 1 to {MOST_MEASURED_JOBS}, or tag:NAME")
        return how, what


class _Subjects(ma.String):
    """Patterns of NATS subjects, comma-separated."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        patterns = tuple(_parts(value))
        for pattern in patterns:
            if not re.fullmatch(PATTERN, pattern):
                raise ValidationError(f"{pattern!r} is not a pattern of subjects, such as orders.*.cancel or reports.>")
        return patterns


class _Subject(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        if not re.fullmatch(SUBJECT, value):
            raise ValidationError("must be letters, digits, _ and -, with dots between")
        return str(value)


class _Words(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return tuple(value.split())


class _Schemes(ma.String):
    """Schemes of Apprise, comma-separated. Those that act on this machine are refused."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        schemes = tuple(dict.fromkeys(part.lower() for part in _parts(value)))
        for scheme in schemes:
            if not re.fullmatch("[a-z0-9]{1,32}", scheme):
                raise ValidationError(f"{scheme!r} is not a scheme, such as ntfys")
            if scheme in SCHEMES_OF_THE_MACHINE:
                raise ValidationError(f"{scheme!r} acts on this machine, which is never allowed")
        return schemes


class _Paths(ma.String):
    """Absolute paths, separated by spaces."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        paths = tuple(dict.fromkeys(value.split()))
        for path in paths:
            if not path.startswith("/") or path.rstrip("/") == "" or ".." in path.split("/") or not path.isprintable():
                raise ValidationError(f"{path!r} is not an absolute path, such as /usr/bin/rsync")
        return paths


class _Counts(ma.String):
    """`name=number`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        counts: dict[str, int] = {}
        for part in _parts(value):
            name, number = _named(part)
            if not (name and number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0):
                raise ValidationError(f"{part!r} is not name=number, with a number from 1")
            counts[name] = int(number)
        return tuple(counts.items())


class _Labels(ma.String):
    """Labels of a node, comma-separated, sorted and each once."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        labels = set(_parts(value))
        for label in sorted(labels):
            if not is_label(label):
                raise ValidationError(
                    f"{label!r} is not a label, such as gpu or site=berlin: small letters, digits, '.', '_' and '-', "
                    f"at most {LONGEST_LABEL} characters"
                )
        if len(labels) > MOST_LABELS:
            raise ValidationError(f"must be at most {MOST_LABELS} labels")
        return tuple(sorted(labels))


class _Choices(ma.String):
    """Words of a list, comma-separated, each once."""

    def __init__(self, known: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        self._known = known

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        words = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        for word in words:
            if word not in self._known:
                raise ValidationError(f"{word!r} is not one of {', '.join(self._known)}")
        return words


class _Roles(ma.String):
    """`value=role`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for part in _parts(value):
            name, role = _named(part)
            if not (name and role in ROLES):
                raise ValidationError(f"{part!r} is not value=role, with a role of {', '.join(ROLES)}")
            pairs.append((name, role))
        return tuple(pairs)


class _Routes(ma.String):
    """`template=route`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for part in _parts(value):
            template, route = _named(part)
            if not (template and re.fullmatch(ROUTE, route)):
                raise ValidationError(f"{part!r} is not template=route, with a route of small letters, digits, '_' and '-'")
            pairs.append((template, route))
        return tuple(pairs)


class _ServiceAddresses(ma.String):
    """Lines `NAME=address`, as pairs with the name of the service in lower case."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for line in value.splitlines():
            name, _, address = line.partition("=")
            if not is_web_address(address):
                raise ValidationError(f"{name}{SERVICE_URL} must be an address such as http://email-service:7006")
            pairs.append((name.lower().replace("_", "-"), address.rstrip("/")))
        return tuple(sorted(pairs))


_PARSERS: dict[str, type[ma.Field[Any]]] = {
    "str": ma.String,
    "int": ma.Integer,
    "float": ma.Float,
    "bool": ma.Boolean,
    "upper": _Upper,
    "zone": _Zone,
    "hosts": _Hosts,
    "web_address": _WebAddress,
    "addresses": _Addresses,
    "networks": _Networks,
    "chosen_jobs": _ChosenJobs,
    "counts": _Counts,
    "labels": _Labels,
    "choices": _Choices,
    "words": _Words,
    "paths": _Paths,
    "subject": _Subject,
    "subjects": _Subjects,
    "roles": _Roles,
    "schemes": _Schemes,
    "routes": _Routes,
    "service_addresses": _ServiceAddresses,
}


CENTURY_DAYS = 36_500
CENTURY_SECONDS = CENTURY_DAYS * 86_400  # the longest span; a date so far from today's is one still. Counts are held to it as well

# Schemes of Apprise that show messages on the screen of this machine, write to its log, or drive its devices.
SCHEMES_OF_THE_MACHINE = frozenset(
    {"blink1", "dbus", "file", "gio", "glib", "gnome", "kde", "macosx", "qt", "rsyslog", "syslog", "windows"}
)
MOST_MEASURED_JOBS = 200  # jobs with metrics of their own
MOST_COUNTED_AN_HOUR = 100_000  # runs of one person: the record that counts them holds the time of each


def positive(maximum: float = CENTURY_SECONDS) -> dict[str, Any]:
    return {"validate": Range(min=0, max=maximum, min_inclusive=False)}


def at_least(minimum: int, maximum: int = CENTURY_SECONDS) -> dict[str, Any]:
    return {"validate": Range(min=minimum, max=maximum)}
