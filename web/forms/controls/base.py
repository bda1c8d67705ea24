"""The base class of all controls. A control says how one kind of field is chosen, drawn, posted, read and shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from app.validation.secret import NAMED
from web.forms.json_text import json_text
from web.forms.post import Post
from web.forms.values import ABSENT
from web.forms.view import View, Views

if TYPE_CHECKING:
    from web.forms.arrange import Arranger
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader
    from web.forms.stored import ReadOnlyRestorer

STATES = ("absent", "null", "value")  # that a person may choose, in the order of the page
CHOSEN_STATES = frozenset({*STATES, "kept"})  # that a post may name
STATE_WORDS = {"absent": "stateAbsent", "null": "stateNull"}


@dataclass(frozen=True, slots=True)
class Place:
    """What decides which control a place gets: its schemas, its value, its hints, and the type that a person asked for, if any."""

    view: View
    views: Views
    value: Any
    hints: Mapping[str, Any]
    required: bool
    name: str
    wanted_type: str
    depth: int

    @property
    def widget(self) -> Any:
        """The hint `x-widget`."""
        return self.hints.get("x-widget")

    @property
    def has_value(self) -> bool:
        """True for any value but null."""
        return self.value is not ABSENT and self.value is not None


@dataclass(frozen=True, slots=True)
class Posted:
    """One posted field: its texts, the sources of its choices, and its depth in the form."""

    post: Post
    sources: str
    depth: int


class Control:
    """One kind of control. Controls hold no state: all that is known of a place is in its Field.

    A subclass declares its `name`, which is posted beside the field, and overrides the steps that differ for it. `controls/table.py`
    lists all controls; the macro that draws the HTML stands in `templates/controls.html` under the name that `widget` returns.
    """

    name: ClassVar[str]
    json_type: ClassVar[str] = ""  # the type of values that it is chosen for; "" if a rule of choose.py chooses it
    shown_type: ClassVar[str] = ""  # what a choice of types shows for it; "" if it has no choice of types
    bound_keywords: ClassVar[tuple[str, str] | None] = None  # the lower and the upper bound that stand below the control
    bounds_are_spans: ClassVar[bool] = False  # the bounds are seconds of a duration
    value_words: ClassVar[str] = "stateValue"  # the key of the words for the state `value`
    holds_values: ClassVar[bool] = True  # the page offers the state `value`
    state_words: ClassVar[Mapping[str, str]] = {}  # the keys of the words for other states
    is_makeshift: ClassVar[bool] = False  # it stands in for a control that cannot hold the value
    is_group: ClassVar[bool] = False  # it holds further fields
    has_quiet_state: ClassVar[bool] = False  # the choice of a state matters only while the control is empty
    redraws_on_state: ClassVar[bool] = False  # another state brings other fields
    has_branches: ClassVar[bool] = True  # a person may choose branches of unions

    # -- which places it draws ------------------------------------------------------------------------------------

    def draws(self, place: Place) -> bool:
        """Returns True if the control can hold the value of a place whose type is `json_type`."""
        return place.view.allows(self.json_type)

    # -- from a value ---------------------------------------------------------------------------------------------

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        """Put a value, or ABSENT, into a field that is empty. `given` is the value without the defaults that were filled in."""
        field.state = "absent" if value is ABSENT else "null" if value is None else "value"
        if field.state == "value":
            field.text = self.text_of(value)

    def text_of(self, value: Any) -> str:
        """Returns what the control holds for a value."""
        return value if isinstance(value, str) else json_text(value)

    def option_count(self, field: Field) -> int:
        """Returns the number of options that the control offers."""
        return 0

    def drawn_with_value(self, field: Field, view: View, hints: Mapping[str, Any]) -> str:
        """Returns how a field with a value is drawn: a key of field.DRAWN_STATES."""
        return "v"

    # -- from a post ----------------------------------------------------------------------------------------------

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        """Take in what was posted besides the text of the field."""

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        """Returns the state that the content means; `before` is the one that the field was drawn with."""
        return before

    def value(self, field: Field, reader: Reader) -> Any:
        """Returns the JSON value of a field whose state is neither absent nor null, or ABSENT. Reports what is wrong to the reader."""
        return field.text

    # -- a posted field, drawn again ------------------------------------------------------------------------------

    def is_outdated(self, field: Field, view: View, value: Any, choose: Callable[[Any], Control]) -> bool:
        """Returns True if the field has to be drawn anew, because its place has another control now.

        `choose` returns the control that the place would get with a value.
        """
        if value is ABSENT or field.state in {"kept", "null", NAMED}:
            return self.is_outdated_without_value(view, choose)
        return self.is_outdated_with_value(field, value, choose)

    def is_outdated_without_value(self, view: View, choose: Callable[[Any], Control]) -> bool:
        """The same for a field that holds no value."""
        return False

    def is_outdated_with_value(self, field: Field, value: Any, choose: Callable[[Any], Control]) -> bool:
        """The same for a field that holds a value."""
        return choose(value) is not self

    def arrange(self, field: Field, view: View, value: Any, arranger: Arranger, *, fresh: bool, depth: int) -> None:
        """Prepare a posted field for the page. `fresh`: what is drawn for the first time shows its defaults."""

    def restore_inside(self, field: Field, view: View, stored: Any, restorer: ReadOnlyRestorer, *, depth: int) -> None:
        """Put stored values into the read-only fields inside a posted field."""

    # -- on the page ----------------------------------------------------------------------------------------------

    def widget(self, field: Field, painter: Painter) -> str:
        """Returns the name of the macro that draws the field."""
        return self.name

    def states(self, field: Field, painter: Painter) -> list[str]:
        """Returns the states that a person may choose between; an empty list if there is nothing to choose."""
        offered = {"absent": self.may_be_absent(field, painter), "null": self.may_be_null(field), "value": self.holds_values}
        states = [state for state in STATES if offered[state]]
        if len(states) > 1 and field.state not in states:
            states.insert(0, "absent")
        return states if len(states) > 1 else []

    def may_be_absent(self, field: Field, painter: Painter) -> bool:
        """Returns True if the page offers the state `absent`."""
        return field.state == "absent" or not (field.is_entry or field.required)

    def may_be_null(self, field: Field) -> bool:
        """Returns True if the page offers the state `null`."""
        return field.nullable or field.state == "null"

    def offers_branches(self, field: Field) -> bool:
        """Returns True if a person may choose the branches of unions."""
        return self.has_branches

    def may_add_entry(self, field: Field, view: View) -> bool:
        """Returns True if a person may add one more entry."""
        return view.entries.offered

    def takes_example(self, example: Any) -> bool:
        """Returns True if an example of the schema can be suggested for the control."""
        return False


class TypedControl(Control):
    """A control that a person types into."""

    def drawn_with_value(self, field: Field, view: View, hints: Mapping[str, Any]) -> str:
        if field.too_large:
            return "b"
        return "e" if not field.text else "u" if self.clearing_means_absent(view, hints) else "v"

    def clearing_means_absent(self, view: View, hints: Mapping[str, Any]) -> bool:
        """Returns True if a person who empties the control means that there is no value."""
        return True

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        if field.text:
            return "value"
        return "absent" if field.drawn_as == "u" else before
