"""Texts that hold a file: base64 (`contentEncoding`), or a data URL (`format: data-url`). A file fills the text."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from markupsafe import Markup

from web.forms.controls.base import Place, Posted
from web.forms.controls.text import Text
from web.forms.page.html import NOTHING, attribute

if TYPE_CHECKING:
    from web.forms.arrange import Arranger
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.post import Post
    from web.forms.reader import Reader
    from web.forms.view import View

UPLOAD_PART = "upload"  # the part of a posted name that has the file, as a data URL with its name
MOST_BYTES = 1_000_000  # of one file; as base64 it takes a third more
URL = "url"  # posted beside the field: the file becomes a data URL
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?P<parameters>(?:;[\w.+-]+=[^;,]*)*);base64,(?P<body>[A-Za-z0-9+/=\s]*)")
_NAME = re.compile(r";name=([^;,]*)")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The file that a text holds."""

    media_type: str
    size: int
    link: Markup  # the attributes of a link that downloads it


class FileText(Text):
    """A text area beside a field for a file."""

    name = "file"

    def draws(self, place: Place) -> bool:
        return super().draws(place) and place.widget in (None, self.name) and (is_data_url(place.view) or is_base64(place.view))

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        super().fill(field, view, value, drawer, given=given, depth=depth)
        field.read_as = URL if is_data_url(view) else ""

    def arrange(self, field: Field, view: View, value: Any, arranger: Arranger, *, fresh: bool, depth: int) -> None:
        field.read_as = URL if is_data_url(view) else ""

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        upload = posted.post.last(UPLOAD_PART)
        match = _DATA_URL.fullmatch(upload)
        if match is None:
            field.unsent_file = upload
            return
        name = _NAME.search(match["parameters"])
        field.file_name = unquote(name[1]) if name else ""
        address = f"data:{match['type'] or 'application/octet-stream'};base64,"
        field.text = (address if posted.sources == URL else "") + match["body"]

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return "value" if field.unsent_file else super().posted_state(field, post, before)

    def value(self, field: Field, reader: Reader) -> Any:
        if field.unsent_file:
            reader.report(field, "fileUnsent", name=field.unsent_file)
        return super().value(field, reader)

    def widget(self, field: Field, painter: Painter) -> str:
        return self.name

    def most_bytes(self, field: Field) -> int:
        """Returns the size of the largest file that the text may hold."""
        longest = field.view.least("maxLength") if field.view else None
        return MOST_BYTES if longest is None else max(0, min(MOST_BYTES, int(longest) // 4 * 3))

    def stored_file(self, field: Field) -> StoredFile | None:
        """Returns the file that the text holds now; None if it holds none, or something else."""
        match = _DATA_URL.fullmatch(field.text)
        body = match["body"] if match else "" if field.text.startswith("data:") else field.text
        try:
            size = len(base64.b64decode("".join(body.split()), validate=True))
        except (binascii.Error, ValueError):
            return None
        if not body:
            return None
        declared = field.view.first("contentMediaType") if field.view else None
        media_type = (match["type"] if match else declared) or ""
        media_type = media_type if isinstance(media_type, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type) else ""
        name = field.file_name or f"file{mimetypes.guess_extension(media_type) or '.bin'}"
        # octet-stream: the browser saves the file and never shows it.
        link = attribute("href", f"data:application/octet-stream;base64,{quote(''.join(body.split()), safe='+/=')}") + attribute(
            "download", name
        )
        return StoredFile(media_type, size, NOTHING + link)


def is_data_url(view: View) -> bool:
    """Returns True for a text that holds a data URL (RFC 2397)."""
    return view.traits.format in {"data-url", "data-uri"}


def is_base64(view: View) -> bool:
    """Returns True for a text that holds a file in base64 (JSON Schema 2020-12 validation, 8.3)."""
    return str(view.first("contentEncoding", "")).lower() == "base64"
