"""Accounts, sign-in, sessions, tokens: who gets in, and who does not."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser
from werkzeug.test import TestResponse

from app.accounts.model import Role, Scope
from app.accounts.passwords import Passwords
from app.accounts.signin import SignedIn, Visitor
from app.accounts.store import UserStore
from app.accounts.throttle import ACCOUNT, PAIR, Throttle, network_of
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, Forbidden, JobwrightError, LimitReached, NotFound, NotSignedIn, StaleVersion, ValidationFailed
from app.factory import Store, build_services, create_app
from app.mongo import connect
from app.services import Services
from tests.commands import jobwright
from tests.conftest import START, Api, csrf
from tests.posting import post as fill
from tests.posting import text
from tests.support import PASSWORD

HOME = Visitor("192.0.2.7", "Firefox")
ELSEWHERE = Visitor("198.51.100.9", "curl")
OTHER = "violet anchor gravel summer"


def web(actor: Actor) -> Actor:
    """The same person, at a browser."""
    return replace(actor, via="web")


def own(services: Services, signed: SignedIn) -> Actor:
    return services.signin.by_session(signed.secret, address="192.0.2.7")


def refused(call: Callable[[], Any]) -> str:
    """The kind of error that a call ends with."""
    try:
        call()
    except JobwrightError as error:
        return type(error).__name__
    return "nothing"


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password", ["", "short", "password1234", "aaaaaaaaaaaaaaaa", "adaadaadaada", "jobwright2026", "qwertyuiop123", "x" * 1025]
)
def test_a_password_that_is_easy_to_guess_is_refused_with_what_to_do(password: str) -> None:
    found = Passwords().problems(password, known=("ada@example.com", "Ada"))
    assert len(found) == 1
    assert found[0].message


@pytest.mark.parametrize(
    "password", [PASSWORD, OTHER, "correct-horse-battery-staple" * 30, "ж" * 3 + "лошадь батарея скрепка", "🐎 sattelt 🔋 morgens"]
)
def test_a_password_of_any_letters_is_taken(password: str) -> None:
    passwords = Passwords()
    assert passwords.problems(password, known=("ada@example.com", "Ada")) == []
    assert passwords.verify(passwords.hash(password), password)
    assert not passwords.verify(passwords.hash(password), password + "x")
    assert not passwords.verify("", password)
    assert not passwords.verify("no hash", password)


# -- guessing ---------------------------------------------------------------------------------------------------------


def test_guesses_are_slowed_down_and_a_wait_grows(services: Services, admin: Actor, clock: ManualClock) -> None:
    waits: list[int] = []
    for _ in range(4):
        while refused(lambda: services.signin.with_password(admin.email, "wrong", HOME)) == "NotSignedIn":
            pass
        with pytest.raises(LimitReached) as limit:
            services.signin.with_password(admin.email, PASSWORD, HOME)  # even the right one waits
        waits.append(limit.value.retry_after_seconds or 0)
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8]
    assert services.signin.with_password(admin.email, PASSWORD, HOME).secret
    assert refused(lambda: services.signin.with_password(admin.email, "wrong", HOME)) == "NotSignedIn"  # it counts from nothing again


def test_twenty_five_guesses_at_once_are_no_more_than_the_bound(services: Services, admin: Actor, store: Store) -> None:
    told: list[str] = []
    barrier = threading.Barrier(25)

    def guess() -> None:
        barrier.wait()
        told.append(refused(lambda: services.signin.with_password(admin.email, "wrong", HOME)))

    threads = [threading.Thread(target=guess) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("NotSignedIn") == PAIR.free
    assert told.count("LimitReached") == 25 - PAIR.free


def test_nobody_can_lock_an_owner_out(services: Services, admin: Actor) -> None:
    device = services.signin.with_password(admin.email, PASSWORD, HOME).device
    for n in range(ACCOUNT.free + 5):  # from many places: more than any of them alone may
        refused(lambda n=n: services.signin.with_password(admin.email, "wrong", Visitor(f"203.0.113.{n}")))
    assert refused(lambda: services.signin.with_password(admin.email, PASSWORD, Visitor("192.0.2.8"))) == "LimitReached"
    at_home = replace(HOME, device=device)
    assert services.signin.with_password(admin.email, PASSWORD, at_home).secret


@pytest.mark.parametrize("forged", ["", ".", "a.b", "nonce." + "0" * 64, "x" * 5000, "é.é"])
def test_a_device_mark_that_is_not_ours_is_worth_nothing(services: Services, admin: Actor, super_admin: Actor, forged: str) -> None:
    others = services.signin.with_password(super_admin.email, PASSWORD, HOME).device  # good for another account
    for device in (forged, others):
        while (
            refused(lambda device=device: services.signin.with_password(admin.email, "wrong", replace(ELSEWHERE, device=device)))
            == "NotSignedIn"
        ):
            pass
        assert (
            refused(lambda device=device: services.signin.with_password(admin.email, PASSWORD, replace(ELSEWHERE, device=device)))
            == "LimitReached"
        )


def test_an_answer_does_not_say_whether_an_account_is_there(services: Services, admin: Actor, super_admin: Actor) -> None:
    service, _ = services.accounts.add(super_admin, {"email": "robot@example.com", "role": "admin", "kind": "service"})
    closed, _ = services.accounts.add(super_admin, {"email": "closed@example.com", "role": "admin"})
    services.accounts.change(super_admin, closed.id, {"disabled": True})
    said = set()
    for email in (admin.email, "nobody@example.com", service.email, closed.email, "", "x" * 10_000, "a\x00b@example.com"):
        with pytest.raises(NotSignedIn) as error:
            services.signin.with_password(email, "wrong password", HOME if len(said) < 3 else ELSEWHERE)
        said.add(str(error.value))
    assert len(said) == 1


def test_sign_ins_and_refusals_are_in_the_trail_and_what_was_typed_is_not(services: Services, super_admin: Actor, admin: Actor) -> None:
    services.signin.with_password(admin.email, PASSWORD, HOME)
    refused(lambda: services.signin.with_password(admin.email, "canary-guess", HOME))
    refused(lambda: services.signin.with_password("canary-guess", "x", HOME))
    events = services.audit.history(AuditFilter(action="session"))
    assert [(event["action"], event["outcome"], event["target"]["name"]) for event in events] == [
        ("session.refuse", "refused", ""),
        ("session.refuse", "refused", admin.email),
        ("session.start", "done", admin.email),
    ]
    assert all(event["address"] == HOME.address for event in events)
    assert "canary-guess" not in str(events)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("x" * 99, "x" * 64),
    ],
)
def test_one_network_is_one_place(address: str, place: str) -> None:
    assert network_of(address) == place


def test_a_wait_has_an_end_however_many_the_attempts(store: Store) -> None:
    throttle = Throttle(store.database)
    store.database["sign_in_attempts"].insert_one({"_id": "pair:x", "count": 10_000_000})
    throttle.take(PAIR, "x", START)
    with pytest.raises(LimitReached) as limit:
        throttle.take(PAIR, "x", START)
    assert limit.value.retry_after_seconds == PAIR.longest_seconds


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_ends_by_age_and_by_idleness(services: Services, admin: Actor, clock: ManualClock) -> None:
    signed = services.signin.with_password(admin.email, PASSWORD, HOME)
    for _ in range(7):
        clock.advance(100 * 60)
        assert own(services, signed).email == admin.email  # in use
    clock.advance(30 * 60)
    assert refused(lambda: own(services, signed)) == "NotSignedIn"  # 12 h are over
    fresh = services.signin.with_password(admin.email, PASSWORD, HOME)
    clock.advance(121 * 60)
    assert refused(lambda: own(services, fresh)) == "NotSignedIn"
    assert refused(lambda: own(services, fresh)) == "NotSignedIn"  # and stays so


def test_ones_own_sessions_are_listed_and_ended(services: Services, admin: Actor, super_admin: Actor) -> None:
    here, there = (services.signin.with_password(admin.email, PASSWORD, where) for where in (HOME, ELSEWHERE))
    others = services.signin.with_password(super_admin.email, PASSWORD, HOME)
    me = own(services, here)
    rows = services.signin.sessions(me, here.secret)
    assert sorted((row["address"], row["agent"], row["current"]) for row in rows) == [
        ("192.0.2.7", "Firefox", True),
        ("198.51.100.9", "curl", False),
    ]
    assert here.secret not in str(rows)
    foreign = services.signin.sessions(own(services, others), others.secret)[0]["handle"]
    assert services.signin.end(me, foreign) == 0
    assert own(services, others)
    handle = next(row["handle"] for row in rows if not row["current"])
    assert services.signin.end(me, handle) == 1
    assert refused(lambda: own(services, there)) == "NotSignedIn"
    assert own(services, here)


def test_another_password_ends_every_other_session(services: Services, admin: Actor) -> None:
    here, there = (services.signin.with_password(admin.email, PASSWORD, where) for where in (HOME, ELSEWHERE))
    me = own(services, here)
    with pytest.raises(ValidationFailed, match="not your password"):
        services.accounts.change_password(me, old="wrong", new=OTHER, keep=here.secret)
    with pytest.raises(ValidationFailed, match="/new"):
        services.accounts.change_password(me, old=PASSWORD, new="password1234", keep=here.secret)
    assert services.accounts.change_password(me, old=PASSWORD, new=OTHER, keep=here.secret) == 1
    fresh = services.signin.renew(me, here.secret)
    assert services.signin.by_session(fresh, address=HOME.address).email == admin.email
    assert refused(lambda: own(services, here)) == "NotSignedIn", "a copy of the cookie is good for nothing"
    assert refused(lambda: services.signin.renew(me, here.secret)) == "NotSignedIn"
    assert refused(lambda: own(services, there)) == "NotSignedIn"
    assert refused(lambda: services.signin.with_password(admin.email, PASSWORD, HOME)) == "NotSignedIn"
    assert services.signin.with_password(admin.email, OTHER, HOME).secret


CHANGES: dict[str, Callable[[Services, Actor, Actor, ManualClock], object]] = {
    "another role": lambda s, boss, who, clock: s.accounts.change(boss, who.id, {"role": "super_admin"}),
    "closed": lambda s, boss, who, clock: s.accounts.change(boss, who.id, {"disabled": True}),
    "closed and opened": lambda s, boss, who, clock: [s.accounts.change(boss, who.id, {"disabled": one}) for one in (True, False)],
    "another role and back": lambda s, boss, who, clock: [s.accounts.change(boss, who.id, {"role": one}) for one in ("user", "admin")],
    "password by a link": lambda s, boss, who, clock: s.accounts.finish_reset(s.accounts.start_reset(boss, who.id), OTHER),
    "second factor": lambda s, boss, who, clock: with_factor(s, who, clock),
    "no second factor": lambda s, boss, who, clock: (
        with_factor(s, who, clock),
        s.accounts.drop_second_factor(web(who), password=PASSWORD),
    ),
    "second factor taken away": lambda s, boss, who, clock: (with_factor(s, who, clock), s.accounts.remove_second_factor(boss, who.id)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_session_outlives_a_change_of_how_an_account_is_proved_or_of_what_it_may(
    services: Services, store: Store, admin: Actor, super_admin: Actor, clock: ManualClock, change: str
) -> None:
    """Also one that was being opened meanwhile, whose record comes after the others were removed."""
    sessions = store.database["sessions"]
    before = services.signin.with_password(admin.email, PASSWORD, HOME)
    row = sessions.find_one({"user_id": admin.id})
    CHANGES[change](services, super_admin, admin, clock)
    assert refused(lambda: own(services, before)) == "NotSignedIn"
    sessions.delete_many({"user_id": admin.id})
    sessions.insert_one(dict(row or {}))
    assert refused(lambda: own(services, before)) == "NotSignedIn"
    assert sessions.count_documents({"user_id": admin.id}) == 0 or change.startswith("closed")


def test_a_code_is_not_taken_after_the_password_was_changed(
    services: Services, admin: Actor, super_admin: Actor, clock: ManualClock
) -> None:
    secret, _ = with_factor(services, admin, clock)
    half = services.signin.with_password(admin.email, PASSWORD, HOME)
    link = services.accounts.start_reset(super_admin, admin.id)
    services.accounts.finish_reset(link, OTHER)
    assert refused(lambda: services.signin.with_code(half.secret, pyotp.TOTP(secret).at(clock.now()), HOME)) == "NotSignedIn"


def cookie_of(client: FlaskClient) -> str:
    found = client.get_cookie("jobwright_session")
    assert found is not None
    return found.value


def copied(app: Flask, client: FlaskClient) -> FlaskClient:
    """A browser into which the session's cookie was copied."""
    thief = app.test_client()
    thief.set_cookie("jobwright_session", cookie_of(client))
    assert thief.get("/account").status_code == 200
    return thief


