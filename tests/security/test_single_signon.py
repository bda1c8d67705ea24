"""Single sign-on: with a real provider as a process of its own, and with one that lies."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from app.accounts.model import Role
from app.accounts.single_signon import RoleRules, identity_from, role_from
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.config import Settings
from app.errors import ConfigError
from app.factory import Store, build_services, create_app
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.support import PATIENCE_SECONDS, Service, oidc_provider

ROLES = "jobwright-admins=admin,root=super_admin"


# -- a real provider --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with oidc_provider() as address:
        yield address


@pytest.fixture(scope="module")
def service(mongod: str, provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    chosen = {
        "JOBWRIGHT_OIDC_ISSUER": provider,
        "JOBWRIGHT_OIDC_CLIENT_ID": "jobwright",
        "JOBWRIGHT_OIDC_CLIENT_SECRET": "s3cret-of-the-client",
        "JOBWRIGHT_OIDC_NAME": "Example ID",
        "JOBWRIGHT_OIDC_ROLES": ROLES,
    }
    made = Service("web", uri=mongod, database="single_signon", data_dir=tmp_path_factory.mktemp("sso"), **chosen).wait_ready()
    yield made
    assert made.stop() == 0


def person(provider: str, subject: str, **claims: Any) -> None:
    httpx.put(f"{provider}/users/{subject}", json=claims, timeout=PATIENCE_SECONDS).raise_for_status()


@pytest.fixture
def browser(service: Service) -> Iterator[Callable[[], httpx.Client]]:
    """Makes browsers, each with cookies of its own."""
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(httpx.Client(base_url=service.address, timeout=PATIENCE_SECONDS))


def come_in(client: httpx.Client, provider: str, subject: str, *, next: str = "/jobs") -> httpx.Response:
    """As a browser: the button, the provider's form, and back."""
    away = client.get("/sign-in/provider", params={"next": next})
    assert away.status_code == 302
    assert away.headers["location"].startswith(f"{provider}/oauth2/authorize?")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["nonce"]
    assert asked["state"]
    chosen = httpx.post(away.headers["location"], data={"sub": subject}, timeout=PATIENCE_SECONDS)
    assert chosen.headers["location"].startswith(f"{client.base_url}".rstrip("/") + "/sign-in/provider/back?"), chosen.text
    return client.get(chosen.headers["location"])


def test_someone_new_comes_in_with_the_role_of_the_claim(service: Service, provider: str, browser: Callable[[], httpx.Client]) -> None:
    client, client2 = browser(), browser()
    assert "Sign in with Example ID" in httpx.get(f"{service.address}/sign-in").text
    person(provider, "nina-1", email="nina@example.com", email_verified=True, name="Nina", groups=["staff", "jobwright-admins"])
    answer = come_in(client, provider, "nina-1", next="/executions?page=2")
    assert (answer.status_code, answer.headers["location"]) == (302, "/executions?page=2")
    page = client.get("/account").text
    assert "nina@example.com · admin" in page
    assert "You sign in with Example ID" in page
    # Another role at the next sign-in: the session that was open ends, as after every change of a role.
    person(provider, "nina-1", email="nina@example.com", email_verified=True, name="Nina", groups=["root"])
    answer = come_in(client2, provider, "nina-1")
    assert answer.status_code == 302
    assert "nina@example.com · super-admin" in client2.get("/account").text
    assert client.get("/account").status_code == 302
    assert client2.get("/users").status_code == 200
    person(provider, "nina-1", email="nina@example.com", email_verified=True, groups=[])
    answer = come_in(browser(), provider, "nina-1")
    assert answer.status_code == 401
    assert "gives you no role here" in answer.text


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(provider: str, next: str, browser: Callable[[], httpx.Client]) -> None:
    person(provider, "otto-1", email="otto@example.com", email_verified=True, groups=["jobwright-admins"])
    answer = come_in(browser(), provider, "otto-1", next=next)
    assert answer.headers["location"] == "/"


