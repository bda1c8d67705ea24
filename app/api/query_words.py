"""Errors of query parameters: marshmallow's messages in the words that errors of bodies have."""

from __future__ import annotations

import re

from app.jobs.schema import WORDS

_PATTERNS = tuple(
    (re.compile(pattern, re.S), words)
    for pattern, words in (
        (r"Must be greater than or equal to (\S+) and less than or equal to (\S+)\.", r"must be at least \1 and at most \2"),
        (r"Must be greater than or equal to (\S+)\.", r"must be at least \1"),
        (r"Must be less than or equal to (\S+)\.", r"must be at most \1"),
        (r"Must be one of: (.*)\.", r"must be one of \1"),
        (r"Longer than maximum length (\d+)\.", r"must have at most \1 characters"),
        (r"Shorter than minimum length (\d+)\.", r"must have at least \1 characters"),
        (r"Length must be between (\d+) and (\d+)\.", r"must have \1 to \2 characters"),
    )
)


def in_our_words(text: str) -> str:
    """Returns a message of marshmallow in the words of this API, any other text unchanged."""
    if text in WORDS:
        return WORDS[text]
    for pattern, words in _PATTERNS:
        match = pattern.fullmatch(text)
        if match is not None:
            return match.expand(words)
    return text
