"""Archives that were made to reach out of their folder, in every format: refused by the same rule."""

from __future__ import annotations

import os
import struct
import warnings
import zipfile

import pytest

from component.archives.harness import FORMS, STAGING, Odd, Workshop, contents_of, write_archive
from fakes.racer import swapping
from zlh_common.schema.file_refusals import ArchiveRefused

pytestmark = pytest.mark.timeout(180)
TARS = FORMS[1:]
NAMES = {
    "absolute": "/outside/file",
    "up": "../outside/file",
    "up in the middle": "a/../../outside/file",
    "up by backslashes": "..\\outside\\file",
    "up by both": "a\\..\\..\\outside/file",
    "absolute by a backslash": "\\outside\\file",
    "a drive": "C:\\outside",
    "a drive with slashes": "c:/outside",
    "a share": "\\\\host\\share",
    "only up": "..",
    "a name that is too long": "n" * 256,
    "a path that is too long": "/".join(["n" * 200] * 21),
    "too deep": "/".join(["n"] * 300),
}
CHAIN = "d" * 247


def chain() -> list[Odd]:
    """Return links whose targets grow longer than a path may be, so that a check gives up where the kernel goes on."""
    entries = []
    path = ""
    for letter in "abcdefghijklmnop":
        entries += [Odd(f"{path}{CHAIN}", "dir"), Odd(f"{path}{letter}", "link", target=CHAIN)]
        path += f"{letter}/"
    long = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    entries += [Odd(long, "link", target="../" * 16), Odd("escape", "link", target=f"{long}/../outside/file")]
    return [*entries, Odd("flag", "hard", target="escape"), Odd("flag", content=b"escaped")]


ATTACKS = {
    "a link out": [Odd("l", "link", target="../../outside/file")],
    "an absolute link": [Odd("l", "link", target="/etc/passwd")],
    "written through a link": [Odd("d", "dir"), Odd("l", "link", target="d"), Odd("l/file")],
    "written through a link that comes later": [Odd("l/file"), Odd("l", "link", target=".")],
    "a file becomes a folder": [Odd("f"), Odd("f/file")],
    "a folder becomes a file": [Odd("d", "dir"), Odd("d")],
}
HARD = {
    "a hard link out": [Odd("l", "hard", target="../outside/file"), Odd("l")],
    "an absolute hard link": [Odd("l", "hard", target="/etc/passwd")],
    "a hard link to nothing": [Odd("l", "hard", target="missing")],
    "a hard link to itself": [Odd("f"), Odd("f", "hard", target="f")],
    "a hard link through a link": [Odd("d/f"), Odd("l", "link", target="d"), Odd("h", "hard", target="l/f")],
    "links longer than a path": chain(),
}


async def assert_refused(workshop: Workshop, code: str) -> None:
    """The whole of it is refused, for this reason, and nothing has come to its place."""
    workshop.own()
    assert await workshop.code_of("bad") == code
    assert not (workshop.folder / "new").exists()
    assert workshop.ground.is_untouched()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", NAMES)
async def test_a_name_that_leads_out_is_refused(workshop: Workshop, form: str, what: str) -> None:
    """With the honest entry that comes before it."""
    write_archive(workshop.folder / "bad", form, [Odd("honest"), Odd(NAMES[what])])
    await assert_refused(workshop, "file_archive_refused")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ATTACKS)
async def test_a_link_that_leads_out_or_is_written_through_is_refused(workshop: Workshop, form: str, what: str) -> None:
    """Links are made when everything else is there, so that nothing is ever written through one."""
    write_archive(workshop.folder / "bad", form, ATTACKS[what])
    await assert_refused(workshop, "file_archive_refused")


@pytest.mark.parametrize("form", TARS)
@pytest.mark.parametrize("what", HARD)
async def test_a_hard_link_to_what_is_not_in_the_archive_is_refused(workshop: Workshop, form: str, what: str) -> None:
    """A second name is one of an entry that came before."""
    write_archive(workshop.folder / "bad", form, HARD[what])
    await assert_refused(workshop, "file_archive_refused")


