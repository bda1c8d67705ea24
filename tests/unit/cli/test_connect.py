"""Where a server is, what proves who asks, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from app.api.auth import LOCAL_ACTOR
from app.cli.connect import Server, _is_this_machine, _trust, check_address, check_token


@pytest.mark.parametrize("text", ["https://jobs.example.com", "http://127.0.0.1:8080", "https://h/below", "https://[::1]:8443"])
def test_an_address_loses_only_its_last_slash(text: str) -> None:
    assert check_address(f" {text}/ ") == text


@pytest.mark.parametrize(
    "text",
    ["jobs.example.com", "ftp://h", "https://", "https://h:99999", "https://h?x=1", "https://a b", "https://h\x1b[31m", "https://ü.de"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not the address of a server"):
        check_address(text)


def test_an_address_holds_no_password() -> None:
    with pytest.raises(click.UsageError) as refused:
        check_address("https://ops:geheim@jobs.example.com")
    assert "geheim" not in refused.value.message


@pytest.mark.parametrize("text", ["", "  ", "jw_a b", "jw_ä", "jw_a\nX-Other: 1"])
def test_a_token_is_one_word_and_never_shown(text: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        check_token(text)
    assert not text.strip() or text not in refused.value.message


@pytest.mark.parametrize(
    ("url", "here"), [("http://127.0.0.1:1", True), ("http://[::1]", True), ("http://localhost", True), ("http://h", False)]
)
def test_only_this_machine_needs_no_encryption(url: str, here: bool) -> None:
    assert _is_this_machine(url) is here


def test_files_of_certificates_are_named_when_they_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("not a certificate")
    for path, words in ((tmp_path / "none.pem", "cannot be read"), (tmp_path / "x.pem", "is not a usable PEM file")):
        with pytest.raises(click.UsageError, match=words):
            _trust(Server(url="https://h", token="t", ca_file=str(path)))
        with pytest.raises(click.UsageError, match="JOBWRIGHT_CLIENT_CERT"):
            _trust(Server(url="https://h", token="t", client_cert=str(path)))


def test_no_header_can_name_the_actor_of_this_machine() -> None:
    """WSGI puts headers below HTTP_; the name of the actor has a dot, which no such key has."""
    assert "." in LOCAL_ACTOR
    assert not LOCAL_ACTOR.startswith("HTTP_")
