"""What belongs to the request at hand: the services, the person who is signed in, and what that person has set."""

from __future__ import annotations

from flask import current_app, g, request

from app.accounts.preferences import Preference
from app.audit.model import Actor
from app.services import EXTENSION, Services
from app.zones import is_zone

ZONE_COOKIE = "jobwright_zone"


def services() -> Services:
    """Returns the services of the current application."""
    current: Services = current_app.extensions[EXTENSION]
    return current


def base_address() -> str:
    """Returns the address of this installation: the configured one, else the one that the request came to."""
    return (services().settings.public_url or request.host_url).rstrip("/")


def actor() -> Actor:
    """Returns the person who is signed in. Raises AttributeError on a page that needs no sign-in."""
    signed_in: Actor = g.actor
    return signed_in


def optional_actor() -> Actor | None:
    """Returns the person who is signed in, or None on a page that needs no sign-in."""
    signed_in: Actor | None = g.get("actor")
    return signed_in


def preference() -> Preference:
    """Returns the viewer's settings, the defaults where nobody is signed in. Reads them once in a request."""
    if "preference" not in g:
        viewer = optional_actor()
        g.preference = services().preferences.of(viewer) if viewer else Preference()
    stored: Preference = g.preference
    return stored


def viewer_zone() -> str:
    """Returns the name of the time zone in which the viewer reads times: the viewer's setting, else the browser's zone, else the
    installation's."""
    if "zone_name" not in g:
        name = preference().zone or request.cookies.get(ZONE_COOKIE, "")
        g.zone_name = name if is_zone(name) else services().settings.timezone
    zone_name: str = g.zone_name
    return zone_name
