"""Sentences in the language of who reads them outside of pages."""

from __future__ import annotations

ENGLISH = "en"


def in_words(sentence: str, language: str) -> str:
    """Returns a sentence in a language."""
    if language == ENGLISH:
        return sentence[:]
    from web.language import translated  # noqa: PLC0415 - the scheduler needs no pages until a channel speaks another language

    return translated(sentence, language)[:]
