"""Secrets: typed, kept as they are stored, or given by the name of a saved secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from app.validation.secret import MASK, NAMED, named_secret, secret_name
from web.forms.controls.base import Place, Posted, TypedControl
from web.forms.post import Post
from web.forms.values import ABSENT
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.arrange import Arranger
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader


class Secret(TypedControl):
    """A password field. The page never holds a secret; an empty field keeps the stored one."""

    name = "secret"
    has_quiet_state = True
    state_words: ClassVar[Mapping[str, str]] = {"kept": "stateKept", "absent": "stateRemoved", "value": "stateNew"}

    def draws(self, place: Place) -> bool:
        view, value = place.view, place.value
        if not view.traits.secret or not (view.allows("string") or not view.types):
            return False
        return not place.has_value or isinstance(value, str) or value == MASK or secret_name(value) is not None

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        field.secret_name = secret_name(value) or ""
        field.state = "absent" if value is ABSENT else "null" if value is None else NAMED if field.secret_name else "kept"

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.secret_name = posted.post.last("n")

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        if field.text or field.secret_name:
            return "value" if field.text else NAMED
        return "absent" if before == NAMED else before

    def value(self, field: Field, reader: Reader) -> Any:
        if field.state == NAMED:
            return named_secret(field.secret_name)
        return dict(MASK) if field.state == "kept" else field.text

    def arrange(self, field: Field, view: View, value: Any, arranger: Arranger, *, fresh: bool, depth: int) -> None:
        """Remove a typed secret, because the page does not send it back; the person is asked for it again."""
        if field.text:
            field.text, field.state, field.asks_again = "", "kept" if field.drawn_as == "k" else "absent", True

    def states(self, field: Field, painter: Painter) -> list[str]:
        return list(self.state_words) if field.state == "kept" and not field.required else []

    def saved_names(self, field: Field, painter: Painter) -> list[str]:
        """Returns the names that the secret may be given by; its own goes first if it is not saved any more."""
        gone = field.secret_name and field.secret_name not in painter.saved_secrets
        return [*([field.secret_name] if gone else []), *painter.saved_secrets]