def own_post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    return client.post(path, data={"csrf_token": csrf(client.get("/account").text), **form})


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/account/password", {"old": PASSWORD, "new": OTHER}),
        ("/account/sessions/end", {}),
        ("/sign-out", {}),
    ],
)
def test_a_copied_cookie_ends_with_the_session_it_was_copied_from(
    app: Flask, browser_client: FlaskClient, path: str, form: dict[str, str]
) -> None:
    thief, old_form = copied(app, browser_client), csrf(browser_client.get("/account").text)
    assert own_post(browser_client, path, **form).status_code == 302
    assert thief.get("/account").status_code == 302, "to the sign-in"
    if path != "/sign-out":
        page = browser_client.get("/account")
        assert page.status_code == 200, "who changed it goes on"
        assert csrf(page.text) != old_form
        assert browser_client.post("/account/sessions/end", data={"csrf_token": old_form}).status_code == 400


def test_a_copied_cookie_ends_when_its_owner_signs_in_again(app: Flask, browser_client: FlaskClient, super_admin: Actor) -> None:
    thief = copied(app, browser_client)
    page = browser_client.get("/sign-in").text
    form = {"csrf_token": csrf(page), "email": super_admin.email, "password": PASSWORD}
    assert browser_client.post("/sign-in", data=form).status_code == 302
    assert browser_client.get("/account").status_code == 200
    assert thief.get("/account").status_code == 302


