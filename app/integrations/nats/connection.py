"""One connection to NATS, from its opening to its loss. The only module of the service that uses the NATS client.

A connection that is lost is never repaired: its client is thrown away with all its subscriptions, and the bus opens a new one, as often as
it takes. Clients of nats-py that reconnect by themselves may keep subscriptions that hear nothing any more (nats-py issues 234 and 504).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from app.events import get_logger
from app.integrations.nats import problems
from app.integrations.nats.messages import BusAway, Message, Reply, Sent, busy, commands_subject, events_subject, is_inbox, stream_name

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = get_logger(__name__)

CONNECT_SECONDS = 5.0
ACK_SECONDS = 5.0  # until the stream has confirmed a message
HEAR_SECONDS = 3.0  # until a subscription has heard what this connection sent to itself
REMEMBER_SECONDS = 600  # so long a new stream drops messages whose id it has
KEEP_SECONDS = 7 * 86_400  # so long a new stream keeps events
CLIENT_NAME = "jobwright"
MOST_COMMANDS = 200  # that wait or are answered at once on one node

# Answers a command in its own time: its name, its data, its headers.
AnswerLater = Callable[[str, bytes, Mapping[str, str]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server, and who Jobwright is there: a user with a password, a token, or neither."""

    url: str
    user: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        """Its host and port."""
        return urlsplit(self.url).netloc

    def options(self, name: str) -> dict[str, Any]:
        """The options of a client that shows the name `name`. It never connects again by itself."""
        seconds = round(CONNECT_SECONDS)
        return {"servers": [self.url], "name": name, "allow_reconnect": False, "connect_timeout": seconds, **self.user}


def servers_of(addresses: Iterable[str]) -> list[Server]:
    """The servers of NATS_URL. An address without a user has that of the first one with a user."""
    split = [urlsplit(address) for address in addresses]
    common: dict[str, str] = next((_user(parts) for parts in split if parts.username), {})
    return [
        Server(url=urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), user=_user(parts) if parts.username else common)
        for parts in split
    ]


def _user(parts: SplitResult) -> dict[str, str]:
    name = unquote(parts.username or "")
    return {"token": name} if parts.password is None else {"user": name, "password": unquote(parts.password)}


