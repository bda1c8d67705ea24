"""Says in one plain sentence why a connection failed, whatever library raised the error."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import shorten
from typing import Any

from templates_lib.base import TemplateError
from templates_lib.messages import said, say

MOST_DETAIL = 200  # characters of a server's own words
MOST_SERVER_WORDS = 300  # characters of the reason why MongoDB refused an operation
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
# Codes of MongoDB: AuthenticationFailed, AtlasError (a refused sign-in there), Unauthorized.
_SIGN_IN_CODES, _RIGHTS_CODE = frozenset({18, 8000}), 13
# Classes by name, because the libraries that define them are optional or take long to import.
_SIGN_IN_CLASSES = frozenset({"SMTPAuthenticationError", "AuthenticationException", "PasswordRequiredException", "AuthorizationError"})
_SIGN_IN_WORDS = ("authentication failed", "authorization violation", "access denied for user", "no password supplied", "login failed")
_RIGHTS_WORDS = ("permissions violation",)
# The driver of MongoDB keeps the words of the operating system, but not its error.
_NAME_WORDS, _AGAIN_WORDS = ("[errno -2]", "[errno -5]", "name or service not known"), ("[errno -3]",)
_REFUSED_WORDS, _ROUTE_WORDS = ("connection refused",), ("no route to host", "network is unreachable")
_CERTIFICATE_WORDS, _TLS_WORDS = ("certificate_verify_failed", "certificate verify failed"), ("[ssl:", "ssl handshake failed")
_CLOSED_CLASSES = frozenset({"SMTPServerDisconnected", "RemoteProtocolError", "IncompleteReadError", "UnexpectedEOF"})
# What MongoDB writes before the reason of a failed query.
_STEPS_OF_QUERY = re.compile(r"^(?:Plan)?Executor error during .*? :: caused by :: ", re.IGNORECASE | re.DOTALL)
_SETTINGS_CLASSES = frozenset({"InvalidURI", "ConfigurationError", "ArgumentError"})


def check_listening(addresses: Sequence[tuple[str, int]], seconds: float) -> None:
    """Returns if one of the addresses accepts a TCP connection. Else raises the error (an OSError) of the first, at once where nothing
    listens: the drivers of databases would try again until their own time is over."""
    failure: OSError | None = None
    for address in addresses:
        try:
            socket.create_connection(address, timeout=seconds / len(addresses)).close()
        except (OSError, UnicodeError) as error:
            failure = failure or (error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error)))
        else:
            return
    if failure is not None:
        raise failure


def sentence(error: BaseException, place: str, seconds: float | None = None) -> str:
    """Returns why a connection to `place` failed, and what to check. `place` is a host and port, or a folder. `seconds` is the time limit
    that was set."""
    if isinstance(error, TemplateError) and error.__cause__ is None:
        return said(str(error))
    causes = list(_causes(error))
    for rule in _RULES:
        for cause in causes:
            words = rule(cause, place, seconds)
            if words is not None:
                return words
    return say("The connection to {place} failed: {detail}", place=place, detail=_detail(error))


def server_words(error: BaseException) -> str:
    """Returns why MongoDB refused an operation (an OperationFailure of its driver), in the words of the server alone: the driver adds the
    whole answer to them."""
    details: Mapping[str, Any] = getattr(error, "details", None) or {}
    failed: Mapping[str, Any] = next((row for row in (*details.get("writeErrors", ()), details) if row.get("errmsg")), {})
    words = str(failed.get("errmsg") or str(error).partition(", full error:")[0])
    while (shorter := _STEPS_OF_QUERY.sub("", words)) != words:
        words = shorter
    return shorten(words, MOST_SERVER_WORDS, placeholder=" …").rstrip(" .") or type(error).__name__


def too_slow(place: str, seconds: float | None) -> str:
    """Returns the sentence for a server that is silent."""
    if seconds is None:
        return say("{place} did not answer in time. Check the host and port, and whether a firewall blocks the way.", place=place)
    return say(
        "{place} did not answer within {seconds:g} s. Check the host and port, and whether a firewall blocks the way.",
        place=place,
        seconds=seconds,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and what caused it, the deepest cause last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _has(error: BaseException, words: Sequence[str]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _detail(error: BaseException) -> str:
    """Returns the first line of what a server or a library says."""
    if isinstance(getattr(error, "details", None), Mapping):
        return server_words(error)
    raw: Any = getattr(error, "smtp_error", None)
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(getattr(error, "orig", None) or error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "") or type(error).__name__
    return first[:MOST_DETAIL].rstrip(" .")


# -- the rules, in the order in which they are tried ------------------------------------------------------------------


def _name(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - the signature of a rule
    lookup = error.errno if isinstance(error, socket.gaierror) else None
    if lookup == socket.EAI_AGAIN or _has(error, _AGAIN_WORDS):
        return say("The name in {place} could not be looked up: no name server answered. Try again, or check the network.", place=place)
    if lookup is not None or _has(error, _NAME_WORDS):
        return say("The host name in {place} was not found. Check its spelling.", place=place)
    return None


def _refused(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if isinstance(error, ConnectionRefusedError) or _has(error, _REFUSED_WORDS):
        return say("Nothing listens at {place} (connection refused). Check the host and port.", place=place)
    return None


def _certificate(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if isinstance(error, ssl.SSLCertVerificationError) or _has(error, _CERTIFICATE_WORDS):
        return say(
            "The certificate of {place} is not trusted: {detail}. Check the host name and who issued the certificate.",
            place=place,
            detail=getattr(error, "verify_message", "") or _detail(error),
        )
    return None


def _tls(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if isinstance(error, ssl.SSLError) or _has(error, _TLS_WORDS):
        return say(
            "{place} does not speak TLS as expected ({detail}). Check the port and whether the server uses TLS.",
            place=place,
            detail=getattr(error, "reason", None) or _detail(error),
        )
    return None


def _sign_in(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    code = getattr(error, "code", None) if type(error).__name__ == "OperationFailure" else None
    if code == _RIGHTS_CODE or _has(error, _RIGHTS_WORDS):
        return say("{place} accepts the sign-in, but the user lacks a right: {detail}.", place=place, detail=_detail(error))
    if type(error).__name__ in _SIGN_IN_CLASSES or code in _SIGN_IN_CODES or _has(error, _SIGN_IN_WORDS):
        return say("{place} refused the sign-in: {detail}. Check the user name and password.", place=place, detail=_detail(error))
    if isinstance(error, PermissionError) and error.errno is None:  # of an object store, which has no user names
        return say("{place} refused access: {detail}. Check the keys and what they may do.", place=place, detail=_detail(error))
    return None


def _host_key(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if type(error).__name__ == "BadHostKeyException" or "not found in known_hosts" in str(error):
        return say("{place} has another host key than the one given here. Compare both with the owner of the server.", place=place)
    return None


def _unreachable(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if (isinstance(error, OSError) and error.errno in _UNREACHABLE) or _has(error, _ROUTE_WORDS):
        return say("This machine has no route to {place}. Check the host and the network.", place=place)
    return None


def _silent(error: BaseException, place: str, seconds: float | None) -> str | None:
    is_timeout = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
    return too_slow(place, seconds) if is_timeout else None


def _closed(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if isinstance(error, ConnectionError | EOFError) or type(error).__name__ in _CLOSED_CLASSES:
        return say("{place} closed the connection without an answer. Check the port and whether the server uses TLS.", place=place)
    return None


def _file(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if not isinstance(error, OSError) or error.filename is None:
        return None
    path = str(error.filename)
    if isinstance(error, PermissionError):
        return say("Jobwright may not use {path}: its user on this machine lacks the right.", path=path)
    if isinstance(error, FileNotFoundError):
        return say("{path} does not exist on this machine.", path=path)
    return say("{path} cannot be used: {detail}.", path=path, detail=error.strerror or type(error).__name__)


def _settings(error: BaseException, place: str, seconds: float | None) -> str | None:  # noqa: ARG001 - as above
    if isinstance(error, ModuleNotFoundError) or type(error).__name__ == "NoSuchModuleError":
        return say("The driver for this address is not installed: {detail}.", detail=_detail(error))
    if type(error).__name__ in _SETTINGS_CLASSES:
        return say("The settings cannot be used: {detail}.", detail=_detail(error))
    return None


# A cause is more telling than a time limit that was reached because of it, so the rule for the latter comes late.
_RULES: tuple[Callable[[BaseException, str, float | None], str | None], ...] = (
    _name,
    _refused,
    _certificate,
    _tls,
    _host_key,
    _sign_in,
    _unreachable,
    _file,
    _silent,
    _closed,
    _settings,
)
