"""The session cookie as browsers are given it."""

from __future__ import annotations

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from aiohttp import web

from zlh_api.web.session_cookie import SessionCookie


@pytest.mark.parametrize("has_tls", [True, False])
@pytest.mark.parametrize("lasts", [timedelta(days=1), timedelta(0)])
def test_the_cookie_belongs_to_this_host_and_to_no_script(lasts: timedelta, *, has_tls: bool) -> None:
    """Given or taken away, with the flags that its name promises; no other host has it, or can set it under TLS."""
    response = web.Response()
    SessionCookie(has_tls=has_tls).put(response, "token", lasts=lasts)
    (header,) = (morsel.OutputString() for morsel in response.cookies.values())
    ((name, cookie),) = SimpleCookie(header).items()
    assert name == ("__Host-zlh_session" if has_tls else "zlh_session")
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Lax")
    assert (bool(cookie["httponly"]), bool(cookie["secure"])) == (True, has_tls)
    assert cookie["max-age"] == str(int(lasts.total_seconds()))
