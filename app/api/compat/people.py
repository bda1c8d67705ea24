"""For whom a service acts: the headers and members in which the other scheduler services name a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import request

from app.api.current import actor, services
from app.audit.model import Actor
from app.errors import FieldError, ValidationFailed
from app.validation.names import read_name
from templates_lib.messages import say

LONGEST_NAME = 320  # characters, as of an e-mail address
CREATED_BY, TRIGGERED_BY, PERFORMED_BY = "X-Created-By", "X-Triggered-By", "X-Performed-By"


def header(name: str) -> dict[str, Any]:
    """Returns the Parameter Object (OpenAPI 3.1) of one of these headers."""
    return {
        "in": "header",
        "name": name,
        "schema": {"type": "string", "maxLength": LONGEST_NAME},
        "description": "The person or program for whom a service acts. Only the token of a service account is believed; else it is ignored",
    }


def actor_named_in_header(name: str) -> Actor:
    """Returns who sent this request, acting for whom the header names."""
    return acting_for(request.headers.get(name, ""), name=name, pointer="")


def acting_for(person: str, *, name: str, pointer: str) -> Actor:
    """Returns who sent this request, acting for `person`, an account or a name that only the sender knows. The name gives no rights.

    Only service accounts are believed: the request of anybody else is their own, whatever it names. `name` and `pointer` say where the
    name was sent. Raises ValidationFailed for a text that is not a name.
    """
    sender = actor()
    if not sender.is_service or not person.strip():
        return sender
    text, problem = read_name(person)
    if problem is None and len(text) > LONGEST_NAME:
        problem = say("must have at most {most} characters", most=LONGEST_NAME)
    if problem is not None:
        raise ValidationFailed([FieldError(pointer, problem if pointer else say("{name} {problem}", name=name, problem=problem))])
    return replace(sender, on_behalf_of=services().accounts.name_of(text))
