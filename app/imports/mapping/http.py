"""curl and wget become webhooks and health checks."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from app.imports.entries import Draft
from app.imports.mapping.calls import NotOurs, Request, read_call
from app.imports.mapping.lines import Line
from app.imports.mapping.needs import connection
from app.imports.secrets import has_secret

_HEALTH = re.compile(r"/(?:[\w-]*health[\w-]*|livez?|ready|readyz|status|ping|up|heartbeat)(?:\.\w+)?/?", re.IGNORECASE)
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def map_http(line: Line, draft: Draft) -> None:
    """Makes a webhook or a health check of a call. Raises NotOurs if only the program itself can do it."""
    if any(word.pattern and not word.text.startswith(("http", "‹")) and "://" not in word.text for word in line.words) or any(
        word.dated for word in line.words
    ):
        raise NotOurs
    request = read_call(line.program, line.texts[1:])
    if len(request.urls) != 1 or line.stdin is not None:
        raise NotOurs
    url = request.urls[0] if "://" in request.urls[0] else f"http://{request.urls[0]}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotOurs
    proof, url = _proof(request, parts)
    if has_secret(url):
        draft.waits("secret", "a secret in the address", "an address is stored in the clear. Change the service so that it takes a header")
        raise NotOurs
    name = _connection(draft, urlsplit(url), proof)
    draft.mapped("command", line.program, "template_type", "a run fails if the answer is not a success, whatever the options say")
    if _is_check(request, url):
        _check(draft, request, url, name)
    else:
        _webhook(draft, request, url, name)
    if request.retries:
        draft.body["retry_policy"] = {"max_retries": min(request.retries, 100)}


def _is_check(request: Request, url: str) -> bool:
    simple = not (request.data or request.headers or request.method not in {"", "GET", "HEAD"})
    return request.head or (simple and _HEALTH.search(urlsplit(url).path[-40:]) is not None)


def _check(draft: Draft, request: Request, url: str, name: str) -> None:
    check: dict[str, Any] = {"url": url, **({"method": "HEAD"} if request.head else {})}
    if request.timeout:
        check["within_seconds"] = min(request.timeout, 300)
    draft.body |= {"template_type": "http_health_check", "parameters": {**({"connection": name} if name else {}), "checks": [check]}}


def _webhook(draft: Draft, request: Request, url: str, name: str) -> None:
    parameters: dict[str, Any] = {
        **({"connection": name} if name else {}),
        "url": url,
        "method": request.method or ("POST" if request.data else "GET"),
    }
    if request.data:
        try:
            parameters["body"] = json.loads("&".join(request.data))
        except ValueError as error:
            raise NotOurs from error
    headers = [
        {"name": key, "value": value} for key, value in request.headers if key.lower() not in {"content-type", "user-agent", "accept"}
    ]
    if any(has_secret(header["value"]) for header in headers):
        raise NotOurs
    if headers:
        parameters["headers"] = headers
    if request.timeout:
        parameters["timeout"] = min(request.timeout, 600)
    if request.follow:
        parameters["follow_redirects"] = True
    if request.insecure:
        parameters["verify_certificate"] = False
    if parameters["method"] not in _METHODS:
        raise NotOurs
    draft.body |= {"template_type": "webhook_trigger", "parameters": parameters}


def _proof(request: Request, parts: Any) -> tuple[dict[str, str], str]:
    """Returns how the call signs in, as settings of a connection without the secret, and the address without it."""
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    url = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    user = request.user or (f"{parts.username}:{parts.password or ''}" if parts.username else "")
    if user:
        return {"proof": "basic", "username": user.partition(":")[0]}, url
    for place, (name, value) in enumerate(request.headers):
        if has_secret(value):
            del request.headers[place]
            bearer = name.lower() == "authorization" and value.lower().startswith("bearer ")
            return ({"proof": "bearer"} if bearer else {"proof": "header", "header": name}), url
    return {}, url


def _connection(draft: Draft, parts: Any, proof: Mapping[str, str]) -> str:
    """Returns the name of a connection, if the call signs in or goes to a private host; else ""."""
    if not proof and not _is_private(parts.hostname):
        return ""
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    settings = {"hosts": [host], "plain": parts.scheme == "http", "proof": "none", **proof}
    words = {"bearer": "the token", "basic": "the password", "header": "the value of the header"}.get(str(settings["proof"]), "")
    return connection(draft, "http", host, settings, secret=words)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost", ".home.arpa", ".intranet"))
