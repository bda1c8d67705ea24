"""Who may read the metrics: by token, by network, by both; by default this machine alone."""

from __future__ import annotations

import pytest

from app.errors import Forbidden, NotSignedIn
from app.metrics.access import MetricsAccess

TOKEN = "3f9a1c7e5b2d8f60"
BEARER = f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("token", "networks", "address", "authorization", "refused"),
    [
        ("", (), "127.0.0.1", "", None),
        ("", (), "127.8.8.8", "", None),
        ("", (), "::1", "", None),
        ("", (), "::ffff:127.0.0.1", "", None),
        ("", (), "10.0.0.1", "", Forbidden),
        ("", (), "", "", Forbidden),
        ("", (), "not an address", "", Forbidden),
        ("", ("10.0.0.0/8", "fd00::/8"), "10.9.9.9", "", None),
        ("", ("10.0.0.0/8", "fd00::/8"), "::ffff:10.9.9.9", "", None),
        ("", ("10.0.0.0/8", "fd00::/8"), "fd00::7%eth0", "", None),
        ("", ("10.0.0.0/8", "fd00::/8"), "127.0.0.1", "", Forbidden),
        (TOKEN, (), "192.0.2.1", BEARER, None),
        (TOKEN, (), "192.0.2.1", f"bearer  {TOKEN}", None),
        (TOKEN, (), "127.0.0.1", "", NotSignedIn),
        (TOKEN, (), "192.0.2.1", f"{BEARER}0", NotSignedIn),
        (TOKEN, (), "192.0.2.1", f"Basic {TOKEN}", NotSignedIn),
        (TOKEN, (), "192.0.2.1", "Bearer \u00e9", NotSignedIn),
        (TOKEN, ("10.0.0.0/8",), "10.0.0.1", BEARER, None),
        (TOKEN, ("10.0.0.0/8",), "10.0.0.1", "", NotSignedIn),
        (TOKEN, ("10.0.0.0/8",), "192.0.2.1", BEARER, Forbidden),
    ],
)
def test_access(token: str, networks: tuple[str, ...], address: str, authorization: str, refused: type[Exception] | None) -> None:
    access = MetricsAccess(token=token, networks=networks)
    if refused is None:
        access.check(address=address, authorization=authorization, forwarded=False)
        return
    with pytest.raises(refused) as error:
        access.check(address=address, authorization=authorization, forwarded=False)
    assert TOKEN not in str(error.value)


def test_an_address_proves_nothing_behind_a_proxy_that_no_setting_counts() -> None:
    with pytest.raises(Forbidden):
        MetricsAccess(token="", networks=()).check(address="127.0.0.1", authorization="", forwarded=True)
    MetricsAccess(token=TOKEN, networks=()).check(address="127.0.0.1", authorization=BEARER, forwarded=True)
