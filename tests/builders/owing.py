"""Which ends owe something: with default settings, with a bus, and with a bus and traces."""

from __future__ import annotations

from app.config import Settings
from app.factory import owing

OWING = owing(Settings())
WITH_BUS = Settings(nats_url="nats://127.0.0.1:4222")
OWING_WITH_BUS = owing(WITH_BUS)
WITH_ALL = Settings(nats_url=WITH_BUS.nats_url, traces="otlp")
OWING_WITH_ALL = owing(WITH_ALL)