def test_a_password_that_is_hashed_anew_does_not_undo_a_change(services: Services, store: Store, admin: Actor, super_admin: Actor) -> None:
    users = UserStore(store.database)
    before = users.get(admin.id)
    assert before is not None
    services.accounts.finish_reset(services.accounts.start_reset(super_admin, admin.id), OTHER)
    users.rehash(before, "the old password by another hash")
    assert services.signin.with_password(admin.email, OTHER, HOME).secret


def test_who_sits_at_an_open_session_cannot_guess_the_password(services: Services, admin: Actor) -> None:
    here = services.signin.with_password(admin.email, PASSWORD, HOME)
    me = own(services, here)
    told = [refused(lambda: services.accounts.change_password(me, old="wrong", new=OTHER, keep=here.secret)) for _ in range(12)]
    assert told.count("ValidationFailed") == 10
    assert told[-1] == "LimitReached"


# -- second factor ----------------------------------------------------------------------------------------------------


def with_factor(services: Services, actor: Actor, clock: ManualClock) -> tuple[str, list[str]]:
    """The secret and the recovery codes of a second factor that is on."""
    offer = services.accounts.offer_second_factor(web(actor))
    codes = services.accounts.confirm_second_factor(
        web(actor), password=PASSWORD, secret=offer.secret, code=pyotp.TOTP(offer.secret).at(clock.now())
    )
    clock.advance(60)
    return offer.secret, codes


