"""Opens the client of REST: over HTTP to a server, or to the registry of this machine, whose REST then answers in this process."""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from app.cli.client import Client
from app.cli.failures import ExitCode, Failed
from app.cli.output import note

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
LOCAL = "http://localhost"  # the address of the registry of this machine; it goes over no network


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server elsewhere, and what proves who calls it."""

    url: str
    token: str
    ca_file: str | None = None
    client_cert: str | None = None
    seconds: float = ANSWER_SECONDS


SERVER_OPTIONS = (
    click.option(
        "--server",
        metavar="URL",
        envvar="JOBWRIGHT_SERVER",
        show_envvar=True,
        help="The address of a Jobwright server. Default: the registry of this machine.",
    ),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="JOBWRIGHT_TOKEN_FILE",
        show_envvar=True,
        help="A file that holds the token for the server.",
    ),
    click.option(
        "--token",
        envvar="JOBWRIGHT_TOKEN",
        show_envvar=True,
        help="The token for the server. Prefer the variable or a file: other users of the machine can read a command line.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(dir_okay=False),
        envvar="JOBWRIGHT_CA_FILE",
        show_envvar=True,
        help="A PEM file with the certificate authorities to trust for the server. Default: those of the system.",
    ),
    click.option(
        "--client-cert",
        type=click.Path(dir_okay=False),
        envvar="JOBWRIGHT_CLIENT_CERT",
        show_envvar=True,
        help="A PEM file with a client certificate and its key, if the server or its proxy asks for one.",
    ),
)
_NAMES = ("server", "token", "token_file", "ca_file", "client_cert")


def with_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a command that speaks with a server: adds the options that name it, and passes an open Client as the first argument."""

    @functools.wraps(command)
    def run(server: Server | None, *args: Any, **values: Any) -> Any:
        with open_client(server) as client:
            return command(client, *args, **values)

    return with_server(run)


