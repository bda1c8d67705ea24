"""Bodies as people read them: text as text, and of anything else how much of what it is."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_lib.bodies import body_text, bytes_words, printed_text

GZIP = gzip.compress(b"text" * 99, mtime=0)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


@pytest.mark.parametrize(
    ("data", "content_type", "text"),
    [
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        (b'{"a": 1}', "", '{"a": 1}'),
        (b"", "", ""),
        (b"", "image/png", "0 bytes of image/png"),
        (PNG, "image/png", "5,128 bytes of image/png"),
        (PNG, "", "5,128 bytes of application/octet-stream"),
        (PNG, "text/plain; charset=utf-8", "5,128 bytes of application/octet-stream"),
        (PNG, "application/json", "5,128 bytes of application/octet-stream"),
        (b"looks like text", "image/png", "15 bytes of image/png"),
        (b"looks like text", "application/octet-stream", "looks like text"),
        (bytes(5120), "application/octet-stream", "5,120 bytes of application/octet-stream"),
        (b"\0", "", "1 byte of application/octet-stream"),
        ("größer".encode("latin-1"), "text/plain; charset=ISO-8859-1", "größer"),
        ("größer".encode("latin-1"), "", "6 bytes of application/octet-stream"),
        ("größer".encode("utf-16"), "", "größer"),
        ("größer".encode("utf-8-sig"), "", "größer"),
        ("größer".encode("utf-16-le"), 'text/plain; charset="utf-16le"', "größer"),
        (b"\x1b[31mred\x1b[0m\r\n", "", "\x1b[31mred\x1b[0m\r\n"),
        (b"abc", "text/plain; charset=nonsense", "abc"),
        (b"YWJj", "text/plain; charset=base64", "YWJj"),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
        (b"a=b", "application/x-www-form-urlencoded", "a=b"),
        (b"x", "no media type", "x"),
        (b"x", ";;;", "x"),
        (GZIP, "application/gzip", f"{len(GZIP)} bytes of application/gzip"),
        (b"%PDF-1.7 text", "application/pdf", "13 bytes of application/pdf"),
        (PNG, "application/vnd.own\x1b[31m", "5,128 bytes of application/octet-stream"),
    ],
)
def test_text_is_text_and_the_rest_is_counted(data: bytes, content_type: str, text: str) -> None:
    assert body_text(data, content_type) == text


def test_a_beginning_is_cut_between_characters() -> None:
    assert body_text("aé".encode()[:2], "text/plain") == "a"
    assert body_text("aé".encode(), "text/plain", most=2) == "a"
    assert body_text(PNG, "image/png", most=10, whole=False) == "at least 5,128 bytes of image/png"


def test_a_printed_line_keeps_what_it_says_last() -> None:
    bar = "".join(f"\r{n} %" for n in range(3000)).encode()
    assert printed_text(bar, 100).endswith("\r2999 %")
    assert not printed_text(bar, 100).startswith(" %")
    assert printed_text(b"caf\xe9", 100) == "caf\ufffd"
    assert printed_text(b"\x1b[31mred\0", 100) == "\x1b[31mred\0"
    assert printed_text(b"x" * 200, 100) == "x" * 100
    assert printed_text(PNG[:300], 8_000) == "300 bytes of application/octet-stream"
    assert bytes_words(1) == "1 byte of application/octet-stream"


@given(st.binary(max_size=300), st.text(max_size=60))
def test_any_bytes_of_any_type_have_words(data: bytes, content_type: str) -> None:
    for text in (body_text(data, content_type), body_text(data, content_type, most=7), printed_text(data, 50)):
        json.dumps(text).encode()
        text.encode()
