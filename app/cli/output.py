"""How commands print."""

from __future__ import annotations

import json
from typing import Any

import click

from app.validation.terminal import escaped, printable


def echo(text: str, *, err: bool = False) -> None:
    """Prints a text that people or jobs may have written. Control characters in it are escaped, so that it cannot steer the terminal."""
    click.echo(printable(text), err=err)


def json_line(value: Any) -> str:
    """Returns `value` as JSON on one line, safe to print on a terminal. Values that JSON does not have, such as dates, become text."""
    return escaped(json.dumps(value, default=str, ensure_ascii=False))
