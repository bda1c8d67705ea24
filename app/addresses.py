"""What the parts of an address may be, for all faces."""

from __future__ import annotations

from werkzeug.routing import IntegerConverter


class ShortNumber(IntegerConverter):
    """`<int:…>` of a path: up to nine digits, which any store and any machine can hold; a path with more leads nowhere."""

    regex = "[0-9]{1,9}"
