"""Who may read the metrics."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from app.errors import Forbidden, NotSignedIn
from templates_lib.messages import say

LOOPBACK = ("127.0.0.0/8", "::1/128")


class MetricsAccess:
    """Decides by two settings. With a token, each request must carry it. With networks, each request must come from one of them. With
    neither, only this machine may read the metrics."""

    def __init__(self, *, token: str, networks: Sequence[str]) -> None:
        self._token = token.encode()
        self._networks = [ip_network(text) for text in (networks or (() if token else LOOPBACK))]

    def check(self, *, address: str, authorization: str, forwarded: bool) -> None:
        """Raises Forbidden for an address outside the networks, and NotSignedIn without the token.

        `forwarded` says that the request names another sender than `address`, as a proxy does that no setting knows of. The address proves
        nothing about such a request.
        """
        if self._networks and (forwarded or not self._is_inside(address)):
            if forwarded:
                raise Forbidden(say("The metrics are not open through a proxy that JOBWRIGHT_PROXY_HOPS does not count."))
            raise Forbidden(
                say(
                    "The metrics are not open to {sender}. Add its network to JOBWRIGHT_METRICS_NETWORKS, or set only "
                    "JOBWRIGHT_METRICS_TOKEN.",
                    sender=address or "-",
                )
            )
        scheme, _, token = authorization.partition(" ")
        if self._token and not (scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)):
            raise NotSignedIn("Send the value of JOBWRIGHT_METRICS_TOKEN in the header `Authorization: Bearer …`.")

    def _is_inside(self, address: str) -> bool:
        try:
            sender = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        sender = getattr(sender, "ipv4_mapped", None) or sender
        return any(sender in network for network in self._networks)
