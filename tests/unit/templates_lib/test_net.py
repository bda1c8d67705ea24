"""Which addresses jobs may call."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import httpcore
import pytest

from templates_lib.net import GuardedBackend, TargetRefused, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fc00::1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("100.127.255.255", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("2002:7f00:1::", False),
        ("2001:0:1::", False),
        ("ff02::1", False),
        ("192.0.2.1", False),
    ],
)
def test_which_addresses_are_of_the_internet(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_name_with_one_private_address_is_refused_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lambda address: (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [entry("8.8.8.8"), entry("10.0.0.1")])
    with pytest.raises(TargetRefused, match=r"10\.0\.0\.1"):
        GuardedBackend(()).connect_tcp("rebind.example", 80)
    used: list[str] = []

    class Recording(httpcore.SyncBackend):
        def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
            used.append(host)
            raise httpcore.ConnectError("no")

    backend = GuardedBackend(("rebind.example:80",))
    backend._inner = Recording()
    with pytest.raises(httpcore.ConnectError):
        backend.connect_tcp("rebind.example", 80)
    assert used == ["8.8.8.8", "10.0.0.1"]
    with pytest.raises(TargetRefused):
        backend.connect_unix_socket("/x")