class Connection:
    """A connection to one server, opened once. `lost` is set when the server has gone. One that does not listen (`listens`) takes no
    commands."""

    def __init__(self, server: Server, *, prefix: str, answer: AnswerLater, listens: bool = True) -> None:
        self._server, self._prefix, self._answer, self._listens = server, prefix, answer, listens
        self.lost = asyncio.Event()
        self.takes_events = False
        self._is_open = False
        self._refusal: Exception | None = None  # what the server said last
        self._hears_commands = True
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._commands: set[asyncio.Task[None]] = set()
        self._listening: Any = None

    async def open(self) -> None:
        """Connects, and listens to commands. Raises whatever the client raises."""
        from templates_lib.connections.nats_client import NatsClient  # noqa: PLC0415 - the client takes long to import

        self._client = client = NatsClient()
        connecting = client.connect(
            **self._server.options(CLIENT_NAME),
            ping_interval=10,
            error_cb=self._note_error,
            disconnected_cb=self._note_loss,
            closed_cb=self._note_loss,
        )
        try:
            await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except Exception as error:
            raise self._refusal or error from None
        self._is_open = True
        self._jetstream = client.jetstream(timeout=ACK_SECONDS)
        self._inbox = client.new_inbox()
        await client.subscribe(self._inbox, cb=_echo)
        if self._listens:
            self._listening = await client.subscribe(commands_subject(self._prefix), queue=self._prefix, cb=self._take_command)
        await client.flush(round(CONNECT_SECONDS))

    @property
    def problem(self) -> str:
        """What is wrong although the server is connected; empty where nothing is."""
        return "" if self._hears_commands else problems.of_commands(self._server.place, commands_subject(self._prefix))

    async def find_stream(self) -> None:
        """Makes the stream of events if there is none. One that is there stays as its owner made it. Raises the error of a server that has
        no JetStream, and the refusal of one that does not allow it."""
        from nats.js.api import StorageType, StreamConfig  # noqa: PLC0415 - see `open`
        from nats.js.errors import NotFoundError  # noqa: PLC0415 - see `open`

        assert self._jetstream is not None, "open comes first"  # noqa: S101
        name, self._refusal = stream_name(self._prefix), None
        try:
            await self._jetstream.stream_info(name)
        except TimeoutError as error:
            raise self._refusal or error from None  # the server reports a refused message separately, and does not answer it
        except NotFoundError:
            config = StreamConfig(
                name=name,
                description="Events of Jobwright (CloudEvents)",
                subjects=[events_subject(self._prefix)],
                storage=StorageType.FILE,
                max_age=KEEP_SECONDS,
                duplicate_window=REMEMBER_SECONDS,
            )
            try:
                await self._jetstream.add_stream(config)
            except TimeoutError as error:
                raise self._refusal or error from None
            log.info("bus.stream_made", stream=name)
        self.takes_events = True

    async def hears(self) -> bool:
        """Returns whether a subscription of this connection hears what it is sent, and whether the stream answers."""
        assert self._client is not None, "open comes first"  # noqa: S101
        try:
            await self._client.request(self._inbox, b"", timeout=HEAR_SECONDS)
            if self.takes_events:
                await self.find_stream()
        except Exception as error:
            log.warning("bus.deaf", reason=_words(error))
            return False
        return True

    async def publish(self, chains: Sequence[Sequence[Message]]) -> list[Sent]:
        """Stores messages: those of a chain one after the other, and the chains beside each other. A connection that is lost meanwhile ends
        what is on its way."""
        sending = [asyncio.create_task(self._publish_chain(chain)) for chain in chains]
        lost = asyncio.create_task(self.lost.wait())
        try:
            all_sent: asyncio.Future[Any] = asyncio.gather(*sending)
            ends: set[asyncio.Future[Any]] = {all_sent, lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        return [task.result() for task in sending]

    async def stop_listening(self) -> None:
        """Takes no further commands; those that were taken are answered."""
        if self._listening is not None:
            with suppress(Exception):  # the server may have gone, which ends the subscription as well
                await self._listening.unsubscribe()
        while self._commands:
            await asyncio.wait(self._commands)

    async def close(self) -> None:
        """Ends the connection."""
        self.takes_events = False
        for task in self._commands:
            task.cancel()
        if self._client is not None:
            with suppress(Exception):  # what is thrown away may be in any state
                await asyncio.wait_for(self._client.close(), CONNECT_SECONDS)

    # -- steps ----------------------------------------------------------------------------------------------------

    async def _publish_chain(self, chain: Sequence[Message]) -> Sent:
        count = 0
        try:
            for message in chain:
                await self._store(message)
                count += 1
        except asyncio.CancelledError:
            return Sent(count, BusAway("The connection was lost"))
        except Exception as error:
            return Sent(count, error)
        return Sent(count)

    async def _store(self, message: Message) -> None:
        """Raises BusAway where trying again helps."""
        from nats import errors  # noqa: PLC0415 - see `open`
        from nats.js.errors import APIError, NoStreamResponseError  # noqa: PLC0415 - see `open`

        assert self._jetstream is not None, "open comes first"  # noqa: S101
        headers = {**message.headers, "Nats-Msg-Id": message.id}
        try:
            await self._jetstream.publish(message.subject, message.data, headers=headers, timeout=ACK_SECONDS)
        except NoStreamResponseError as error:
            self.takes_events = False  # somebody has removed the stream
            raise BusAway("No stream takes the event") from error
        except APIError as error:
            if error.code is not None and error.code >= 500:
                raise BusAway(_words(error)) from error
            raise
        except errors.MaxPayloadError:
            raise
        except (errors.Error, OSError, TimeoutError) as error:
            raise BusAway(_words(error)) from error

    async def _take_command(self, message: Msg) -> None:
        if len(self._commands) >= MOST_COMMANDS:
            log.warning("bus.full", waiting=len(self._commands))
            await self._send(message, busy(len(self._commands)))
            return
        task = asyncio.create_task(self._answer_command(message))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _answer_command(self, message: Msg) -> None:
        try:
            reply = await self._answer(message.subject.rpartition(".")[2], message.data, dict(message.headers or {}))
        except Exception:  # the node stops, or it has no application
            log.exception("bus.command_failed")
            return
        await self._send(message, reply)

    async def _send(self, message: Msg, reply: Reply) -> None:
        if self._client is not None and is_inbox(self._prefix, message.reply):
            with suppress(Exception):  # whoever asked hears nothing in time, and asks again with the same key
                await self._client.publish(message.reply, reply.data, headers=dict(reply.headers))

    async def _note_error(self, error: Exception) -> None:
        if self._is_open:
            log.warning("bus.error", reason=_words(error))
        self._refusal = error
        words = str(error).lower()
        if "subscription" in words and commands_subject(self._prefix).lower() in words:
            self._hears_commands = False

    async def _note_loss(self) -> None:
        self.takes_events = False
        self.lost.set()


async def _echo(message: Msg) -> None:
    await message.respond(b"")


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]


def find_server(addresses: Sequence[str]) -> tuple[str, str]:
    """Connects to the first server that answers. Returns its host and port, and its version. Raises the error of the last one."""
    failure: Exception = ValueError("There is no server")
    for server in servers_of(addresses):
        try:
            return server.place, asyncio.run(version_of(server))
        except Exception as error:
            failure = error
    raise failure


async def version_of(server: Server) -> str:
    """Connects once, and returns the version of the server, which must have JetStream. Raises whatever the client raises."""
    from templates_lib.connections.nats_client import NatsClient  # noqa: PLC0415 - see `Connection.open`

    told: list[Exception] = []

    async def note(error: Exception) -> None:
        told.append(error)

    client = NatsClient()
    try:
        await asyncio.wait_for(client.connect(**server.options(f"{CLIENT_NAME}-doctor"), error_cb=note), CONNECT_SECONDS)
        await client.jetstream(timeout=ACK_SECONDS).account_info()
        version = client.connected_server_version
    except Exception as error:
        raise told[-1] if told else error from None
    finally:
        with suppress(Exception):
            await client.close()
    return f"{version.major}.{version.minor}.{version.patch}"
