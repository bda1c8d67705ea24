"""Outgoing HTTP that cannot reach internal networks: every address is checked at the moment of the connection."""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpcore
import httpx

from templates_lib.base import TemplateError
from templates_lib.call_notes import CallNotes

# (host, port) → whether the host may have a private address.
Allows = Callable[[str, int], bool]
# (host, port) → the addresses of the host; empty for a host that cannot be resolved.
Addresses = Mapping[tuple[str, int], tuple[str, ...]]
MOST_LOOKUPS = 64  # at a time in this process, so that a name service that does not answer blocks no more threads than that
_LOOKUPS = threading.BoundedSemaphore(MOST_LOOKUPS)
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# This prefix (RFC 6052, RFC 6145) embeds an IPv4 address. The embedded address is checked.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Shared address space (RFC 6598), benchmarking (RFC 2544) and others: they are not "private" in the registry, but not public either.
_ALSO_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        ("100.64.0.0/10", "198.18.0.0/15", "192.0.0.0/24", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
    )
)


class TargetRefused(TemplateError):
    """The address is in a network that jobs may not reach."""

    def __init__(self, host: str, address: str) -> None:
        where = f"{host} is" if host.strip("[]") == address else f"{host} resolves to {address},"
        super().__init__(f"{where} a private or local address. Add the host to JOBWRIGHT_ALLOWED_HOSTS if jobs may call it", permanent=True)


def is_public(address: IPAddress) -> bool:
    """Returns whether an address is on the public internet (IANA special-purpose registries, RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if any(address.version == net.version and address in net for net in _ALSO_INSIDE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def refused_address(addresses: Iterable[str]) -> str | None:
    """Returns the first of a host's addresses that is not public; None if all are public."""
    return next((text for text in addresses if not is_public(ipaddress.ip_address(text.partition("%")[0]))), None)


def lookup(hosts: Collection[tuple[str, int]], seconds: float) -> Addresses:
    """Looks up the addresses of hosts, all at the same time. A host that cannot be resolved has no addresses. A host is left out if its
    answer takes longer than `seconds`, or if MOST_LOOKUPS are running already."""
    results: queue.SimpleQueue[tuple[tuple[str, int], tuple[str, ...]]] = queue.SimpleQueue()

    def ask(host: str, port: int) -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in answers))
        except (OSError, UnicodeError):
            addresses = ()
        finally:
            _LOOKUPS.release()
        results.put(((host, port), addresses))

    asked = 0
    for host, port in sorted(hosts):
        if not _LOOKUPS.acquire(blocking=False):
            break
        asked += 1
        threading.Thread(target=ask, args=(host, port), name="lookup", daemon=True).start()
    deadline, known = time.monotonic() + seconds, {}
    with suppress(queue.Empty):
        for _ in range(asked):
            host_and_port, addresses = results.get(timeout=max(0.0, deadline - time.monotonic()))
            known[host_and_port] = addresses
    return known


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves a name once, checks each address, and connects only to a checked address. This prevents DNS rebinding."""

    def __init__(self, allowed_hosts: Iterable[str], allows: Allows = lambda host, port: False) -> None:
        self._allowed, self._allows = {host.lower() for host in allowed_hosts}, allows
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error.strerror}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in answers))
        if not {host.lower(), f"{host.lower()}:{port}"} & self._allowed and not self._allows(host, port):
            private = refused_address(addresses)
            if private is not None:
                raise TargetRefused(host, private)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for text in addresses:
            try:
                return self._inner.connect_tcp(text, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> httpcore.NetworkStream:  # noqa: ARG002 - httpcore's signature
        raise TargetRefused(path, "a local socket")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout(str(error) or "timed out") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise httpx.ReadError(str(error)) from error

    def close(self) -> None:
        self._stream.close()


class GuardedTransport(httpx.BaseTransport):
    """An httpx transport over GuardedBackend. It uses no proxies of the environment, because a proxy would hide the address."""

    def __init__(
        self,
        allowed_hosts: Iterable[str] = (),
        *,
        allows: Allows = lambda host, port: False,
        verify: bool = True,
        notes: CallNotes | None = None,
    ) -> None:
        """`notes` take down each call."""
        self._notes = notes
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=GuardedBackend(allowed_hosts, allows), max_connections=10)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._notes is None:
            return self._answer(request)
        with self._notes.noting(request) as note:
            answer = self._answer(request)
            note["status"] = answer.status_code
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path)
        core = httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions)
        try:
            answer = self._pool.handle_request(core)
        except httpcore.TimeoutException as error:
            raise httpx.TimeoutException(str(error) or "timed out", request=request) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise httpx.TransportError(str(error), request=request) from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


def open_http(
    *,
    allowed_hosts: Iterable[str],
    timeout_seconds: float,
    verify: bool = True,
    redirects: int = 5,
    allows: Allows = lambda host, port: False,
    notes: CallNotes | None = None,
) -> httpx.Client:
    """Returns a client for outgoing calls: with guarded addresses, its own cookies, no proxies of the environment, and at most `redirects`
    redirects.

    A host may have a private address if it is in `allowed_hosts` (`host` or `host:port`), or if `allows` returns True for it. `notes` take
    down each call.
    """
    return httpx.Client(
        transport=GuardedTransport(allowed_hosts, allows=allows, verify=verify, notes=notes),
        timeout=httpx.Timeout(timeout_seconds),
        max_redirects=redirects,
        follow_redirects=redirects > 0,
        trust_env=False,
    )
