"""The table of all controls. A new control is one class, and one line here."""

from __future__ import annotations

from web.forms.controls.base import Control
from web.forms.controls.boolean import Switch, YesNo
from web.forms.controls.choice import Checks, Choice
from web.forms.controls.duration import Duration
from web.forms.controls.file import FileText
from web.forms.controls.fixed import Null, ReadOnly
from web.forms.controls.json import JsonControl, JsonOnRequest
from web.forms.controls.list import List
from web.forms.controls.numbers import Integer, Number
from web.forms.controls.object import Object
from web.forms.controls.secret import Secret
from web.forms.controls.text import Text
from web.forms.controls.tokens import Tokens

READ_ONLY, SECRET, CHOICE, JSON, JSON_ON_REQUEST = ReadOnly(), Secret(), Choice(), JsonControl(), JsonOnRequest()
DURATION, TOKENS = Duration(), Tokens()  # that a hint asks for
# Chosen by the type of the value; of two controls for one type, the first that draws the place is taken.
BY_TYPE: tuple[Control, ...] = (Null(), Switch(), YesNo(), Checks(), List(), Object(), FileText(), Text(), Integer(), Number())
# All controls by the name that a form posts.
CONTROLS: dict[str, Control] = {
    control.name: control for control in (READ_ONLY, SECRET, CHOICE, JSON, JSON_ON_REQUEST, DURATION, TOKENS, *BY_TYPE)
}
