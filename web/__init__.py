"""The admin UI: pages drawn on the server, htmx where it helps, everything usable without."""

from __future__ import annotations

from web.setup import register_web

__all__ = ["register_web"]
