"""The absent JSON value."""

from __future__ import annotations


class _Absent:
    """No value: the member is missing. This differs from null, which is a value."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT = _Absent()
