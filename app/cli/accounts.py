"""How commands find the account that an argument names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli.session import cli_actor
from app.errors import JobwrightError

if TYPE_CHECKING:
    from app.accounts.model import User
    from app.services import Services

MOST_NAMED = 10  # accounts that the error message lists


class UnknownAccount(JobwrightError):
    """The registry has no account with this e-mail address."""

    status, title = 404, "Not found"

    def __init__(self, email: str, known: Sequence[str], registry: str) -> None:
        more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
        accounts = f"The accounts are {', '.join(known[:MOST_NAMED])}{more}." if known else "There are no accounts yet."
        super().__init__(f"There is no account {email!r} in {registry}. {accounts}")


def find_account(services: Services, email: str) -> User:
    """Returns the account with this e-mail address, in any case. Raises UnknownAccount."""
    from app.premises import describe_registry  # noqa: PLC0415 - `--help` does without it

    accounts = services.accounts.all(cli_actor())
    account = next((user for user in accounts if user.email == email.strip().lower()), None)
    if account is None:
        raise UnknownAccount(email, [user.email for user in accounts], describe_registry(services.settings))
    return account
