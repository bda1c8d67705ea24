"""Signatures of the messages between Jobwright and services, as Standard Webhooks 1.0 describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

from templates_lib.messages import say

ID_HEADER, TIME_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"


class SignatureRefused(Exception):
    """The signature of a message is missing or wrong, or the message is too old or too new."""


def signed_headers(keys: Iterable[str], message_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """Returns the headers of a message: its id, its time, and a signature for each of the keys. Without keys there is no signature.

    The receiver checks the bytes of the body as they arrive.
    """
    signatures = [Webhook(key).sign(message_id, now, body.decode()) for key in keys]
    headers = {ID_HEADER: message_id, TIME_HEADER: str(int(now.timestamp()))}
    return {**headers, SIGNATURE_HEADER: " ".join(signatures)} if signatures else headers


def require_signature(keys: Iterable[str], headers: Mapping[str, str], body: bytes) -> None:
    """Raises SignatureRefused unless one of the keys has signed the body at most 5 minutes ago, and not more than 5 minutes ahead."""
    given = {name.lower(): value for name, value in headers.items()}
    refusal: str = say("There is no key to check the signature with")
    for key in keys:
        try:
            Webhook(key).verify(body, given, json_parse=False)
        except WebhookVerificationError as error:
            refusal = _words(error)
        except ValueError:  # the body is not UTF-8, or a signature is not well-formed
            refusal = say("The signature is not well-formed")
        else:
            return
    raise SignatureRefused(refusal)


def _words(error: WebhookVerificationError) -> str:
    match str(error):
        case "Missing required headers":
            return say("The report is not signed. Send webhook-id, webhook-timestamp and webhook-signature")
        case "Invalid Signature Headers":
            return say("webhook-timestamp must be the seconds since 1970")
        case "Message timestamp too old" | "Message timestamp too new":
            return say("webhook-timestamp is more than 300 s from the time of Jobwright. Set the clock of the service")
    return say("The signature does not match. Check the signing key of the service")