def test_with_a_second_factor_the_password_alone_is_good_for_nothing(services: Services, admin: Actor, clock: ManualClock) -> None:
    secret, _ = with_factor(services, admin, clock)
    half = services.signin.with_password(admin.email, PASSWORD, HOME)
    assert half.needs_code
    assert refused(lambda: own(services, half)) == "NotSignedIn"
    assert refused(lambda: services.signin.with_code(half.secret, "000000", HOME)) == "NotSignedIn"
    code = pyotp.TOTP(secret).at(clock.now())
    signed = services.signin.with_code(half.secret, f" {code[:3]} {code[3:]} ", HOME)
    assert own(services, signed).email == admin.email
    again = services.signin.with_password(admin.email, PASSWORD, HOME)
    assert refused(lambda: services.signin.with_code(again.secret, code, HOME)) == "NotSignedIn"  # a code is good once
    assert refused(lambda: services.signin.with_code(half.secret, code, HOME)) == "NotSignedIn"
    assert refused(lambda: services.signin.with_code(signed.secret, code, HOME)) == "NotSignedIn"


def test_the_time_for_the_code_is_short(services: Services, admin: Actor, clock: ManualClock) -> None:
    secret, _ = with_factor(services, admin, clock)
    half = services.signin.with_password(admin.email, PASSWORD, HOME)
    clock.advance(301)
    with pytest.raises(NotSignedIn, match="too long"):
        services.signin.with_code(half.secret, pyotp.TOTP(secret).at(clock.now()), HOME)


