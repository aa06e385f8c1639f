"""What a server, a mirror or the network may try against the reader of the catalog; the reader and HTTP are real.

After each try the client believes what it believed before, has kept nothing of what was refused, and takes the next
good answer.
"""

from __future__ import annotations

import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from component.artifacts.test_killed import run_and_kill_at
from fakes.signed_tree import DAY, Answer, HostileServer, SignedTree, catalog, new_key
from zlh_common.errors import ZlhError
from zlh_common.signed_catalog import (
    CatalogClockWrong,
    CatalogExpired,
    CatalogUnavailable,
    CatalogUntrusted,
    fetch_signed_catalog,
)

Request = http.server.BaseHTTPRequestHandler


@dataclass
class Stage:
    """A client that trusts the first root of a tree, and the server that it asks."""

    tree: SignedTree
    server: HostileServer
    root: bytes
    folder: Path

    def fetch(self, *more: str, limit_s: float = 20) -> str:
        """Return the title that is believed."""
        found = fetch_signed_catalog(
            artifacts_urls=(self.server.url, *more), trusted_root=self.root, metadata_dir=self.folder, limit_s=limit_s
        )
        return found.catalog.runtimes[0].title

    def refuses(self, error: type[ZlhError], match: str | None = None, *, limit_s: float = 20) -> ZlhError:
        """Let the client ask, and make sure that it refuses and that nothing of it has stayed."""
        with pytest.raises(error, match=match) as caught:
            self.fetch(limit_s=limit_s)
        assert "evil" not in "".join(path.read_text() for path in self.folder.glob("catalog.json"))
        assert not list(self.folder.glob("tmp*"))
        return caught.value


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a client that has seen the first catalog."""
    tree = SignedTree(tmp_path / "tree")
    root = tree.root(1)
    tree.publish(1)
    with HostileServer(tree.folder).running() as server:
        made = Stage(tree, server, root, tmp_path / "client")
        assert made.fetch() == "catalog 1"
        yield made


def recovers(stage: Stage, version: int = 5) -> None:
    """The next good answer is believed."""
    stage.server.answers.clear()
    stage.tree.publish(version)
    assert stage.fetch() == f"catalog {version}"


# What a server can send in place of a file, and what it is refused as.


def send_head(request: Request, *lines: bytes) -> None:
    """Begin an answer of status 200."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines))


def endless(request: Request) -> None:
    """A body without an end, as fast as it goes."""
    send_head(request, b"", b"")
    while True:
        request.wfile.write(b"x" * 65536)


def endless_chunks(request: Request) -> None:
    """The same in chunks."""
    send_head(request, b"Transfer-Encoding: chunked", b"")
    while True:
        request.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def drip_body(request: Request) -> None:
    """A byte now and then: each read is quick, all of them last for ever."""
    send_head(request, b"Content-Length: 10000", b"")
    while True:
        request.wfile.write(b"{")
        time.sleep(0.02)


def drip_head(request: Request) -> None:
    """The same before the body begins."""
    send_head(request)
    while True:
        request.wfile.write(b"X")
        time.sleep(0.02)


def interim_for_ever(request: Request) -> None:
    """`100 Continue` without end."""
    while True:
        request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.005)


def silent(request: Request) -> None:
    """Nothing at all, for longer than the client has."""
    request.connection.settimeout(10)
    request.connection.recv(1)


def cut(request: Request) -> None:
    """Less than was announced."""
    send_head(request, b"Content-Length: 10000", b"", b'{"signed"')
    request.close_connection = True


def deep(request: Request) -> None:
    """Nesting that a parser must not follow."""
    body = b"[" * 15_000
    send_head(request, f"Content-Length: {len(body)}".encode(), b"", body)


def huge(request: Request) -> None:
    """More metadata than any tree needs, announced as such."""
    body = b" " * 6_000_000
    send_head(request, f"Content-Length: {len(body)}".encode(), b"", body)


def packed(request: Request) -> None:
    """A content coding that nobody has asked for."""
    send_head(request, b"Content-Encoding: gzip", b"Content-Length: 20", b"", b"\x1f\x8b" + b"\0" * 16)


def nonsense(request: Request) -> None:
    """No HTTP."""
    request.wfile.write(b"220 ftp ready\r\n")
    request.close_connection = True


def many_headers(request: Request) -> None:
    """Header lines without end."""
    send_head(request)
    while True:
        request.wfile.write(b"X-A: b\r\n" * 1000)


