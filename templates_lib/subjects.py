"""Subjects of NATS: those that messages are sent to, and patterns that allow some of them (docs.nats.io, subjects)."""

from __future__ import annotations

from collections.abc import Iterable

# A message goes to a subject without wildcards. In a pattern, `*` stands for one token and `>` for all that follow.
SUBJECT = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
PATTERN = r"^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$"


def fits(pattern: str, subject: str) -> bool:
    """Returns whether a pattern allows a subject: `orders.*.cancel` allows `orders.7.cancel`, and `reports.>` allows `reports.a.b`."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(tokens) >= len(wanted) and all(part in {"*", token} for part, token in zip(wanted[:-1], tokens, strict=False))
    return len(tokens) == len(wanted) and all(part in {"*", token} for part, token in zip(wanted, tokens, strict=True))


def allows(patterns: Iterable[str], subject: str) -> bool:
    """Returns whether any of the patterns allows a subject."""
    return any(fits(pattern, subject) for pattern in patterns)
