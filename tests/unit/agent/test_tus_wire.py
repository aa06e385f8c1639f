"""The headers of the resumable protocol, and where the bytes of an upload go."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.uploads.rules import partial_of
from zlh_agent.uploads.tus_wire import (
    parse_checksum,
    parse_creation,
    parse_metadata,
    parse_offset,
    parse_repr_digest,
    require_version,
)
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import TusVersionWrong, UploadInvalid

ID = "0123456789abcdef" * 2


def metadata(**said: str) -> str:
    """Return a header that says so."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())


def created(**said: str) -> dict[str, str]:
    """Return the headers of a creation."""
    return {"Upload-Length": "10", "Upload-Metadata": metadata(**said)}


def test_a_creation_says_what_comes_and_where_to() -> None:
    """Every word of the metadata, and what holds without it."""
    asked = parse_creation(
        created(
            path="a/b", root="home", overwrite="true", sha256="A" * 64, mode="0640", modifiedAt="1970-01-01T00:00:01Z",
            parents="true",
        )
    )  # fmt: skip
    assert (asked.path, asked.root, asked.size, asked.replace, asked.parents) == ("a/b", "home", 10, True, True)
    assert (asked.sha256, asked.mode, asked.modified_ns) == ("a" * 64, 0o640, 10**9)
    plain = parse_creation(created(filename="b", folder="a/"))
    assert (plain.path, plain.root, plain.replace, plain.parents, plain.mode) == ("a/b", None, False, False, None)


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Upload-Length": "-1"}, {"Upload-Length": "1e3"}, {"Upload-Length": "9" * 16},
        {**created(path="a"), "Upload-Defer-Length": "1"}, created(), created(path=""), created(path="a/"),
        created(path="/"), created(path="a", mode="9"), created(path="a", sha256="zz"),
        created(path="a", overwrite="yes"), created(path="a", modifiedAt="yesterday"),
        created(path="a", modifiedAt="2026-01-01T00:00:00"), created(path="a", modifiedAt="9999-01-01T00:00:00Z"),
        {"Upload-Length": "1", "Upload-Metadata": "path ***"}, {"Upload-Length": "1", "Upload-Metadata": "path /w=="},
        {"Upload-Length": "1", "Upload-Metadata": "path YQ==,path YQ=="},
    ],
)  # fmt: skip
def test_what_makes_no_upload_is_refused(headers: dict[str, str]) -> None:
    """With a sentence that says what is wrong."""
    with pytest.raises(UploadInvalid):
        parse_creation(headers)


@given(st.text(max_size=300))
def test_any_header_is_understood_or_refused(text: str) -> None:
    """Nothing that a client can write breaks the reading of it."""
    for parse in (parse_metadata, parse_checksum, parse_repr_digest):
        try:
            parse(text)
        except ZlhError:
            continue


def test_a_checksum_names_a_hash_that_is_known_and_has_its_length() -> None:
    """sha1 and sha256; what is shorter is no checksum."""
    found = parse_checksum("sha1 " + base64.b64encode(b"x" * 20).decode())
    assert found is not None
    assert (found.algorithm, found.digest) == ("sha1", b"x" * 20)
    for wrong in ("md5 AAAA", "sha1 AAAA", "sha256", "sha256 ***"):
        with pytest.raises(UploadInvalid):
            parse_checksum(wrong)


def test_a_digest_of_another_hash_is_passed_over() -> None:
    """As RFC 9530 has it; one of ours that cannot be read is refused."""
    assert parse_repr_digest("sha-512=:AAAA:") is None
    assert parse_repr_digest("sha-512=:AAAA:, sha-256=:" + "A" * 43 + "=:") == "0" * 64
    with pytest.raises(UploadInvalid):
        parse_repr_digest("sha-256=AAAA")


def test_another_version_of_the_protocol_is_refused() -> None:
    """And so is a client that does not say which one it speaks."""
    require_version({"Tus-Resumable": "1.0.0"})
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        with pytest.raises(TusVersionWrong):
            require_version(headers)
    assert parse_offset("12", "Upload-Offset") == 12


@given(st.binary(min_size=1, max_size=255).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_a_partial_file_stands_hidden_beside_its_target(raw: bytes) -> None:
    """Under a name that a folder can hold, whatever the name of the target is."""
    partial = partial_of("folder/" + raw.decode("utf-8", "surrogateescape"), ID)
    folder, _, name = partial.rpartition("/")
    assert folder == "folder"
    assert name.startswith(".")
    assert name.endswith(".01234567.zlh-part")
    assert len(name.encode("utf-8", "surrogateescape")) <= 255
