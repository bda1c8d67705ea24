"""Shows the bodies of answers, messages and printed lines to people: text as text, and everything else by its size and media type."""

from __future__ import annotations

import codecs
import re

UNKNOWN = "application/octet-stream"
# Media types that are text although they do not begin with text/ (RFC 6838; the suffixes of RFC 6839).
_TEXTUAL = re.compile(
    r"text/.*|.*\+(json|xml|yaml|json-seq)|application/(json|xml|yaml|x-yaml|toml|javascript|ecmascript|graphql|sql|x-www-form-urlencoded"
    r"|x-ndjson|jsonl|json-seq|ld\+json|problem\+json|xhtml\+xml|x-sh|rtf)"
)
_NEVER_TEXT = re.compile(r"(image|audio|video|font|model)/(?!svg\+xml).*|application/(pdf|zip|gzip|x-(tar|gzip|7z-compressed|bzip2)|wasm)")
_MEDIA_TYPE = re.compile(r"\s*([!#$&^\w.+-]{1,100}/[!#$&^\w.+-]{1,100})\s*(?:;|$)")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Controls that texts and terminals use: tab, line feed, form feed, carriage return, escape, backspace, bell.
_ODD = re.compile("[\x00-\x06\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
# A body with a larger share of odd characters is not text. The limits are for a body that is declared as text, one without a declaration,
# and a printed line.
DECLARED, SILENT, PRINTED = 0.1, 0.02, 0.3


def body_text(data: bytes, content_type: str = "", *, most: int | None = None, whole: bool = True) -> str:
    """Returns a body as people read it: at most the characters of its first `most` bytes, or "5,120 bytes of image/png" if it is not text.

    `content_type` (the value of the header, RFC 9110, 8.3) decides which it is; if it is missing or wrong, the bytes decide. `whole` is
    False if `data` is only the beginning of the body.
    """
    media = _media_type(content_type)
    declared = _TEXTUAL.fullmatch(media) is not None
    if not declared and _NEVER_TEXT.fullmatch(media):
        return bytes_words(len(data), media, whole=whole)
    text = _decode(data, content_type)
    if text is None or _odd_share(text) > (DECLARED if declared else SILENT):
        return bytes_words(len(data), UNKNOWN if declared or not media else media, whole=whole)
    return text if most is None or len(data) <= most else (_decode(data[:most], content_type) or "")


def printed_text(data: bytes, most: int) -> str:
    """Returns a line that a job printed, at most `most` characters. For a progress bar, which overwrites its line, these are the last
    ones."""
    text = data.decode("utf-8", errors="replace")
    if _odd_share(text) > PRINTED:
        return bytes_words(len(data))
    if len(text) > most and (kept := text.rstrip("\r")[-most:]).count("\r"):
        return kept[kept.index("\r") + 1 :]
    return text[:most]


def bytes_words(count: int, media: str = UNKNOWN, *, whole: bool = True) -> str:
    """ "5,120 bytes of image/png"."""
    least = "" if whole else "at least "
    return f"{least}{count:,} {'byte' if count == 1 else 'bytes'} of {media or UNKNOWN}"


def _media_type(content_type: str) -> str:
    match = _MEDIA_TYPE.match(content_type)
    return match[1].lower() if match else ""


def _decode(data: bytes, content_type: str) -> str | None:
    """Returns the text, read in the character set of the byte order mark or of the header, else in UTF-8. The data may end inside a
    character."""
    named = _CHARSET.search(content_type)
    charset = next((name for mark, name in _MARKS if data.startswith(mark)), named[1] if named else "utf-8")
    try:
        b"a".decode(charset, "replace")  # raises for encodings of Python that are not character sets, such as base64
    except (LookupError, ValueError):
        charset = "utf-8"
    try:
        return codecs.getincrementaldecoder(charset)(errors="replace").decode(data)
    except ValueError:
        return None


def _odd_share(text: str) -> float:
    return len(_ODD.findall(text)) / len(text) if text else 0.0