def test_a_code_used_twice_at_once_lets_one_in(services: Services, admin: Actor, clock: ManualClock) -> None:
    secret, codes = with_factor(services, admin, clock)
    for code in (pyotp.TOTP(secret).at(clock.now()), codes[0]):
        halves = [services.signin.with_password(admin.email, PASSWORD, Visitor(f"203.0.113.{n}")) for n in range(5)]
        told: list[str] = []
        barrier = threading.Barrier(5)

        def send(
            n: int, code: str = code, halves: list[SignedIn] = halves, told: list[str] = told, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait()
            told.append(refused(lambda: services.signin.with_code(halves[n].secret, code, Visitor(f"203.0.113.{n}"))))

        threads = [threading.Thread(target=send, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told.count("nothing") == 1


def test_codes_cannot_be_guessed_in_a_row(services: Services, admin: Actor, clock: ManualClock) -> None:
    with_factor(services, admin, clock)
    half = services.signin.with_password(admin.email, PASSWORD, HOME)
    told = [refused(lambda n=n: services.signin.with_code(half.secret, f"{n:06}", HOME)) for n in range(8)]
    assert told == ["NotSignedIn"] * PAIR.free + ["LimitReached"] * (8 - PAIR.free)


@pytest.mark.parametrize("code", ["", " ", "12345", "1234567", "١٢٣٤٥٦", "0" * 10_000, "abcde-fghjk", "\x00"])
def test_odd_codes_are_wrong_codes(services: Services, admin: Actor, clock: ManualClock, code: str) -> None:
    with_factor(services, admin, clock)
    half = services.signin.with_password(admin.email, PASSWORD, HOME)
    assert refused(lambda: services.signin.with_code(half.secret, code, HOME)) == "NotSignedIn"


def test_a_factor_is_on_only_with_a_code_and_off_only_with_the_password(
    services: Services, admin: Actor, clock: ManualClock, store: Store
) -> None:
    offer = services.accounts.offer_second_factor(web(admin))
    for password, secret, code, field in (
        ("wrong", offer.secret, pyotp.TOTP(offer.secret).at(clock.now()), "/old"),
        (PASSWORD, offer.secret, "000000", "/code"),
        (PASSWORD, "no base32!", "000000", "/code"),
        (PASSWORD, "", "", "/code"),
    ):
        with pytest.raises(ValidationFailed, match=field):
            services.accounts.confirm_second_factor(web(admin), password=password, secret=secret, code=code)
    secret, codes = with_factor(services, admin, clock)
    stored = str(store.database["users"].find_one({"email": admin.email}))
    assert secret not in stored
    assert not any(code in stored for code in codes)
    with pytest.raises(ValidationFailed, match="/old"):
        services.accounts.drop_second_factor(web(admin), password="wrong")
    services.accounts.drop_second_factor(web(admin), password=PASSWORD)
    assert not services.signin.with_password(admin.email, PASSWORD, HOME).needs_code


def test_a_super_admin_helps_who_lost_the_factor(services: Services, admin: Actor, super_admin: Actor, clock: ManualClock) -> None:
    with_factor(services, admin, clock)
    services.accounts.remove_second_factor(super_admin, admin.id)
    assert not services.signin.with_password(admin.email, PASSWORD, HOME).needs_code


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_a_new_person_sets_the_password_on_a_link_that_is_good_once(services: Services, super_admin: Actor, clock: ManualClock) -> None:
    user, secret = services.accounts.add(super_admin, {"email": "New@Example.com", "role": "admin"})
    assert secret is not None
    assert user.email == "new@example.com"
    assert refused(lambda: services.signin.with_password(user.email, "", HOME)) == "NotSignedIn"
    with pytest.raises(ValidationFailed):
        services.accounts.finish_reset(secret, "password1234")
    told: list[str] = []
    barrier = threading.Barrier(5)

    def use() -> None:
        barrier.wait()
        told.append(refused(lambda: services.accounts.finish_reset(secret, OTHER)))

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["NotFound"] * 4 + ["nothing"]
    assert services.signin.with_password(user.email, OTHER, HOME).secret
    late = services.accounts.start_reset(super_admin, user.id)
    clock.advance(86_401)
    assert services.accounts.whose_reset(late) is None
    first, second = services.accounts.start_reset(super_admin, user.id), services.accounts.start_reset(super_admin, user.id)
    assert services.accounts.whose_reset(first) is None  # a newer link takes its place
    assert services.accounts.whose_reset(second)


def test_what_an_account_loses_it_loses_at_once(services: Services, app: Flask, super_admin: Actor, admin: Actor) -> None:
    token = Api(app, services.tokens.create(SYSTEM, email=admin.email, name="t"))
    signed = services.signin.with_password(admin.email, PASSWORD, HOME)
    assert token("GET", "/api/admin/scheduler-jobs").status_code == 200
    services.accounts.change(super_admin, admin.id, {"role": "user"})
    assert token("GET", "/api/admin/scheduler-jobs").status_code == 403
    assert refused(lambda: own(services, signed)) == "NotSignedIn"
    services.accounts.change(super_admin, admin.id, {"role": "super_admin"})
    assert token("GET", "/api/admin/users").status_code == 200
    services.accounts.change(super_admin, admin.id, {"disabled": True})
    assert token("GET", "/api/admin/scheduler-jobs").status_code == 401
    assert refused(lambda: services.signin.with_password(admin.email, PASSWORD, HOME)) == "NotSignedIn"


def test_there_is_always_a_super_admin(services: Services, super_admin: Actor) -> None:
    services.accounts.add(super_admin, {"email": "robot@example.com", "role": "super_admin", "kind": "service"})
    for change in ({"role": "admin"}, {"disabled": True}):
        with pytest.raises(Conflict, match="last super-admin"):
            services.accounts.change(super_admin, super_admin.id, change)
    services.accounts.add(super_admin, {"email": "second@example.com", "role": "super_admin"})
    assert services.accounts.change(super_admin, super_admin.id, {"role": "admin"}).role is Role.ADMIN


def test_two_who_take_the_role_from_each_other_leave_one(services: Services, super_admin: Actor) -> None:
    for n in range(10):
        other, _ = services.accounts.add(super_admin, {"email": f"other{n}@example.com", "role": "super_admin"})
        second = Actor(id=other.id, email=other.email, role="super_admin", via="api")
        barrier = threading.Barrier(2)
        told: list[str] = []

        def take(who: Actor, whose: str, barrier: threading.Barrier = barrier, told: list[str] = told) -> None:
            barrier.wait()
            told.append(refused(lambda: services.accounts.change(who, whose, {"role": "admin"})))

        pair = ((super_admin, other.id), (second, super_admin.id))
        threads = [threading.Thread(target=take, args=one) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        left = [user for user in services.accounts.all(SYSTEM) if user.role is Role.SUPER_ADMIN]
        assert left, told
        for user in services.accounts.all(SYSTEM):  # as it was
            wanted = "super_admin" if user.id == super_admin.id else "admin"
            if wanted == "super_admin":
                services.accounts.change(SYSTEM, user.id, {"role": wanted})
        for user in services.accounts.all(SYSTEM):
            if user.id != super_admin.id:
                services.accounts.change(SYSTEM, user.id, {"role": "admin"})


def test_of_two_changes_at_once_one_is_told(services: Services, super_admin: Actor, admin: Actor) -> None:
    before = services.accounts.get(super_admin, admin.id)
    services.accounts.change(super_admin, admin.id, {"name": "Ada L."}, version=before.version)
    with pytest.raises(StaleVersion):
        services.accounts.change(super_admin, admin.id, {"role": "user"}, version=before.version)
    assert services.accounts.get(super_admin, admin.id).role is Role.ADMIN


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "x", "role": "admin"}, "/email"),
        ({"email": "a@example.com"}, "/role"),
        ({"email": "a@example.com", "role": "root"}, "/role"),
        ({"email": "a@example.com", "role": "admin", "disabled": True}, "/disabled"),
        ({"email": "a@example.com", "role": "admin", "password_hash": "x"}, "/password_hash"),
        ({"email": "a@example.com\r\nBcc: b@example.com", "role": "admin"}, "/email"),
        ({"email": {"$ne": 1}, "role": "admin"}, "/email"),
        ([], ""),
        ({"email": "a@example.com", "role": "admin", "name": "a\nb"}, "/name"),
    ],
)
def test_a_bad_account_is_refused_at_its_field(api: Api, body: Any, pointer: str) -> None:
    answer = api("POST", "/api/admin/users", body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json["errors"]]