@pytest.mark.parametrize("form", TARS)
async def test_a_link_that_becomes_another_is_the_last(workshop: Workshop, form: str) -> None:
    """And a link that becomes a file is a file: nothing is written to where it led."""
    entries = [Odd("kept"), Odd("l", "link", target="kept"), Odd("l", "link", target="other")]
    entries += [Odd("m", "link", target="kept"), Odd("m", content=b"a file"), Odd("h", "hard", target="l")]
    write_archive(workshop.folder / "good", form, entries)
    workshop.own()
    await workshop.unpack("good")
    new = workshop.folder / "new"
    assert {str((new / name).readlink()) for name in "lh"} == {"other"}
    assert ((new / "m").read_bytes(), (new / "kept").read_bytes()) == (b"a file", b"from the archive")
    assert not (new / "m").is_symlink()


@pytest.mark.parametrize("form", FORMS)
async def test_rights_owners_and_devices_of_an_archive_give_nothing(workshop: Workshop, form: str) -> None:
    """No set-uid, nobody else's files, and what is no file, folder or link is left out and told."""
    entries = [Odd("s", mode=0o7755, uid=4242), Odd("d", "dir", mode=0o7750), Odd("p", "fifo"), Odd("c", "device")]
    write_archive(workshop.folder / "good", form, entries)
    workshop.own()
    done = await workshop.unpack("good")
    status = {path.name: path.stat() for path in (workshop.folder / "new").iterdir()}
    assert {name: found.st_mode & 0o7777 for name, found in status.items()} == {"s": 0o755, "d": 0o750}
    assert {found.st_uid for found in status.values()} == {workshop.folder.stat().st_uid}
    assert {(left.path, left.code) for left in done.skipped} == {(n, "not_a_regular_file") for n in "pc"}
    assert done.skipped_count == 2


