"""Senders of webhooks: requests to inbound addresses, signed as their kind demands."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from standardwebhooks.webhooks import Webhook
from werkzeug.test import TestResponse

from app.audit.model import Actor
from app.integrations.inbound.addresses import Shown
from app.jobs.model import Job
from app.services import Services


def hook_job(services: Services, actor: Actor, **fields: Any) -> Job:
    """A job that a webhook may start again and again."""
    body = {"name": "hook", "template_type": "noop", "overlap": "allow", "concurrency": {"max_instances": 3}, **fields}
    return services.jobs.create(actor, body)[0]


@dataclass
class Sender:
    """Sends to one address. `key` signs; `proof` is that of the address."""

    app: Flask
    secret: str
    key: str = ""
    proof: str = "secret"
    sent: int = field(default=0)

    @classmethod
    def to(cls, app: Flask, shown: Shown, key: str = "") -> Sender:
        return cls(app, shown.secret, key or shown.key, shown.address.proof.value)

    @classmethod
    def of_answer(cls, app: Flask, answer: dict[str, Any]) -> Sender:
        secret = urlsplit(answer["url"]).path.rpartition("/")[2]
        return cls(app, secret, answer.get("key", ""), answer["address"]["proof"])

    def headers(self, body: bytes, *, delivery: str | None = None, at: datetime | None = None, key: str | None = None) -> dict[str, str]:
        """The headers that prove the sender."""
        key = self.key if key is None else key
        if self.proof == "standard":
            moment = at or datetime.now(UTC)
            name = delivery or f"msg_{self.sent}"
            signature = Webhook(key).sign(name, moment, body.decode())
            return {"webhook-id": name, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}
        if self.proof == "github":
            signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
            return {
                "X-Hub-Signature-256": f"sha256={signature}",
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": delivery or f"d{self.sent}",
            }
        return {"Idempotency-Key": delivery} if delivery else {}

    def __call__(self, payload: Any = None, *, delivery: str | None = None, at: datetime | None = None, **headers: str) -> TestResponse:
        """Sends a payload as JSON."""
        self.sent += 1
        body = json.dumps({"n": self.sent} if payload is None else payload).encode()
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw(body, {**self.headers(body, delivery=delivery, at=at), **more})

    def raw(self, body: bytes, headers: dict[str, str] | None = None, *, content_type: str = "application/json") -> TestResponse:
        """Sends these bytes."""
        with self.app.test_client() as client:
            return client.post(f"/api/inbound/{self.secret}", data=body, headers=headers or {}, content_type=content_type)
