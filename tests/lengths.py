"""How long tests go on. `make check` tries a part of what only repeats: some examples, some cases of a table. `make check-long` tries all.

What is left out of `make check` never is all of a promise: each test has cases in both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

LONG = os.environ.get("CHECK_LONG") == "1"
SHARE = 5  # of examples that hypothesis makes up, `make check` tries one in so many


def examples(long: int) -> int:
    """How many examples hypothesis tries, of the `long` that it tries in `make check-long`."""
    return long if LONG else max(10, long // SHARE)


def one_in(share: int, cases: Iterable[T]) -> list[T]:
    """Every case in `make check-long`; the first and every `share`-th after it in `make check`."""
    return list(islice(cases, 0, None, 1 if LONG else share))