FILES = ["metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json", "metadata/2.root.json"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("answer", "error"),
    [(endless, CatalogUntrusted), (endless_chunks, CatalogUntrusted), (deep, CatalogUntrusted),
     (huge, CatalogUntrusted), (packed, CatalogUntrusted), (cut, CatalogUnavailable), (nonsense, CatalogUnavailable),
     (many_headers, CatalogUnavailable)],
    ids=lambda value: value.__name__,
)  # fmt: skip
def test_a_body_that_is_none_is_refused(stage: Stage, file: str, answer: Answer, error: type[ZlhError]) -> None:
    """Whichever file it stands for: bounded, refused, forgotten."""
    stage.tree.publish(2)
    stage.server.answers[file] = answer
    stage.refuses(error)
    recovers(stage)


@pytest.mark.parametrize("file", [FILES[0], FILES[2]])
@pytest.mark.parametrize("answer", [drip_body, drip_head, interim_for_ever, silent], ids=lambda value: value.__name__)
def test_a_server_that_holds_its_reader_is_left_in_time(stage: Stage, file: str, answer: Answer) -> None:
    """One time bounds all reads together, so that no answer is too slow by parts."""
    stage.tree.publish(2)
    stage.server.answers[file] = answer
    stage.refuses(CatalogUnavailable, "not done after 1 s", limit_s=1)
    recovers(stage)


def test_an_endless_catalog_is_cut_at_its_signed_length(stage: Stage) -> None:
    """And a catalog of other bytes of the very length is refused by its hash."""
    shutil.rmtree(stage.tree.folder / "targets")
    stage.tree.publish(2)
    path = stage.tree.catalog_path()
    stage.server.answers[f"targets/{path.name}"] = endless
    stage.refuses(CatalogUntrusted)
    stage.server.answers.clear()
    signed = path.read_bytes()
    path.write_bytes(signed.replace(b"catalog 2", b"evil evil"))
    stage.refuses(CatalogUntrusted)
    recovers(stage)


def test_no_redirect_is_followed(stage: Stage, tmp_path: Path) -> None:
    """Not even to a server that would be believed."""
    stage.tree.publish(2)
    with HostileServer(stage.tree.folder).running() as other:

        def redirect(request: Request) -> None:
            request.send_response(302)
            request.send_header("Location", f"{other.url}/metadata/timestamp.json")
            request.send_header("Content-Length", "0")
            request.end_headers()

        stage.server.answers["metadata/timestamp.json"] = redirect
        stage.refuses(CatalogUnavailable, "302")
        assert other.asked == []
    recovers(stage)


# What somebody can do who has old signatures, or other keys.


def roll_back_timestamp(tree: SignedTree) -> None:
    """Yesterday's timestamp, well signed."""
    tree.publish(1)


def roll_back_snapshot(tree: SignedTree) -> None:
    """A new timestamp that leads to an older snapshot."""
    tree.publish(4, snapshot=2)


def roll_back_targets(tree: SignedTree) -> None:
    """A new snapshot that leads to older targets."""
    tree.publish(4, targets=2)


def mix_targets(tree: SignedTree) -> None:
    """The targets of one release under the snapshot of another."""
    tree.publish(4)
    shutil.copy(tree.metadata("3.targets"), tree.metadata("4.targets"))


def mix_snapshots(tree: SignedTree) -> None:
    """The snapshot of one release under the timestamp of another."""
    tree.publish(4)
    shutil.copy(tree.metadata("3.snapshot"), tree.metadata("4.snapshot"))


@pytest.mark.parametrize(
    "attack",
    [roll_back_timestamp, roll_back_snapshot, roll_back_targets, mix_targets, mix_snapshots],
    ids=lambda value: value.__name__,
)
def test_old_signatures_are_put_together_in_vain(stage: Stage, attack: Callable[[SignedTree], None]) -> None:
    """Rollback and mix-and-match, each file on its own."""
    stage.tree.publish(2, title="old")
    stage.tree.publish(3)
    assert stage.fetch() == "catalog 3"
    attack(stage.tree)
    stage.refuses(CatalogUntrusted)
    recovers(stage)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
@pytest.mark.parametrize("how", ["wrong key", "same key twice", "one of two"])
def test_too_few_signatures_are_refused(tmp_path: Path, role: str, how: str) -> None:
    """Another key, one key that signs for two, and one signature where the root asks for two."""
    tree = SignedTree(tmp_path / "tree")
    tree.keys[role] = [new_key(), new_key()]
    tree.thresholds[role] = 2
    root = tree.root(1)
    tree.publish(1)
    with HostileServer(tree.folder).running() as server:
        stage = Stage(tree, server, root, tmp_path / "client")
        assert stage.fetch() == "catalog 1"
        good = list(tree.keys[role])
        tree.keys[role] = [good[0], new_key()] if how == "wrong key" else good[:1]
        tree.publish(2)
        name = "timestamp" if role == "timestamp" else f"2.{role}"
        document = json.loads(tree.metadata(name).read_bytes())
        if how == "same key twice":
            document["signatures"].append({"keyid": good[1].public_key.keyid, "sig": document["signatures"][0]["sig"]})
        tree.metadata(name).write_text(json.dumps(document))
        stage.refuses(CatalogUntrusted, "1/2 keys")
        tree.keys[role] = good
        recovers(stage)


