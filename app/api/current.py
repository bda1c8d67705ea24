"""What belongs to the request at hand: the services of its application, and who sent it."""

from __future__ import annotations

from flask import current_app, g, request

from app.audit.model import Actor
from app.services import EXTENSION, Services


def services() -> Services:
    """Returns the services of the application that answers this request."""
    services: Services = current_app.extensions[EXTENSION]
    return services


def actor() -> Actor:
    """Returns who sent this request, as `app.api.auth.authenticate` found out. Raises AttributeError before that."""
    actor: Actor = g.actor
    return actor


def base_address() -> str:
    """Returns the address of this installation: the configured one, else the one that the request came to."""
    return (services().settings.public_url or request.host_url).rstrip("/")
