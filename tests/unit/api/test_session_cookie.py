"""The cookie of a session: its name and flags, with TLS and without."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from zlh_api.web.session_cookie import SessionCookie


@pytest.mark.parametrize(("has_tls", "name"), [(True, "__Host-zlh_session"), (False, "zlh_session")])
def test_the_cookie_is_its_hosts_alone(has_tls: bool, name: str) -> None:
    """No script reads it, no other site sends it, no other host sets it where there is TLS."""
    response = web.Response()
    SessionCookie(has_tls=has_tls).put(response, "secret", lasts=timedelta(days=1))
    (cookie,) = response.cookies.values()
    assert (cookie.key, cookie.value, cookie["max-age"]) == (name, "secret", "86400")
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
    assert bool(cookie["secure"]) is has_tls


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("__Host-zlh_session=a", "a"),
        ("zlh_session=planted; __Host-zlh_session=a", "a"),
        ("zlh_session=planted", None),
        ("__host-zlh_session=planted", None),
        ("__Host-zlh_session=", None),
        ("", None),
    ],
)
def test_a_cookie_that_another_host_could_have_set_is_none(sent: str, found: str | None) -> None:
    """With TLS the prefixed name counts alone."""
    request = make_mocked_request("GET", "/", headers={"Cookie": sent})
    assert SessionCookie(has_tls=True).read(request) == found