def test_a_signature_that_is_there_twice_counts_once(stage: Stage) -> None:
    """The same key id, two entries."""
    stage.tree.publish(2)
    document = json.loads(stage.tree.metadata("timestamp").read_bytes())
    document["signatures"] *= 2
    stage.tree.metadata("timestamp").write_text(json.dumps(document))
    stage.refuses(CatalogUntrusted)
    recovers(stage)


# Roots.


def test_clients_follow_roots_over_several_versions(stage: Stage) -> None:
    """Each signed by the one before it; that one on the way has expired does not matter, that the last has does."""
    for version in (2, 3, 4):
        before = stage.tree.keys["root"]
        stage.tree.keys = {role: [new_key()] for role in stage.tree.keys}
        stage.tree.root(version, signers=[*before, *stage.tree.keys["root"]], expires=-DAY if version < 4 else DAY)
    stage.tree.publish(2)
    assert stage.fetch() == "catalog 2"
    stage.tree.root(5, expires=-DAY)
    stage.tree.publish(3)
    stage.refuses(CatalogExpired, r"root\.json held until")
    stage.tree.root(6)
    recovers(stage)


def test_a_root_that_does_not_follow_is_refused(stage: Stage) -> None:
    """Signed by new keys alone, by old keys alone, skipped, or of a version of its own choice."""
    old, new = stage.tree.keys["root"], [new_key()]
    stage.tree.keys["root"] = new
    for signers in (new, old):
        stage.tree.root(2, signers=signers)
        stage.refuses(CatalogUntrusted)
    stage.tree.root(3, signers=[*old, *new])
    shutil.move(stage.tree.metadata("3.root"), stage.tree.metadata("2.root"))
    stage.refuses(CatalogUntrusted, "root version 2")
    stage.tree.root(2, signers=[*old, *new])
    recovers(stage)


def test_a_root_that_is_signed_by_one_of_two_is_no_root(stage: Stage) -> None:
    """Nor is it a root to begin with."""
    stage.tree.keys["root"].append(new_key())
    stage.tree.thresholds["root"] = 2
    stage.tree.root(2, signers=stage.tree.keys["root"][:1])
    stage.refuses(CatalogUntrusted, "1/2 keys")
    stage.root = stage.tree.root(1, signers=stage.tree.keys["root"][:1])
    stage.refuses(CatalogUntrusted, "1/2 keys")
    stage.root = stage.tree.root(1)
    stage.tree.metadata("2.root").unlink()
    recovers(stage)


def test_new_keys_undo_a_fast_forward(stage: Stage) -> None:
    """Whoever had the keys made clients expect versions that will never come; new keys make them forget."""
    stage.tree.publish(2_000_000_000)
    stage.fetch()
    stage.tree.publish(3)
    with pytest.raises(CatalogUntrusted):
        stage.fetch()
    for role in ("timestamp", "snapshot"):
        stage.tree.keys[role] = [new_key()]
    stage.tree.root(2)
    stage.tree.publish(4)
    assert stage.fetch() == "catalog 4"


# Time.


def test_a_frozen_catalog_is_refused_with_both_times(stage: Stage) -> None:
    """Since when it does not hold, and what time it is here."""
    stage.tree.publish(2, expires=-DAY)
    error = stage.refuses(CatalogExpired, r"timestamp\.json held until \d{4}-\d\d-\d\d \d\d:\d\d UTC, and it is \d{4}-")
    assert error.retryable
    recovers(stage)


def test_a_clock_that_is_a_year_ahead_is_told(stage: Stage) -> None:
    """To such a clock everything has expired; the message has both times, and a person sees which is wrong."""
    stage.tree.publish(2, published=-366 * DAY, expires=-355 * DAY)
    stage.refuses(CatalogExpired, "or the clock here is wrong")
    recovers(stage)


@pytest.mark.parametrize("published", [365 * DAY, -30 * DAY])
def test_a_clock_that_is_a_year_behind_is_told(stage: Stage, published: object) -> None:
    """It would believe a catalog long after it has expired: known by what was signed later than now, or for longer."""
    stage.tree.publish(2, published=published, expires=375 * DAY)  # type: ignore[arg-type]
    stage.refuses(CatalogClockWrong, r"and it is \d{4}-\d\d-\d\d \d\d:\d\d UTC here\. Correct the clock")
    recovers(stage)


# Mirrors.


