"""A release's archives in somebody else's tree: offered beside what is there, and never other bytes than promised."""

from __future__ import annotations

import hashlib
import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent_artifact import render_record
from component.artifacts.conftest import Workshop
from component.artifacts.test_commands import call
from component.artifacts.test_killed import run_and_kill_at
from zlh_api.artifacts.building.repack import Packed
from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactDiffers, ArtifactsNotInitialised, NothingToImport
from zlh_api.artifacts.importing import import_archives
from zlh_api.artifacts.signing.publish import publish_catalog, read_catalog, verify_tree
from zlh_api.artifacts.tree import hash_file

PLATFORM = "linux-x86_64"


def make_release(folder: Path, *versions: str, content: bytes = b"agent") -> Path:
    """Write a release with archives of the agent, their records and the sums."""
    archives = folder / "artifacts/archives/zlh-agent"
    archives.mkdir(parents=True)
    for version in versions:
        stem = f"zlh-agent-{version}-{PLATFORM}"
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            member = tarfile.TarInfo("bin/zlh-agent")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        (archives / f"{stem}.tar.zst").write_bytes(raw.getvalue())
        packed = Packed(hashlib.sha256(raw.getvalue()).hexdigest(), len(raw.getvalue()), len(content), 1)
        path = f"archives/zlh-agent/{stem}.tar.zst"
        record = render_record(packed, version=version, platform=PLATFORM, path=path, source_sha256="0" * 64)
        (archives / f"{stem}.json").write_bytes(msgspec.json.encode(record))
    write_sums(folder)
    return folder


def write_sums(release: Path) -> None:
    """Write the sums of every file."""
    files = [path for path in release.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    lines = [f"{hash_file(path)[0]}  {path.relative_to(release)}\n" for path in files]
    (release / "SHA256SUMS").write_text("".join(lines))


def offered(workshop: Workshop) -> list[str]:
    """Return the versions of the agent that clients are offered, newest first."""
    (agent,) = read_catalog(workshop.tree, workshop.keys, now=datetime.now(UTC)).agents
    assert agent.name == "zlh-agent"
    return [version.version for version in agent.versions]


def test_release_is_offered_beside_what_is_there(
    published: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`import` and `publish`: the agent is offered, everything is as signed, and an older version stays."""
    folders = ["--dir", str(published.tree)]
    for version in ("1.9.0", "1.10.0"):
        release = make_release(tmp_path / version, version)
        assert call("import", str(release), *folders) == 0
        assert "taken in" in capsys.readouterr().out
        assert call("publish", *folders, "--keys", str(published.keys)) == 0
    assert offered(published) == ["1.10.0", "1.9.0"]
    catalog = read_catalog(published.tree, published.keys, now=datetime.now(UTC))
    assert [version.default for version in catalog.agents[0].versions] == [True, False]
    assert [runtime.name for runtime in catalog.runtimes] == ["tiny"]
    assert verify_tree(published.tree, published.keys, now=datetime.now(UTC)).ok


def test_import_again_changes_nothing(published: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there already is told, and its file is the one that it was."""
    release = make_release(tmp_path / "release", "1.0.0")
    (first,) = import_archives(published.tree, release)
    before = (published.tree / first.record.path).stat().st_ino
    assert call("import", str(release), "--dir", str(published.tree)) == 0
    assert "there already" in capsys.readouterr().out
    assert (published.tree / first.record.path).stat().st_ino == before


@pytest.mark.parametrize("spoilt", ["archive", "record", "both, with a record that fits", "no archive", "unlisted"])
def test_release_that_is_not_what_its_sums_say_is_refused(published: Workshop, tmp_path: Path, spoilt: str) -> None:
    """Whoever changed which file: nothing of it is in the tree afterwards."""
    release = make_release(tmp_path / "release", "1.0.0")
    (archive,), (record,) = release.rglob("*.tar.zst"), release.rglob("*.json")
    sums = (release / "SHA256SUMS").read_text()
    match spoilt:
        case "archive":
            archive.write_bytes(archive.read_bytes()[:-1] + b"x")
        case "record":
            record.write_bytes(record.read_bytes() + b" ")
        case "no archive":
            archive.unlink()
        case "unlisted":
            sums = ""
        case _:
            other = make_release(tmp_path / "other", "1.0.0", content=b"evil")
            for path in (archive, record):
                path.write_bytes((other / path.relative_to(release)).read_bytes())
    (release / "SHA256SUMS").write_text(sums)
    with pytest.raises(ArtifactDamaged):
        import_archives(published.tree, release)
    assert not list(published.tree.glob("archives/zlh-agent/*"))


def test_published_version_never_becomes_other_bytes(published: Workshop, tmp_path: Path) -> None:
    """As long as nobody can know it, a newer build of it takes its place; afterwards it is refused."""
    import_archives(published.tree, make_release(tmp_path / "first", "1.0.0"))
    (done,) = import_archives(published.tree, make_release(tmp_path / "second", "1.0.0", content=b"mended"))
    assert not done.reused
    published.publish()
    with pytest.raises(ArtifactDiffers) as refused:
        import_archives(published.tree, make_release(tmp_path / "third", "1.0.0", content=b"changed"))
    assert done.record.sha256 in refused.value.detail
    assert hash_file(published.tree / done.record.path) == (done.record.sha256, done.record.size)


def test_folder_without_archives_and_tree_without_keys_are_told(published: Workshop, tmp_path: Path) -> None:
    """Each says what is to be done."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToImport, match="the folder of a release"):
        import_archives(published.tree, tmp_path / "empty")
    with pytest.raises(ArtifactsNotInitialised):
        import_archives(tmp_path / "nowhere", make_release(tmp_path / "release", "1.0.0"))


def test_import_killed_at_any_step_is_completed_by_the_next(published: Workshop, tmp_path: Path) -> None:
    """Whatever was left, only an archive with its own record is offered."""
    release = make_release(tmp_path / "release", "1.0.0", "1.1.0")
    step, is_done = 0, False
    while not is_done:
        step += 1
        is_done = run_and_kill_at(step, published.tree, lambda: import_archives(published.tree, release))
        for path in published.tree.glob("archives/zlh-agent/*.json"):
            record = msgspec.json.decode(path.read_bytes())
            assert hash_file(published.tree / record["path"])[0] == record["sha256"]
        if not is_done and step % 2:
            for path in published.tree.glob("archives/zlh-agent/*"):
                path.unlink()
    assert step > 6
    publish_catalog(published.tree, published.keys, now=datetime.now(UTC))
    assert offered(published) == ["1.1.0", "1.0.0"]
