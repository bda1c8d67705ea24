"""Calls of Jobwright through ASGI: for FastAPI, Starlette and every other ASGI framework, or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from jobwright_client.calls import MOST_BODY_BYTES, Request, Response, job_of
from jobwright_client.runs import Run
from jobwright_client.wsgi import alone

if TYPE_CHECKING:
    from jobwright_client.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def asgi_app(service: Service, app: AsgiApp | None) -> AsgiApp:
    """Returns an ASGI application that answers calls of Jobwright, and passes all else on to `app`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _Life(service, receive, send).pass_through(scope, app)
        elif scope["type"] == "http" and job_of(scope["path"]) is not None:
            await _send(await _handle(service, scope, receive), send)
        elif app is not None:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _send(alone(scope["path"]), send)

    return application


async def _handle(service: Service, scope: Scope, receive: Receive) -> Response:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    request = Request(scope["method"], scope["path"], headers, await _body(receive))
    loop = asyncio.get_running_loop()
    service.runs.loop = loop
    # The state may be a file, so a thread takes the call.
    begun = await loop.run_in_executor(None, service.begin, request)
    if isinstance(begun, Response):
        return begun
    await _ended(begun, begun.wait_seconds())
    begun.accept()
    return begun.answer()


async def _ended(run: Run, seconds: float | None) -> None:
    """Waits for the end of a run without a thread."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)

    run.when_done(tell)
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except asyncio.TimeoutError:
        return


async def _body(receive: Receive) -> bytes:
    """The body as it came; what is more than one byte too many is dropped."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        if len(body) <= MOST_BODY_BYTES:
            body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body[: MOST_BODY_BYTES + 1])


async def _send(response: Response, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.all_headers()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content()})


class _Life:
    """Start and stop of the server: the service starts when the application has started, and drains before the application stops."""

    def __init__(self, service: Service, receive: Receive, send: Send) -> None:
        self._service = service
        self._receive_outer = receive
        self._send_outer = send

    async def pass_through(self, scope: Scope, app: AsgiApp | None) -> None:
        if app is not None:
            await app(scope, self._receive, self._send)
            return
        while True:
            message = await self._receive()
            await self._send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _receive(self) -> MutableMapping[str, Any]:
        message = await self._receive_outer()
        if message["type"] == "lifespan.shutdown":
            await asyncio.get_running_loop().run_in_executor(None, self._service.drain)
        return message

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._service.runs.loop = asyncio.get_running_loop()
            self._service.start()
            # A server closes its sockets when it hears SIGTERM; this drains before that.
            self._service.drain_on_sigterm()
        await self._send_outer(message)