@pytest.mark.parametrize("form", FORMS)
async def test_of_two_entries_the_last_holds_and_case_tells_names_apart(workshop: Workshop, form: str) -> None:
    """By the same rule in every format."""
    entries = [Odd("a", content=b"first"), Odd("a", content=b"last"), Odd("A", content=b"upper")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the writer says that there are two
        write_archive(workshop.folder / "good", form, entries)
    workshop.own()
    await workshop.unpack("good")
    assert {path.name: path.read_bytes() for path in (workshop.folder / "new").iterdir()} == {
        "a": b"last", "A": b"upper",
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
async def test_a_customers_link_in_the_way_is_never_gone_through(workshop: Workshop, form: str) -> None:
    """Neither where the folder itself is a link, nor one in it, whatever may be overwritten."""
    write_archive(workshop.folder / "good", form, [Odd("folder/file")])
    (workshop.folder / "linked").symlink_to("../outside")
    (workshop.folder / "real").mkdir()
    (workshop.folder / "real/folder").symlink_to("../../outside/folder")
    workshop.own()
    for overwrite in ("refuse", "skip", "replace"):
        assert await workshop.code_of("good", "linked", overwrite) == "not_a_folder"
        (workshop.folder / STAGING).rename(workshop.folder / f"left-{overwrite}")
        assert await workshop.code_of("good", "real", overwrite) in {"file_exists", "not_a_folder"}
        (workshop.folder / STAGING).rename(workshop.folder / f"left-again-{overwrite}")


async def test_names_that_are_swapped_meanwhile_lead_nowhere(workshop: Workshop) -> None:
    """A program exchanges the folder that is merged into with a link that leads out, as fast as it can."""
    write_archive(workshop.folder / "good", "tar", [Odd(f"folder/{number}/file") for number in range(300)])
    (workshop.folder / "real/folder").mkdir(parents=True)
    (workshop.folder / "real/trap").symlink_to("../../outside/folder")
    workshop.own()
    seen = set()
    with swapping((workshop.folder / "real/folder", workshop.folder / "real/trap")):
        for turn in range(20):
            seen.add((await workshop.code_of("good", "real", "replace")).partition("(")[0])
            if (workshop.folder / STAGING).exists():
                (workshop.folder / STAGING).rename(workshop.folder / f"left-{turn}")
            assert workshop.ground.is_untouched()
    assert seen - {"Outcome"}, "no attempt met the link"


def rewrite(raw: bytearray, at: bytes, offset: int, form: str, value: int) -> None:
    """Change a field behind the last place where these bytes stand."""
    struct.pack_into(form, raw, raw.rfind(at) + offset, value)


async def test_zips_that_lie_are_refused(workshop: Workshop) -> None:
    """Encrypted, of many parts, packed otherwise, overlapping, larger than they say, with a wrong sum, cut short."""
    path = write_archive(workshop.folder / "good", "zip", [Odd("a", content=b"x" * 1000), Odd("b", content=b"y" * 900)])
    good = path.read_bytes()
    lies = {
        "encrypted": (b"PK\x01\x02", 8, "<H", 1), "method": (b"PK\x01\x02", 10, "<H", 99),
        "overlap": (b"PK\x01\x02", 42, "<I", 0), "size": (b"PK\x01\x02", 24, "<I", 10),
        "crc": (b"PK\x01\x02", 16, "<I", 7), "disk": (b"PK\x05\x06", 4, "<H", 1),
        "rows": (b"PK\x05\x06", 10, "<H", 3), "local": (b"PK\x03\x04", 0, "<I", 0),
    }  # fmt: skip
    for name, change in lies.items():
        raw = bytearray(good)
        rewrite(raw, *change)
        (workshop.folder / name).write_bytes(raw)
    (workshop.folder / "short").write_bytes(good[: len(good) // 2])
    workshop.own()
    for name in (*lies, "short"):
        assert await workshop.code_of(name, f"new-{name}") == "file_archive_refused", name
        assert not (workshop.folder / f"new-{name}").exists()
        if (workshop.folder / STAGING).exists():
            (workshop.folder / STAGING).rename(workshop.folder / f"left-{name}")


async def test_the_directory_of_a_zip_rules(workshop: Workshop) -> None:
    """What a local header calls its entry counts for nothing."""
    raw = write_archive(workshop.folder / "good", "zip", [Odd("name-a")]).read_bytes()
    (workshop.folder / "good").write_bytes(raw.replace(b"name-a", b"../bad", 1))
    workshop.own()
    await workshop.unpack("good")
    assert [path.name for path in (workshop.folder / "new").iterdir()] == ["name-a"]


@pytest.mark.parametrize("form", TARS)
async def test_a_tar_that_is_cut_anywhere_is_refused(workshop: Workshop, form: str) -> None:
    """Nothing of it comes to its place."""
    raw = write_archive(workshop.folder / "good", form, [Odd("a", content=os.urandom(5000)), Odd("b")]).read_bytes()
    for turn in range(1, 8):
        (workshop.folder / "bad").write_bytes(raw[: min(len(raw), 6500) * turn // 9])
        await assert_refused(workshop, "file_archive_refused")
        if (workshop.folder / STAGING).exists():
            (workshop.folder / STAGING).rename(workshop.folder / f"left-{turn}")


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, b"7z\xbc\xaf\x27\x1c" + bytes(600)])
async def test_what_is_no_archive_is_refused(workshop: Workshop, content: bytes) -> None:
    """By what is in it, whatever it is called."""
    (workshop.folder / "bad").write_bytes(content)
    await assert_refused(workshop, "file_archive_refused")


async def test_the_entry_is_named_as_one_line_of_text(workshop: Workshop) -> None:
    """Whatever bytes an attacker has put into its name."""
    write_archive(workshop.folder / "bad", "tar", [Odd("../a\nb\udcff")])
    workshop.own()
    with pytest.raises(ArchiveRefused) as refused:
        await workshop.unpack("bad")
    assert "../a\\nb\\udcff" in refused.value.detail
    assert refused.value.detail.isprintable()


def test_the_writer_of_these_tests_writes_zips(workshop: Workshop) -> None:
    """The control: others read what is attacked with."""
    path = write_archive(workshop.folder / "good", "zip", [Odd("a"), Odd("l", "link", target="a")])
    assert zipfile.ZipFile(path).namelist() == ["a", "l"]


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
async def test_names_that_are_swapped_while_they_are_packed_lead_nowhere(workshop: Workshop, form: str) -> None:
    """A program exchanges a folder and a file in it with links that lead out; no archive has what lies there."""
    folder = workshop.folder / "work/folder"
    folder.mkdir(parents=True)
    (folder / "file").write_text("inside")
    (folder / "trap").symlink_to("../../../outside/file")
    (workshop.folder / "work/trap").symlink_to("../../outside/folder")
    workshop.own()
    seen: set[bytes] = set()
    with swapping((folder, workshop.folder / "work/trap"), (folder / "file", folder / "trap")):
        for _ in range(20):
            await workshop.pack("work", form=form, replace=True)
            seen |= contents_of(workshop.folder / "made")
    assert seen == {b"inside"}
