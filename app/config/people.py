"""Who may do what: accounts, quotas, sessions and single sign-on."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

from app.config.values import MOST_COUNTED_AN_HOUR, at_least, setting


@dataclass(frozen=True, kw_only=True)
class PeopleSettings:
    """Who may do what: accounts, quotas, sessions and single sign-on."""

    admin_email: str = setting(
        "JOBWRIGHT_ADMIN_EMAIL", "str", "admin@localhost", "E-mail address of the super-admin who is created at the first start"
    )
    admin_password: str = setting(
        "JOBWRIGHT_ADMIN_PASSWORD",
        "str",
        "",
        "Password of the first super-admin. Leave empty to have one generated and printed once.",
        secret=True,
    )
    max_jobs: int = setting("JOBWRIGHT_MAX_JOBS", "int", 100, "Maximum number of jobs", **at_least(1))
    max_jobs_per_creator: int = setting(
        "MAX_SCHEDULES_PER_CREATOR", "int", 1000, "Maximum number of jobs that one person may have created", **at_least(1)
    )
    runs_per_hour: int = setting(
        "JOBWRIGHT_RUNS_PER_HOUR",
        "int",
        10,
        "Number of runs that an admin may start by hand per hour",
        **at_least(1, MOST_COUNTED_AN_HOUR),
    )
    runs_per_hour_super_admin: int = setting(
        "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN",
        "int",
        1000,
        "Number of runs that a super-admin may start by hand per hour",
        **at_least(1, MOST_COUNTED_AN_HOUR),
    )
    dry_runs_per_hour: int = setting(
        "JOBWRIGHT_DRY_RUNS_PER_HOUR",
        "int",
        60,
        "Number of dry runs of unsaved jobs that a person may start per hour",
        **at_least(1, MOST_COUNTED_AN_HOUR),
    )
    strict: bool = setting("JOBWRIGHT_STRICT", "bool", False, "Only super-admins can create jobs")
    approval_days: int = setting("JOBWRIGHT_APPROVAL_DAYS", "int", 7, "Days after which a request for approval expires", **at_least(1, 365))
    session_hours: int = setting("JOBWRIGHT_SESSION_HOURS", "int", 12, "Hours after which a session ends", **at_least(1, 720))
    session_idle_minutes: int = setting(
        "JOBWRIGHT_SESSION_IDLE_MINUTES", "int", 120, "Minutes without a request after which a session ends", **at_least(1, 43_200)
    )
    secure_cookies: bool = setting(
        "JOBWRIGHT_SECURE_COOKIES", "bool", False, "Send cookies over TLS only. On by default if JOBWRIGHT_PUBLIC_URL begins with https."
    )
    password_sign_in: bool = setting(
        "JOBWRIGHT_PASSWORD_SIGN_IN",
        "bool",
        True,
        "Allow sign-in with a password. Switch it off if everybody signs in through single sign-on.",
    )
    oidc_issuer: str = setting(
        "JOBWRIGHT_OIDC_ISSUER", "str", "", "Address (issuer) of the OpenID Connect provider, exactly as the provider states it"
    )
    oidc_client_id: str = setting("JOBWRIGHT_OIDC_CLIENT_ID", "str", "", "Client id of Jobwright at the provider")
    oidc_client_secret: str = setting(
        "JOBWRIGHT_OIDC_CLIENT_SECRET",
        "str",
        "",
        "Client secret of Jobwright at the provider. Leave empty for a public client; PKCE is always used.",
        secret=True,
    )
    oidc_name: str = setting("JOBWRIGHT_OIDC_NAME", "str", "single sign-on", 'Name of the provider on the button "Sign in with …"')
    oidc_scopes: str = setting("JOBWRIGHT_OIDC_SCOPES", "str", "openid email profile", "Scopes to request from the provider")
    oidc_role_claim: str = setting(
        "JOBWRIGHT_OIDC_ROLE_CLAIM",
        "str",
        "groups",
        "Claim that contains the role, as a text or a list. Dots separate nested names, as in `realm_access.roles`.",
    )
    oidc_roles: tuple[tuple[str, str], ...] = setting(
        "JOBWRIGHT_OIDC_ROLES",
        "roles",
        (),
        "Role for each value of the claim, as `value=role`, separated by commas, applied at every sign-in. "
        "Leave empty to keep the roles of accounts.",
    )
    oidc_default_role: str = setting(
        "JOBWRIGHT_OIDC_DEFAULT_ROLE",
        "str",
        "",
        "Role of people without a matching claim: user or admin. Leave empty to refuse them.",
        validate=OneOf(["", "user", "admin"]),
    )
