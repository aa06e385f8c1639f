"""Wire structs: requests refuse what they do not know, reports ignore it, and an error names the field."""

from __future__ import annotations

import pytest

from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.schema.customers import Invite
from zlh_common.schema.problem import render_problem
from zlh_common.schema.spec import AgentSpec, CreateContainer, CreateExposure, WantedRuntime
from zlh_common.schema.structs import convert, decode, encode, unknown_fields


def test_request_with_an_unknown_field_is_refused() -> None:
    """A typing mistake of a caller is never ignored."""
    with pytest.raises(InvalidBody, match="runtim"):
        decode(b'{"kind":"dev","runtim":"node"}', CreateContainer)


def test_report_ignores_an_unknown_field_and_names_it() -> None:
    """An older reader understands a newer writer, and says what it did not understand."""
    raw = b'{"generation":3,"runtimes":[],"zebra":1,"mods":[]}'
    assert decode(raw, AgentSpec) == AgentSpec(generation=3)
    assert unknown_fields(raw, AgentSpec) == ("mods", "zebra")


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b'{"kind":"vm"}', r"\$\.kind"),
        (b'{"kind":"dev","name":""}', r"\$\.name"),
        (b'{"kind":"dev","name":"--help"}', r"\$\.name"),
        (b'{"kind":"dev","enableCodeServer":"yes"}', r"\$\.enableCodeServer"),
        (b'{"name":"x"}', "kind"),
    ],
)
def test_error_names_the_field(raw: bytes, named: str) -> None:
    """Who sent a wrong body learns where it is wrong, in the spelling of the wire."""
    with pytest.raises(InvalidBody, match=named):
        decode(raw, CreateContainer)


@pytest.mark.parametrize("email", ["nobody", "a b@example.org", "a@b@c", "a'`@"])
def test_an_error_says_no_pattern(email: str) -> None:
    """A pattern of two hundred characters tells people nothing; where it is asked for does."""
    with pytest.raises(InvalidBody) as refused:
        convert({"email": email, "role": "member"}, Invite)
    assert refused.value.detail.endswith("gives as its pattern - at `$.email`.")
    assert "regex" not in refused.value.detail


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"kind":"dev"} x', b"null"])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    """Cut, binary, bottomless or trailing: one error, no crash."""
    with pytest.raises(InvalidBody):
        decode(raw, CreateContainer)


@pytest.mark.parametrize("port", [0, -1, 65536, 1.5, True, "80"])
def test_port_is_a_port(port: object) -> None:
    """No number that a socket could not have gets past the edge."""
    with pytest.raises(InvalidBody, match=r"\$\.port"):
        convert({"port": port, "visibility": "public"}, CreateExposure)


def test_wire_is_camel_case_and_comes_back() -> None:
    """Python says expires_in_s, the wire says expiresInS."""
    wish = CreateExposure(port=80, visibility="public", expires_in_s=60)
    assert encode(wish) == b'{"port":80,"visibility":"public","expiresInS":60,"kind":"http"}'
    assert decode(encode(wish), CreateExposure) == wish


def test_structs_cannot_be_changed() -> None:
    """A value that was checked stays what it was."""
    wanted = WantedRuntime(name="node", version="24.19.0")
    with pytest.raises(AttributeError):
        setattr(wanted, "version", "../..")  # noqa: B010 # a plain assignment does not type-check, which is the point


class Spilt(ZlhError):
    """Milk was spilt.

    More than one line.
    """

    code, status = "spilt", 418


def test_problem_keeps_its_fixed_members() -> None:
    """Data of an error stand beside code and status, never over them."""
    problem = render_problem(Spilt("No.", code="other", litres=2), request_id="r1")
    assert problem == {
        "type": "urn:zlh:error:spilt",
        "title": "Milk was spilt",
        "status": 418,
        "code": "spilt",
        "detail": "No.",
        "requestId": "r1",
        "litres": 2,
    }
