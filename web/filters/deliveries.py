"""The states of notifications in icons and words."""

from __future__ import annotations

from markupsafe import Markup

from app.notification.delivery import DeliveryStatus
from templates_lib.messages import say
from web.filters.states import icon
from web.language import translated

# Status → (icon, colour, words). The colours are those of the states of executions.
DELIVERY_STATES: dict[str, tuple[str, str, str]] = {
    DeliveryStatus.WAITING: ("circle", "queued", say("Waiting to be sent")),
    DeliveryStatus.SENT: ("circle-check", "success", say("Sent")),
    DeliveryStatus.UNKNOWN: ("circle-help", "timeout", say("No answer")),
    DeliveryStatus.REFUSED: ("circle-x", "failed", say("Refused")),
    DeliveryStatus.GIVEN_UP: ("ban", "failed", say("Given up")),
    DeliveryStatus.HELD: ("pause", "skipped", say("Held")),
}
TRY_WORDS = {
    "sent": say("Sent"),
    "unreachable": say("Not reached"),
    "unknown": say("No answer"),
    "refused": say("Refused"),
    "held": say("Held"),
}


def delivery_state(status: str, failures: int = 0) -> Markup:
    """Returns the icon and the word of the status of a notification; one that waits after a failure says so."""
    icon_name, colour, words = DELIVERY_STATES[status]
    if status == DeliveryStatus.WAITING and failures:
        icon_name, colour, words = "rotate-ccw", "retrying", say("Retrying")
    return Markup('<span class="state state-{}">{}{}</span>').format(colour, icon(icon_name), translated(words))
