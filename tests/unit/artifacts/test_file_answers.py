"""What the file server serves, and how it answers conditions and ranges."""

from __future__ import annotations

import pytest

from zlh_api.artifacts.serving.file_answers import FileFacts, decide_answer, parse_served_path
from zlh_common.file_answers import parse_range

ARCHIVE = FileFacts("archives/node/node-1.tar.zst", 100, 1_700_000_000_500_000_000)
HASH = "0" * 64
TIMED = ("If-Modified-Since", "If-Unmodified-Since", "If-Range")
IMPOSSIBLE = (
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999",
)


@pytest.mark.parametrize(
    "path",
    ["/archives/node/node-1.tar.zst", "/archives/go/SHA256SUMS", "/metadata/timestamp.json", "/metadata/1.root.json",
     f"/targets/{HASH}.catalog.json"],
)  # fmt: skip
def test_served_path_of_the_tree_is_taken_apart(path: str) -> None:
    """Every file that publishing writes is served."""
    assert parse_served_path(path) == tuple(path[1:].split("/"))


@pytest.mark.parametrize(
    "path",
    ["/", "", "/.lock", "/.work/archive", "/archives/node/.x.tmp", "/archives/../keys/root.pem", "/archives//x",
     "/archives/node/../x", "/metadata/../keys/root.pem", "/keys/root.pem", "/metadata/root.pem",
     "/metadata/01.root.json",
     "/archives/node", "/archives/node/", "//etc/passwd", "/archives/node/a/b", "/archives/node/a\x00b",
     "/archives/node/a\n",
     "/targets/catalog.json", "/targets/..", f"/targets/{HASH}.catalog.json\n"],
)  # fmt: skip
def test_served_path_beyond_the_tree_is_nothing(path: str) -> None:
    """Dot files, keys, parents, folders and look-alikes are not served."""
    assert parse_served_path(path) is None


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 10)),
        ("bytes=90-500", (90, 10)),
        ("bytes=-5", (95, 5)),
        ("bytes=-500", (0, 100)),
        ("bytes=100-", None),
        ("bytes=20-10", None),
        ("bytes=-0", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=1-9" + "9" * 30, None),
    ],
)
def test_range_means_bytes_of_this_file_or_nothing(asked: str, meant: tuple[int, int] | None) -> None:
    """One range within the file, as RFC 9110 counts it."""
    assert parse_range(asked, 100) == meant


@pytest.mark.parametrize(
    "asked",
    ["lines=0-1", "bytes=0-1,5-6", "bytes=20-10", "bytes=-", "bytes= 0-1", "bytes=1-9" + "9" * 30, "0-1", "bytes", "",
     "bytes=\u0661-\u0662", "bytes=0-,"],
)  # fmt: skip
def test_answer_to_what_is_not_one_range_of_bytes_is_the_whole_file(asked: str) -> None:
    """A unit that is unknown must be passed over (RFC 9110, 14.2), and so may several ranges and nonsense."""
    answer = decide_answer("GET", {"Range": asked}, ARCHIVE)
    assert (answer.status, answer.start, answer.count) == (200, 0, 100)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=-0", "bytes=100-200", "BYTES=999999999999999999-"])
def test_answer_to_a_range_beyond_the_file_says_its_size(asked: str) -> None:
    """The client learns that it has all of it, or too much."""
    answer = decide_answer("GET", {"Range": asked}, ARCHIVE)
    assert (answer.status, answer.headers["Content-Range"], answer.count) == (416, "bytes */100", 0)


def test_answer_to_a_range_says_which_bytes_follow() -> None:
    """206 with Content-Range and the length of the part."""
    answer = decide_answer("GET", {"Range": "bytes=40-"}, ARCHIVE)
    assert (answer.status, answer.start, answer.count) == (206, 40, 60)
    assert answer.headers["Content-Range"] == "bytes 40-99/100"
    assert answer.headers["Content-Length"] == "60"


@pytest.mark.parametrize("held", ['"other"', "Tue, 14 Nov 2023 22:13:19 GMT", "nonsense", f"W/{ARCHIVE.etag}"])
def test_answer_to_a_range_of_another_file_is_the_whole_file(held: str) -> None:
    """A client that resumes what has changed since would glue two files together."""
    assert decide_answer("GET", {"Range": "bytes=40-", "If-Range": held}, ARCHIVE).status == 200


@pytest.mark.parametrize("held", [ARCHIVE.etag, "Tue, 14 Nov 2023 22:13:20 GMT"])
def test_answer_to_a_range_of_the_same_file_is_the_part(held: str) -> None:
    """The validator may be the tag or the time."""
    assert decide_answer("GET", {"Range": "bytes=40-", "If-Range": held}, ARCHIVE).status == 206


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": ARCHIVE.etag}, 304),
        ({"If-None-Match": f'"x", W/{ARCHIVE.etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"', "If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 200),
        ({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 304),
        ({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": ARCHIVE.etag}, 200),
        ({"If-Match": f"W/{ARCHIVE.etag}"}, 412),
        ({"If-Match": f'"x", {ARCHIVE.etag}', "If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 200),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 412),
        ({"If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 200),
        ({"If-Unmodified-Since": "yesterday"}, 200),
        *(({name: time}, 200) for name in TIMED for time in IMPOSSIBLE),
    ],
)
def test_answer_to_a_condition_follows_the_validators(headers: dict[str, str], status: int) -> None:
    """Tags go before times, and what cannot be read is as if it were not there."""
    assert decide_answer("GET", headers, ARCHIVE).status == status


def test_archives_may_be_cached_for_ever_and_the_timestamp_never() -> None:
    """Names with a hash or version keep their bytes; the timestamp is the one that changes."""
    assert "immutable" in decide_answer("GET", {}, ARCHIVE).headers["Cache-Control"]
    timestamp = FileFacts("metadata/timestamp.json", 1, 1)
    assert decide_answer("GET", {}, timestamp).headers["Cache-Control"] == "no-cache"
