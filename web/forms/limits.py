"""The limits of one form, and the budget that one drawing of it has."""

from __future__ import annotations

from collections.abc import Iterable

MOST_ROWS = 2000  # entries of one list or map
MOST_FIELDS = 2000  # fields of one drawing; a field is about 2 kB of HTML
FIELDS_OF_LARGE = 300  # fields that the form of a large schema opens with
MOST_OPTIONS = 10_000  # options of one drawing: values and alternatives to choose from
DEEPEST = 40  # levels of fields; what is deeper is edited as JSON
FEWEST_OPTIONS = 20  # options that each choice may offer, however many the other choices have
LETTERS_PER_FIELD = 100  # a field with a longer posted name counts as several fields


class Budget:
    """The fields and options that one drawing may still add."""

    def __init__(self, *, is_large: bool = False) -> None:
        self._fields, self._options = FIELDS_OF_LARGE if is_large else MOST_FIELDS, MOST_OPTIONS

    def allow_more_fields(self) -> None:
        """Allow MOST_FIELDS fields from now on, because a person asked for more."""
        self._fields = MOST_FIELDS

    def allow_more_options(self) -> None:
        """Allow MOST_OPTIONS options from now on, because a person asked for more."""
        self._options = MOST_OPTIONS

    def count_field(self) -> None:
        """Count one field that was posted, and so is drawn in any case."""
        self._fields -= 1

    def take_fields(self, prefix: str, names: Iterable[str]) -> bool:
        """Count the fields of these names inside `prefix`. Returns False, and counts nothing, if they are too many. The first level of
        a form may have MOST_FIELDS fields, however few the others may have."""
        size = sum(1 + (len(prefix) + len(name)) // LETTERS_PER_FIELD for name in names)
        if size > (self._fields if "." in prefix else MOST_FIELDS):
            return False
        self._fields -= size
        return True

    def take_options(self, count: int) -> bool:
        """Count the options of one field. Returns False if they are too many; then FEWEST_OPTIONS of them are counted."""
        fits = count <= max(self._options, FEWEST_OPTIONS)
        self._options -= count if fits else FEWEST_OPTIONS
        return fits