def test_the_next_server_is_asked_whatever_the_first_does(stage: Stage, tmp_path: Path) -> None:
    """Down, slow, behind, of other keys: the mirror is believed by the keys alone, and the trouble is told."""
    stranger = SignedTree(tmp_path / "stranger")
    stranger.root(1)
    stranger.publish(9, title="evil")
    behind = tmp_path / "behind"
    shutil.copytree(stage.tree.folder, behind)
    stage.tree.publish(2)
    assert stage.fetch() == "catalog 2"
    with HostileServer(stranger.folder).running() as foreign, HostileServer(behind).running() as old:
        for url in ("http://127.0.0.1:9", foreign.url, old.url):
            found = fetch_signed_catalog(
                artifacts_urls=(url, stage.server.url), trusted_root=stage.root, metadata_dir=stage.folder
            )
            assert found.catalog.runtimes[0].title == "catalog 2"
            assert found.url == stage.server.url
            assert url in found.troubles[0]


def test_where_no_server_is_believed_all_of_them_are_told(stage: Stage, tmp_path: Path) -> None:
    """The gravest gives the code."""
    stage.tree.publish(2, expires=-DAY)
    stranger = SignedTree(tmp_path / "stranger")
    stranger.root(1)
    stranger.publish(9, title="evil")
    with HostileServer(stranger.folder).running() as foreign, pytest.raises(CatalogUntrusted) as caught:
        stage.fetch("http://127.0.0.1:9", foreign.url)
    for told in (stage.server.url, "http://127.0.0.1:9", foreign.url, "has expired"):
        assert told in caught.value.detail
    recovers(stage)


def test_a_slow_first_server_leaves_the_mirror_its_time(stage: Stage) -> None:
    """Each gets its share of what is left."""
    stage.server.answers["metadata/timestamp.json"] = drip_head
    with HostileServer(stage.tree.folder).running() as mirror:
        assert stage.fetch(mirror.url, limit_s=4) == "catalog 1"


# What lies on the client's own disk.


@pytest.mark.parametrize("damage", ["garbage", "empty", "gone", "foreign"])
@pytest.mark.parametrize(
    "name", ["timestamp.json", "snapshot.json", "targets.json", "catalog.json", "root.json", "root_history/1.root.json"]
)
def test_what_a_broken_disk_has_kept_is_no_obstacle(stage: Stage, name: str, damage: str, tmp_path: Path) -> None:
    """Nothing of it is believed unchecked, and the next answer mends it."""
    path = stage.folder / name
    match damage:
        case "garbage":
            path.write_bytes(b"\0\xff" * 50)
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case _:
            stranger = SignedTree(tmp_path / "stranger")
            path.write_bytes(catalog("evil") if name == "catalog.json" else stranger.root(1))
    assert stage.fetch() == "catalog 1"
    recovers(stage)


def test_readers_of_one_folder_take_turns(stage: Stage) -> None:
    """Many at once while it is signed anew: each sees one catalog or the next, and none trips over another."""

    def sign() -> None:
        for version in range(2, 8):
            stage.tree.publish(version)
            time.sleep(0.02)

    signer = threading.Thread(target=sign)
    signer.start()
    with ThreadPoolExecutor(8) as pool:
        seen = [asked.result() for asked in [pool.submit(stage.fetch) for _ in range(16)]]
    signer.join()
    assert all(title.startswith("catalog ") for title in seen)
    assert stage.fetch() == "catalog 7"


def test_a_reader_that_hangs_is_waited_for_in_vain_but_not_for_ever(stage: Stage) -> None:
    """The second one gives up within its own time and says why."""
    stage.server.answers["metadata/timestamp.json"] = drip_head
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stage.fetch, limit_s=6)
        while "metadata/timestamp.json" not in stage.server.asked[4:]:
            time.sleep(0.01)
        with pytest.raises(CatalogUnavailable, match="another reader"):
            stage.fetch(limit_s=0.5)
        assert isinstance(first.exception(), CatalogUnavailable)
    recovers(stage)


@pytest.mark.timeout(120)
def test_a_reader_killed_at_any_step_leaves_one_that_works(stage: Stage, tmp_path: Path) -> None:
    """At each of its file operations, over a new root too: no leftover, no rollback, and the next one reads."""
    stage.tree.root(2)
    stage.tree.publish(2)
    pristine = tmp_path / "pristine"
    shutil.copytree(stage.folder, pristine, symlinks=True)
    step = 1
    while not run_and_kill_at(step, stage.folder, stage.fetch):
        assert stage.fetch() == "catalog 2", f"killed at step {step}"
        assert not list(stage.folder.glob("tmp*")), f"killed at step {step}"
        shutil.rmtree(stage.folder)
        shutil.copytree(pristine, stage.folder, symlinks=True)
        step += 1
    assert step > 10
