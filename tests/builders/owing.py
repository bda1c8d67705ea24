"""Which ends owe something, in an installation with default settings, and in one with a bus."""

from __future__ import annotations

from app.config import Settings
from app.factory import owing

OWING = owing(Settings())
WITH_BUS = Settings(nats_url="nats://127.0.0.1:4222")
OWING_WITH_BUS = owing(WITH_BUS)