def with_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a command: adds the options that name a server, and passes the Server, or None, as the first argument."""

    @functools.wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        server = server_of(click.get_current_context())
        for name in _NAMES:
            values.pop(name)
        return command(server, *args, **values)

    for option in reversed(SERVER_OPTIONS):
        run = option(run)
    return run


@contextmanager
def open_client(server: Server | None) -> Iterator[Client]:
    """Yields a client of the server, or of the registry of this machine for None."""
    with _remote(server) if server is not None else _local() as client:
        yield client


def server_of(context: click.Context, *, seconds: float = ANSWER_SECONDS) -> Server | None:
    """Returns the server that the options of a command name; None for the registry of this machine. Raises UsageError."""
    values = context.params
    if not values.get("server"):
        given = [name for name in _NAMES if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} needs --server or JOBWRIGHT_SERVER.")
        return None
    token = check_token(values["token"] or _read_token(values["token_file"]))
    return Server(
        url=check_address(values["server"]), token=token, ca_file=values["ca_file"], client_cert=values["client_cert"], seconds=seconds
    )


def check_address(text: str) -> str:
    """Returns the address of a server without a slash at its end. Raises UsageError."""
    address = text.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.port == 0 or parts.query or parts.fragment)
    except ValueError:
        usable, parts = False, None
    if parts is not None and (parts.username or parts.password):
        raise click.UsageError("The address of the server must not hold a user name or a password. Use JOBWRIGHT_TOKEN.")
    if not usable or not address.isascii() or not address.isprintable() or " " in address:
        raise click.UsageError(f"{text!r} is not the address of a server. An address is like https://jobs.example.com.")
    return address


def check_token(text: str) -> str:
    """Returns a token that can be sent in a header. Raises UsageError, which does not show it."""
    token = text.strip()
    if not token:
        raise click.UsageError("A server needs a token. Set JOBWRIGHT_TOKEN, or JOBWRIGHT_TOKEN_FILE to a file that holds it.")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise click.UsageError("The token is not valid: a token is one line of letters, digits and signs, such as jw_….")
    return token


def _read_token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise click.UsageError(f"The token file {str(path)!r} cannot be read: {reason}.") from error


# -- a server elsewhere -----------------------------------------------------------------------------------------------


@contextmanager
def _remote(server: Server) -> Iterator[Client]:
    import httpx  # noqa: PLC0415 - `--help` does without it

    if server.url.startswith("http://") and not _is_this_machine(server.url):
        note(f"jobwright: warning: {server.url} is not encrypted, so others on the network can read the token. Use https.")
    headers = {"Authorization": f"Bearer {server.token}", "Accept-Language": "en"}
    with httpx.Client(
        base_url=server.url,
        headers=headers,
        verify=_trust(server),
        timeout=httpx.Timeout(server.seconds, connect=min(CONNECT_SECONDS, server.seconds)),
        follow_redirects=False,
    ) as http:
        yield Client(http, server=server.url, address=server.url, explain=functools.partial(_explain, server.url))


def _is_this_machine(url: str) -> bool:
    import httpx  # noqa: PLC0415 - `--help` does without it

    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _trust(server: Server) -> ssl.SSLContext | bool:
    """Returns which certificates are accepted. Raises UsageError for a file that cannot be used."""
    if not server.url.startswith("https://"):
        return True
    context = ssl.create_default_context()
    for name, path, load in (
        ("JOBWRIGHT_CA_FILE", server.ca_file, context.load_verify_locations),
        ("JOBWRIGHT_CLIENT_CERT", server.client_cert, context.load_cert_chain),
    ):
        if path:
            try:
                load(path)
            except ssl.SSLError as error:
                raise click.UsageError(f"{name}: {path!r} is not a usable PEM file: {error.reason or error}.") from error
            except OSError as error:
                raise click.UsageError(f"{name}: {path!r} cannot be read: {error.strerror}.") from error
    return context


def _explain(server: str, error: httpx.HTTPError | httpx.InvalidURL) -> Failed:
    """Returns why the server could not be asked, in one line with advice."""
    import httpx  # noqa: PLC0415 - `--help` does without it

    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = (
            f"The certificate of {server} is not accepted: {cause.verify_message}. Set JOBWRIGHT_CA_FILE to the authority that signed it."
        )
    elif isinstance(cause, ssl.SSLError):
        reason = f"{server} does not answer with TLS ({cause.reason or 'unknown reason'}). Check whether its address begins with http://."
    elif isinstance(cause, socket.gaierror):
        reason = f"The name of {server} is not known to the name service. Check the address."
    elif isinstance(cause, ConnectionRefusedError):
        reason = f"Nothing listens at {server}. Check the address and the port, and whether the server runs."
    elif isinstance(error, httpx.ConnectTimeout):
        reason = f"{server} does not answer. Check the address, and whether a firewall is in between."
    elif isinstance(error, httpx.TimeoutException):
        reason = f"{server} has not answered in time. It may have carried out the command nevertheless."
    elif isinstance(error, httpx.ProxyError):
        reason = f"The proxy in front of {server} refuses: {error}. Check HTTPS_PROXY and NO_PROXY."
    elif isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        reason = f"The answer of {server} is not HTTP. Check the address and the port."
    else:
        reason = f"The connection to {server} failed: {cause or error}."
    return Failed(reason, ExitCode.UNREACHABLE)


def _root(error: BaseException) -> BaseException:
    """Returns the first of the errors that led to this one that says more than that connecting failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


# -- the registry of this machine -------------------------------------------------------------------------------------


@contextmanager
def _local() -> Iterator[Client]:
    import httpx  # noqa: PLC0415 - `--help` does without it

    from app.api.auth import acting_as  # noqa: PLC0415 - the same
    from app.cli.session import cli_actor, open_services  # noqa: PLC0415 - the same
    from app.factory import create_api  # noqa: PLC0415 - the same
    from app.premises import describe_registry  # noqa: PLC0415 - the same

    with open_services(existing=True) as (services, _):
        application = acting_as(cli_actor(), create_api(services))
        with httpx.Client(transport=httpx.WSGITransport(app=application), base_url=LOCAL, headers={"Accept-Language": "en"}) as http:
            settings = services.settings
            address = settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"
            yield Client(http, server=describe_registry(settings), address=address, explain=functools.partial(_explain, LOCAL))