def test_a_code_is_good_once_and_for_the_browser_that_asked(provider: str, browser: Callable[[], httpx.Client]) -> None:
    person(provider, "pia-1", email="pia@example.com", email_verified=True, groups=["jobwright-admins"])
    client, stranger = browser(), browser()
    away = client.get("/sign-in/provider").headers["location"]
    back = httpx.post(away, data={"sub": "pia-1"}, timeout=PATIENCE_SECONDS).headers["location"]
    assert stranger.get(back).status_code == 401  # the link in somebody else's browser: sign-in as another (login CSRF)
    assert stranger.get("/account").status_code == 302
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 401
    assert client.get("/account").status_code == 200  # and whoever is in stays in


def test_who_denies_is_told_and_nothing_is_made(provider: str, browser: Callable[[], httpx.Client]) -> None:
    client = browser()
    away = client.get("/sign-in/provider").headers["location"]
    back = httpx.post(away, data={"sub": "rosa-1", "action": "deny"}, timeout=PATIENCE_SECONDS).headers["location"]
    answer = client.get(back)
    assert answer.status_code == 401
    assert "provider refused the sign-in" in answer.text


# -- one that lies ----------------------------------------------------------------------------------------------------


class Liar:
    """A provider that signs whatever `token` says, and answers the code with it."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "k", "use": "sig", "alg": "RS256"})
        self.forge: Callable[[dict[str, Any]], Any] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.key)
        self.nonce = ""
        self.userinfo: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.status = 200
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(liar.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                if self.path.startswith("/.well-known"):
                    self._answer(
                        {
                            "issuer": liar.address,
                            "authorization_endpoint": f"{liar.address}/auth",
                            "token_endpoint": f"{liar.address}/token",
                            "jwks_uri": f"{liar.address}/jwks",
                            "userinfo_endpoint": f"{liar.address}/userinfo",
                            "id_token_signing_alg_values_supported": ["RS256"],
                            **liar.metadata,
                        }
                    )
                elif self.path == "/jwks":
                    self._answer({"keys": [liar.key.as_dict(private=False)]})
                else:
                    self._answer(liar.userinfo)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                now = int(time.time())
                claims = {
                    "iss": liar.address,
                    "aud": "jobwright",
                    "sub": "s-1",
                    "iat": now,
                    "exp": now + 300,
                    "nonce": liar.nonce,
                    "email": "mia@example.com",
                    "email_verified": True,
                    "groups": ["jobwright-admins"],
                }
                token = {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": liar.sign(liar.forge(claims))}
                self._answer({key: value for key, value in token.items() if value is not None})

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def house(store: Store, settings: Settings, catalogue: Catalogue, liar: Liar) -> Services:
    chosen = {"oidc_issuer": liar.address, "oidc_client_id": "jobwright", "oidc_client_secret": "x", "stranger_rate": 10_000}
    roles = (("jobwright-admins", "admin"), ("root", "super_admin"))
    return build_services(replace(settings, **chosen, oidc_roles=roles), store, catalogue=catalogue)


def attempt(house: Services, liar: Liar) -> tuple[FlaskClient, Any]:
    client = create_app(house).test_client()
    away = client.get("/sign-in/provider")
    assert away.status_code == 302, away.get_data(as_text=True)
    asked = parse_qs(urlsplit(away.headers["Location"]).query)
    liar.nonce = asked["nonce"][0]
    return client, client.get("/sign-in/provider/back", query_string={"code": "c", "state": asked["state"][0]})


def test_the_liar_tells_the_truth(house: Services, liar: Liar) -> None:
    """What the attacks below are measured against."""
    client, answer = attempt(house, liar)
    assert answer.status_code == 302
    assert client.get("/jobs").status_code == 200
    user = next(one for one in house.accounts.all(SYSTEM) if one.email == "mia@example.com")
    assert (user.role, user.password_hash, user.identity) == (Role.ADMIN, "", {"issuer": liar.address, "subject": "s-1"})


ANOTHER = RSAKey.generate_key(2048, {"kid": "k"})
FORGERIES: dict[str, Callable[[Liar], None]] = {
    "another audience": lambda liar: setattr(liar, "forge", lambda c: {**c, "aud": "other-client"}),
    "no audience": lambda liar: setattr(liar, "forge", lambda c: {k: v for k, v in c.items() if k != "aud"}),
    "another issuer": lambda liar: setattr(liar, "forge", lambda c: {**c, "iss": "https://evil.example"}),
    "another nonce": lambda liar: setattr(liar, "forge", lambda c: {**c, "nonce": "n"}),
    "no nonce": lambda liar: setattr(liar, "forge", lambda c: {k: v for k, v in c.items() if k != "nonce"}),
    "expired": lambda liar: setattr(liar, "forge", lambda c: {**c, "exp": c["iat"] - 3600}),
    "no expiry": lambda liar: setattr(liar, "forge", lambda c: {k: v for k, v in c.items() if k != "exp"}),
    "of the future": lambda liar: setattr(liar, "forge", lambda c: {**c, "iat": c["iat"] + 86_400}),
    "no subject": lambda liar: setattr(liar, "forge", lambda c: {k: v for k, v in c.items() if k != "sub"}),
    "another key": lambda liar: setattr(liar, "sign", lambda c: jwt.encode({"alg": "RS256", "kid": "k"}, c, ANOTHER)),
    "a key that nobody has": lambda liar: setattr(liar, "sign", lambda c: jwt.encode({"alg": "RS256", "kid": "z"}, c, ANOTHER)),
    "no signature": lambda liar: setattr(liar, "sign", lambda c: unsigned(c)),
    "the public key as a shared secret": lambda liar: setattr(liar, "sign", lambda c: confused(c, liar)),
    "no token": lambda liar: setattr(liar, "sign", lambda c: None),
    "no JWT": lambda liar: setattr(liar, "sign", lambda c: "not.a.jwt"),
    "an error of the provider": lambda liar: setattr(liar, "forge", lambda c: setattr(liar, "status", 500) or c),
}


def unsigned(claims: dict[str, Any]) -> str:
    import base64

    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def confused(claims: dict[str, Any], liar: Liar) -> str:
    return jwt.encode({"alg": "HS256", "kid": "k"}, claims, OctKey.import_key(liar.key.as_pem(private=False)), algorithms=["HS256"])


@pytest.mark.filterwarnings("ignore")  # joserfc warns of the weak keys that this attack is made of
@pytest.mark.parametrize("name", FORGERIES)
def test_a_token_that_cannot_be_believed_lets_nobody_in(name: str, house: Services, liar: Liar) -> None:
    FORGERIES[name](liar)
    before = len(house.accounts.all(SYSTEM))
    client, answer = attempt(house, liar)
    assert answer.status_code == 401
    assert "failed. Try again" in answer.get_data(as_text=True)
    assert client.get("/jobs").status_code == 302
    assert len(house.accounts.all(SYSTEM)) == before


def test_the_page_about_the_person_is_believed_only_of_the_same_person(house: Services, liar: Liar) -> None:
    liar.forge = lambda claims: {key: value for key, value in claims.items() if key not in {"groups", "email", "email_verified"}}
    liar.userinfo = {"sub": "s-2", "email": "root@example.com", "email_verified": True, "groups": ["root"]}
    assert attempt(house, liar)[1].status_code == 401
    liar.userinfo["sub"] = "s-1"
    assert attempt(house, liar)[1].status_code == 302
    assert [(one.email, one.role) for one in house.accounts.all(SYSTEM)] == [("root@example.com", Role.SUPER_ADMIN)]


def test_a_description_of_another_issuer_is_not_followed(house: Services, liar: Liar) -> None:
    liar.metadata["issuer"] = "https://evil.example"
    answer = create_app(house).test_client().get("/sign-in/provider")
    assert (answer.status_code, "failed. Try again" in answer.get_data(as_text=True)) == (401, True)


def test_a_provider_that_is_away_is_said(house: Services, liar: Liar) -> None:
    liar.server.shutdown()
    liar.server.server_close()
    answer = create_app(house).test_client().get("/sign-in/provider")
    assert (answer.status_code, "failed. Try again" in answer.get_data(as_text=True)) == (401, True)


# -- whose account ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email_verified": False}, "has not verified"),
        ({"email_verified": "true"}, "has not verified"),  # a text is not the truth
        ({"email_verified": None}, "has not verified"),
    ],
)
def test_an_address_that_is_not_verified_takes_no_account(house: Services, liar: Liar, claims: dict[str, Any], words: str) -> None:
    house.accounts.add(SYSTEM, {"email": "mia@example.com", "role": "super_admin"})
    liar.forge = lambda honest: {**honest, **claims}
    answer = attempt(house, liar)[1]
    assert answer.status_code == 401
    assert words in answer.get_data(as_text=True)
    event = house.audit.history(AuditFilter(action="session.refuse"))[0]
    assert (event["outcome"], event["target"]["name"]) == ("refused", "mia@example.com")


def test_an_account_that_is_there_becomes_theirs_once(house: Services, liar: Liar) -> None:
    user, _ = house.accounts.add(SYSTEM, {"email": "mia@example.com", "role": "admin"})
    assert attempt(house, liar)[1].status_code == 302
    assert house.accounts.get(SYSTEM, user.id).identity == {"issuer": liar.address, "subject": "s-1"}
    assert house.audit.history(AuditFilter(action="user.link"))[0]["target"]["id"] == user.id
    liar.forge = lambda claims: {**claims, "sub": "s-2"}  # another person to whom the provider gave the address later
    answer = attempt(house, liar)[1]
    assert (answer.status_code, "belongs to another account" in answer.get_data(as_text=True)) == (401, True)
    liar.forge = lambda claims: {**claims, "email": "moved@example.com"}  # the same person with another address
    assert attempt(house, liar)[1].status_code == 302
    assert [one.email for one in house.accounts.all(SYSTEM)] == ["mia@example.com"]


def test_a_closed_account_and_a_service_stay_outside(house: Services, liar: Liar) -> None:
    user, _ = house.accounts.add(SYSTEM, {"email": "mia@example.com", "role": "admin"})
    house.accounts.change(SYSTEM, user.id, {"disabled": True})
    assert "is closed" in attempt(house, liar)[1].get_data(as_text=True)
    house.accounts.add(SYSTEM, {"email": "bot@example.com", "role": "admin", "kind": "service"})
    liar.forge = lambda claims: {**claims, "sub": "s-9", "email": "bot@example.com"}
    assert "belongs to another account" in attempt(house, liar)[1].get_data(as_text=True)


def test_the_provider_cannot_take_the_last_super_admin_away(house: Services, liar: Liar) -> None:
    user, _ = house.accounts.add(SYSTEM, {"email": "mia@example.com", "role": "super_admin"})
    assert attempt(house, liar)[1].status_code == 302
    assert house.accounts.get(SYSTEM, user.id).role is Role.SUPER_ADMIN
    house.accounts.add(SYSTEM, {"email": "other@example.com", "role": "super_admin"})
    assert attempt(house, liar)[1].status_code == 302
    assert house.accounts.get(SYSTEM, user.id).role is Role.ADMIN


def test_eight_tabs_at_once_make_one_account(house: Services, liar: Liar) -> None:
    from app.accounts.signin import Visitor
    from app.errors import NotSignedIn

    claims = {"sub": "s-1", "email": "mia@example.com", "email_verified": True, "groups": ["jobwright-admins"]}
    barrier, ends = threading.Barrier(8), []

    def tab() -> None:
        barrier.wait()
        try:
            ends.append(bool(house.single_signon.admit(claims, Visitor("192.0.2.1")).secret))
        except NotSignedIn:
            ends.append(False)

    threads = [threading.Thread(target=tab) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(ends)
    assert [one.email for one in house.accounts.all(SYSTEM)] == ["mia@example.com"]


def test_without_rules_of_roles_an_account_keeps_its_own(store: Store, settings: Settings, catalogue: Catalogue, liar: Liar) -> None:
    chosen = {"oidc_issuer": liar.address, "oidc_client_id": "jobwright", "oidc_client_secret": "x"}
    closed = build_services(replace(settings, **chosen), store, catalogue=catalogue)
    assert "There is no account of mia@example.com" in attempt(closed, liar)[1].get_data(as_text=True)
    closed.accounts.add(SYSTEM, {"email": "mia@example.com", "role": "super_admin"})
    assert attempt(closed, liar)[1].status_code == 302
    assert closed.accounts.all(SYSTEM)[0].role is Role.SUPER_ADMIN
    opened = build_services(replace(settings, **chosen, oidc_default_role="admin"), store, catalogue=catalogue)
    liar.forge = lambda claims: {**claims, "sub": "s-2", "email": "new@example.com", "name": "N\x00e\nw" * 100}
    assert attempt(opened, liar)[1].status_code == 302
    made = next(one for one in opened.accounts.all(SYSTEM) if one.email == "new@example.com")
    assert (made.role, len(made.name), made.name.isprintable()) == (Role.ADMIN, 200, True)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, None),
        ({"groups": "jobwright-admins"}, Role.ADMIN),
        ({"groups": ["x", "root", "jobwright-admins"]}, Role.SUPER_ADMIN),
        ({"groups": {"root": True}}, None),
        ({"groups": None}, None),
        ({"groups": 7}, None),
        ({"groups": [["root"]]}, None),
        ({"groups": ["ROOT"]}, None),
        ({"groups": "root "}, None),
    ],
)
def test_roles_of_claims(claims: dict[str, Any], role: Role | None) -> None:
    rules = RoleRules("groups", (("jobwright-admins", "admin"), ("root", "super_admin")), None)
    assert role_from(claims, rules) is role
    assert role_from({"realm_access": {"roles": claims.get("groups")}}, replace(rules, claim="realm_access.roles")) is role
    assert identity_from({"sub": "s", "email": 5, **claims}, "i", rules).email == ""


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"JOBWRIGHT_OIDC_ISSUER": "https://id.example.com"}, "JOBWRIGHT_OIDC_CLIENT_ID"),
        ({"JOBWRIGHT_OIDC_ISSUER": "id.example.com", "JOBWRIGHT_OIDC_CLIENT_ID": "x"}, "JOBWRIGHT_OIDC_ISSUER"),
        ({"JOBWRIGHT_OIDC_ROLES": "root=god"}, "JOBWRIGHT_OIDC_ROLES"),
        ({"JOBWRIGHT_OIDC_ROLES": "=admin"}, "JOBWRIGHT_OIDC_ROLES"),
        ({"JOBWRIGHT_OIDC_DEFAULT_ROLE": "super_admin"}, "JOBWRIGHT_OIDC_DEFAULT_ROLE"),
        ({"JOBWRIGHT_PASSWORD_SIGN_IN": "false"}, "JOBWRIGHT_PASSWORD_SIGN_IN"),
        (
            {"JOBWRIGHT_OIDC_ISSUER": "https://id.example.com", "JOBWRIGHT_OIDC_CLIENT_ID": "x", "JOBWRIGHT_OIDC_SCOPES": "email"},
            "JOBWRIGHT_OIDC_SCOPES",
        ),
    ],
)
def test_settings_that_do_not_fit_together_stop_the_start(chosen: dict[str, str], name: str) -> None:
    from app.config import load_settings

    with pytest.raises(ConfigError, match=name):
        load_settings(chosen)


def test_passwords_can_be_switched_off(store: Store, settings: Settings, catalogue: Catalogue, admin: Actor) -> None:
    off = replace(settings, oidc_issuer="https://id.example.com", oidc_client_id="x", password_sign_in=False)
    client = create_app(build_services(off, store, catalogue=catalogue)).test_client()
    page = client.get("/sign-in").get_data(as_text=True)
    assert 'type="password"' not in page
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    answer = client.post("/sign-in", data={"csrf_token": token, "email": admin.email, "password": "correct horse battery"})
    assert answer.status_code == 403
