"""The stage of people: accounts, signing in, tokens, preferences."""

from __future__ import annotations

from dataclasses import dataclass

from app.accounts.auditors import Auditors
from app.accounts.model import Role
from app.accounts.passwords import Passwords
from app.accounts.preferences import Preferences
from app.accounts.rates import Rates
from app.accounts.second_factor import SecondFactor
from app.accounts.service import Accounts
from app.accounts.signin import SignIn
from app.accounts.single_signon import RoleRules, SingleSignOn
from app.accounts.throttle import Throttle
from app.accounts.tokens import Tokens
from app.audit.settings import SettingsTrail
from app.config import Settings
from app.factory.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who may sign in, and how."""

    accounts: Accounts
    signin: SignIn
    single_signon: SingleSignOn
    rates: Rates
    tokens: Tokens
    preferences: Preferences
    auditors: Auditors
    settings_trail: SettingsTrail


def build_people(ground: Ground) -> People:
    """Build the stage."""
    settings, stores, audit, clock, database = ground.settings, ground.stores, ground.audit, ground.clock, ground.store.database
    users, sessions, throttle, passwords = stores.users, stores.sessions, Throttle(database), Passwords()
    second = SecondFactor(users, ground.keys)
    accounts = Accounts(users=users, sessions=sessions, passwords=passwords, second=second, throttle=throttle, audit=audit, clock=clock)
    signin = SignIn(
        users=users,
        sessions=sessions,
        throttle=throttle,
        passwords=passwords,
        second=second,
        audit=audit,
        clock=clock,
        keys=ground.keys,
        session_hours=settings.session_hours,
        idle_minutes=settings.session_idle_minutes,
    )
    return People(
        accounts=accounts,
        signin=signin,
        single_signon=SingleSignOn(
            users=users, accounts=accounts, signin=signin, audit=audit, issuer=settings.oidc_issuer, rules=_role_rules(settings)
        ),
        rates=Rates(database, per_minute=settings.api_rate, strangers_per_minute=settings.stranger_rate),
        tokens=Tokens(users, stores.tokens, audit, clock),
        preferences=Preferences(stores.preferences),
        auditors=Auditors(audit),
        settings_trail=SettingsTrail(stores.settings, audit, ground.keys),
    )


def _role_rules(settings: Settings) -> RoleRules:
    default = Role(settings.oidc_default_role) if settings.oidc_default_role else None
    return RoleRules(settings.oidc_role_claim, settings.oidc_roles, default)