def test_accounts_are_a_super_admins(services: Services, admin: Actor, super_admin: Actor, admin_api: Api) -> None:
    for call in (
        lambda: services.accounts.all(admin),
        lambda: services.accounts.add(admin, {"email": "a@example.com", "role": "super_admin"}),
        lambda: services.accounts.get(admin, super_admin.id),
        lambda: services.accounts.change(admin, admin.id, {"role": "super_admin"}),
        lambda: services.accounts.start_reset(admin, super_admin.id),
        lambda: services.accounts.remove_second_factor(admin, super_admin.id),
    ):
        with pytest.raises(Forbidden):
            call()
    assert admin_api("GET", "/api/admin/users").status_code == 403


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_is_listed_rotated_and_revoked(api: Api, app: Flask, admin: Actor, clock: ManualClock) -> None:
    made = api("POST", f"/api/admin/users/{admin.id}/tokens", {"name": "ci", "scopes": ["read"], "days": 1})
    assert made.status_code == 201
    text, token = made.json["text"], made.json["token"]
    assert token["prefix"] == text[:8]
    reader = Api(app, text)
    assert reader("GET", "/api/admin/scheduler-jobs").status_code == 200
    assert reader("POST", "/api/admin/scheduler-jobs", {}).status_code == 403
    listed = api("GET", f"/api/admin/users/{admin.id}/tokens")
    assert [row["name"] for row in listed.json["tokens"]] == ["ci"]
    assert listed.json["tokens"][0]["last_used_at"]
    assert text not in listed.text
    assert "hash" not in listed.json["tokens"][0]
    rotated = api("POST", f"/api/admin/tokens/{token['_id']}/rotate").json["text"]
    assert reader("GET", "/api/admin/scheduler-jobs").status_code == 401
    assert Api(app, rotated)("GET", "/api/admin/scheduler-jobs").status_code == 200
    clock.advance(86_400)
    assert Api(app, rotated)("GET", "/api/admin/scheduler-jobs").status_code == 401  # a rotation does not lengthen it
    assert api("DELETE", f"/api/admin/tokens/{token['_id']}").status_code == 200
    assert api("POST", f"/api/admin/tokens/{token['_id']}/rotate").status_code == 409


def test_a_token_never_has_more_than_its_owner(api: Api, services: Services, app: Flask, admin: Actor) -> None:
    refused_body = api("POST", f"/api/admin/users/{admin.id}/tokens", {"name": "t", "scopes": ["admin"]})
    assert (refused_body.status_code, refused_body.json["errors"][0]["pointer"]) == (422, "/scopes")
    everything = Api(app, services.tokens.create(SYSTEM, email=admin.email, name="t", scopes=tuple(Scope)))
    assert everything("GET", "/api/admin/users").status_code == 403


def test_no_token_changes_its_owners_account_and_nobody_sees_anothers_tokens(
    services: Services, admin: Actor, super_admin: Actor, admin_api: Api
) -> None:
    theirs = services.tokens.request(web(super_admin), super_admin.id, {"name": "own", "scopes": ["read"]})[1]
    for call in (
        lambda: services.tokens.all(web(admin)),
        lambda: services.tokens.all(web(admin), super_admin.id),
        lambda: services.tokens.request(web(admin), super_admin.id, {"name": "x", "scopes": ["read"]}),
    ):
        with pytest.raises(Forbidden):
            call()
    with pytest.raises(NotFound):
        services.tokens.revoke(web(admin), theirs["_id"])
    by_token = replace(admin, scopes=frozenset(Scope))
    with pytest.raises(Forbidden):
        services.accounts.change_password(by_token, old=PASSWORD, new=OTHER, keep="")
    with pytest.raises(Forbidden):
        services.tokens.request(by_token, admin.id, {"name": "x", "scopes": ["read"]})
    with pytest.raises(Forbidden):
        services.accounts.offer_second_factor(by_token)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["all"]},
        {"name": " ", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "days": 0},
        {"name": "x", "scopes": ["read"], "days": 10**9},
        {"name": "x", "scopes": ["read"], "user_id": "other"},
        {"name": "x", "scopes": ["read", "read"]},
    ],
)
def test_a_bad_token_is_refused(api: Api, admin: Actor, body: dict[str, Any]) -> None:
    assert api("POST", f"/api/admin/users/{admin.id}/tokens", body).status_code == 422


# -- pages ------------------------------------------------------------------------------------------------------------


def signed_in(app: Flask, email: str, password: str = PASSWORD) -> FlaskClient:
    client = app.test_client()
    page = client.get("/sign-in").get_data(as_text=True)
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": email, "password": password})
    return client


