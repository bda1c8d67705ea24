"""Jobs in a FastAPI application: `uvicorn --app-dir examples fastapi_app:app --port 7006`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI

from jobwright_client import About, JobContext, Service

api = FastAPI()
service = Service("crawler-service", version="1.0.0")


@service.job("crawl-pending", interval_seconds=900, job_type="crawl", timeout_seconds=600)
async def crawl_pending(context: JobContext[Any], *, batch_size: Annotated[int, About("Pages per run.", minimum=1)] = 100) -> None:
    """Crawl the pages that wait. The coroutine runs in the event loop of the application."""
    for _ in context.track(range(batch_size)):
        await asyncio.sleep(0)
        context.succeeded()


@api.get("/")
async def hello() -> dict[str, str]:
    """Answers what is not a call of Jobwright."""
    return {"application": "crawler"}


# The server starts `app`: it registers the service when the server starts, and drains it when the server stops.
app = service.asgi(api)