def post(client: FlaskClient, at: str, path: str, **fields: str) -> Any:
    return client.post(path, data={"csrf_token": csrf(client.get(at).get_data(as_text=True)), **fields})


def test_from_an_invitation_to_a_second_factor_on_the_pages(
    app: Flask, browser_client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    made = text(fill(browser_client, "/users/new", {"/email": "eve@example.com"}))
    link = re.search(r"http://[^<]+(/reset/[\w-]+)", made)
    assert link is not None
    visitor = app.test_client()
    assert "too easy" in post(visitor, link[1], link[1], new="password1234").get_data(as_text=True)
    assert post(visitor, link[1], link[1], new=OTHER).status_code == 302
    assert visitor.get(link[1]).status_code == 404
    eve = signed_in(app, "eve@example.com", OTHER)
    assert eve.get("/jobs").status_code == 200
    page = eve.get("/account/second-factor").get_data(as_text=True)
    secret = re.search(r'name="secret" value="(\w+)"', page)[1]  # type: ignore[index]
    form = {"csrf_token": csrf(page), "secret": secret, "old": OTHER, "code": pyotp.TOTP(secret).at(clock.now())}
    codes = re.findall(r'<code class="secret">([\w-]+)</code>', eve.post("/account/second-factor", data=form).get_data(as_text=True))
    assert len(codes) == 10
    again = signed_in(app, "eve@example.com", OTHER)
    assert again.get("/jobs").status_code == 302
    assert post(again, "/sign-in/code", "/sign-in/code", code="000000").status_code == 401
    assert post(again, "/sign-in/code", "/sign-in/code", code=codes[0], next="/account").headers["Location"] == "/account"
    assert "9 recovery codes" in again.get("/account").get_data(as_text=True)


def test_the_account_page_changes_the_password_and_ends_sessions(app: Flask, admin: Actor, services: Services) -> None:
    client, other = signed_in(app, admin.email), signed_in(app, admin.email)
    wrong = post(client, "/account", "/account/password", old="x", new=OTHER)
    assert (wrong.status_code, "is not your password" in wrong.get_data(as_text=True)) == (422, True)
    assert post(client, "/account", "/account/password", old=PASSWORD, new=OTHER).status_code == 302
    assert "1 other session has ended" in client.get("/account").get_data(as_text=True)
    assert other.get("/jobs").status_code == 302
    third = signed_in(app, admin.email, OTHER)
    assert post(client, "/account", "/account/sessions/end").status_code == 302
    assert third.get("/jobs").status_code == 302


def test_tokens_on_the_pages_are_shown_once(app: Flask, admin: Actor, services: Services) -> None:
    client = signed_in(app, admin.email)
    path = f"/users/{admin.id}/tokens/new"
    assert fill(client, path, {"/name": "ci"}).status_code == 422  # it may nothing yet
    secret, row = services.tokens.request(replace(admin, via="web"), admin.id, {"name": "own", "scopes": ["read"]})
    listed = client.get("/account").get_data(as_text=True)
    assert secret not in listed
    assert secret[:8] in listed
    rotated = post(client, "/account", f"/tokens/{row['_id']}/rotate").get_data(as_text=True)
    assert re.search(r'<code class="secret">jw_[\w-]{43}</code>', rotated)
    assert post(client, "/account", f"/tokens/{row['_id']}/revoke", user_id=admin.id).headers["Location"] == "/account"
    assert "revoked" in client.get("/account").get_data(as_text=True)


def test_a_user_has_an_account_and_nothing_else(app: Flask, services: Services) -> None:
    services.accounts.create_user(SYSTEM, email="u@example.com", password=PASSWORD, role=Role.USER)
    client = signed_in(app, "u@example.com")
    assert client.get("/account").status_code == 200
    for path in ("/jobs", "/executions", "/templates", "/connections", "/calendars", "/users", "/audit", "/maintenance", "/users/new"):
        assert client.get(path).status_code == 403, path
    assert "/jobs" not in re.findall(r'<a href="([^"]+)"', client.get("/account").get_data(as_text=True))


def test_the_users_pages_change_and_help(browser_client: FlaskClient, services: Services, admin: Actor, super_admin: Actor) -> None:
    assert admin.email in browser_client.get("/users").get_data(as_text=True)
    at = f"/users/{admin.id}"
    assert "/reset/" in text(post(browser_client, at, f"{at}/reset"))
    assert fill(browser_client, at, {"/name": "Other", "version": "99"}).status_code == 412
    assert services.accounts.get(super_admin, admin.id).name == "ada"
    assert fill(browser_client, at, {"/name": "Ada L."}).status_code == 302
    assert services.accounts.get(super_admin, admin.id).name == "Ada L."
    boss = f"/users/{super_admin.id}"
    assert "badge" not in text(browser_client.get(boss))


@pytest.mark.parametrize(
    ("change", "secure"), [({}, False), ({"public_url": "https://jobs.example.com"}, True), ({"secure_cookies": True}, True)]
)
def test_behind_tls_cookies_go_no_other_way(
    store: Store, settings: Settings, clock: ManualClock, admin: Actor, change: dict[str, Any], secure: bool
) -> None:
    client = create_app(build_services(replace(settings, **change), store, clock=clock)).test_client()
    page = client.get("/sign-in", base_url="https://localhost")
    form = {"csrf_token": csrf(page.get_data(as_text=True)), "email": admin.email, "password": PASSWORD}
    answer = client.post("/sign-in", data=form, base_url="https://localhost", headers={"Referer": "https://localhost/sign-in"})
    cookies = answer.headers.getlist("Set-Cookie")
    assert answer.status_code == 302
    assert len(cookies) == 2
    assert all(("Secure" in one) == secure and "HttpOnly" in one for one in cookies)
    assert ("Strict-Transport-Security" in page.headers) == secure


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_command_line_helps_who_is_locked_out(mongod: str, database_name: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": database_name,
        "JOBWRIGHT_DATA_DIR": str(tmp_path),
        "JOBWRIGHT_NEW_PASSWORD": OTHER,
        "JOBWRIGHT_PUBLIC_URL": "https://jobs.example.com/",
    }

    def command(*words: str, code: int = 0) -> str:
        done = jobwright(environment, *words)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    command("user", "create", "--email", "a@example.com", "--role", "super_admin")
    command("user", "create", "--email", "b@example.com")
    command("token", "create", "--user", "b@example.com", "--name", "ci", "--scope", "read")
    assert re.match(r"https://jobs\.example\.com/reset/[\w-]{43}\n", command("user", "reset", "A@example.com"))
    assert "closed" in command("user", "change", "b@example.com", "--role", "user", "--close", "--remove-second-factor")
    assert "is restricted to north, south" in command("user", "change", "b@example.com", "--group", "north", "--group", "south")
    assert "restricted" not in command("user", "change", "b@example.com", "--all-groups")
    header, *rows = (re.split(r" {2,}", line) for line in command("user", "list").splitlines())
    assert header == ["E-MAIL", "NAME", "ROLE", "KIND", "STATE", "GROUPS", "LAST SEEN"]
    assert rows[1] == ["b@example.com", "b", "user", "person", "closed", "all", "never"]
    assert "last super-admin" in command("user", "change", "a@example.com", "--close", code=4)
    assert "no account" in command("user", "reset", "nobody@example.com", code=3)
    (_, row) = (re.split(r" {2,}", line) for line in command("token", "list").splitlines())
    assert row[1:4] == ["b@example.com", "ci", "read"]
    assert row[5] == "never"
    command("token", "revoke", row[0])
    assert "connections: 0" in command("secrets", "reseal")
    assert "revoked" in command("token", "list")
    with connect(mongod) as client:
        client.drop_database(database_name)


def test_the_page_of_services_says_what_each_may_and_when_its_tokens_end(
    browser_client: FlaskClient, services: Services, super_admin: Actor, admin: Actor, clock: ManualClock
) -> None:
    def page() -> LexborHTMLParser:
        return LexborHTMLParser(browser_client.get("/service-accounts").get_data(as_text=True))

    assert "No service accounts yet" in (page().body.text() if page().body else "")
    service, _ = services.accounts.add(
        super_admin, {"email": "ci@example.com", "name": "CI", "role": "admin", "kind": "service", "groups": ["north"]}
    )
    services.accounts.add(super_admin, {"email": "idle@example.com", "role": "admin", "kind": "service"})
    text, row = services.tokens.request(super_admin, service.id, {"name": "soon", "scopes": ["write", "read"], "days": 10})
    services.tokens.request(super_admin, service.id, {"name": "later", "scopes": ["run"], "days": 300})
    services.tokens.request(super_admin, service.id, {"name": "over", "scopes": ["read"], "days": 1})
    clock.advance(2 * 86_400)
    token = csrf(browser_client.get("/sign-in").get_data(as_text=True))
    browser_client.post("/sign-in", data={"csrf_token": token, "email": super_admin.email, "password": PASSWORD})
    caller = services.tokens.by_token(text, address="192.0.2.1")
    services.jobs.create(
        caller, {"name": "made by CI", "template_type": "test_scheduler", "group": "north", "schedule": {"type": "manual"}}
    )
    assert row["expires_at"]
    cells = {
        (line.css_first(".name a") or line).text(): [" ".join(cell.text(separator=" ").split()) for cell in line.css("td")]
        for line in page().css("tbody tr")
    }
    assert cells["CI"][1:5] == ["admin groups: north", "2 read, run, write 1 expired token", "in 8 d", "now"]
    assert cells["CI"][5] == "1"
    assert cells["idle"][2:] == ["no valid token", "–", "–", "–"]
    assert page().css_first("td .amber-text") is not None, "a token that ends soon is pointed out"
    assert {link.attributes["href"] for link in page().css("td a")} >= {f"/users/{service.id}", "/jobs?owner=ci%40example.com"}
    form = LexborHTMLParser(browser_client.get("/users/new?kind=service").get_data(as_text=True))
    kinds = [one.text() for one in form.css("#job-form option[selected]")] + [
        (one.parent or one).text() for one in form.css("#job-form input[type=radio][checked]")
    ]
    assert "Service: a program that uses tokens and cannot sign in" in [one.strip() for one in kinds]
