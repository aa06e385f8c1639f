"""What is said to apt, npm and a vendor's list, and what their answers mean."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from zlh_api.artifacts.building.elf import ElfDamaged, read_elf
from zlh_api.artifacts.building.sources.apt_rules import (
    DebFile,
    choose_sources,
    parse_uris,
    render_apt_config,
    upstream_version,
)
from zlh_api.artifacts.building.sources.npm_rules import LockUnusable, check_lock
from zlh_api.artifacts.building.sources.vendor_rules import ReleasesUnusable, find_newest
from zlh_api.artifacts.building.trust_store import parse_pem, render_trust_store
from zlh_api.artifacts.model import Layout
from zlh_api.artifacts.rules import LayoutWrong, SourceEntry, TreeEntry, arrange, is_of_line, plan_tree, relative_folder
from zlh_common.runtime_choice import this_platform

SHA256 = "ab" * 32


def test_package_files_are_read_with_their_versions_and_hashes() -> None:
    """An escaped version is the real one; what has no SHA-256 is nothing that could be held."""
    printed = (
        f"'http://x.example/open_1%3a17.0.21+2-1_amd64.deb' open_1%3a17.0.21+2-1_amd64.deb 10 SHA256:{SHA256}\n"
        f"'http://x.example/weak_1_amd64.deb' weak_1_amd64.deb 10 MD5Sum:{'a' * 32}\n"
        "Something else\n"
    )
    assert list(parse_uris(printed)) == [DebFile("open", "1:17.0.21+2-1", "open_1%3a17.0.21+2-1_amd64.deb", SHA256)]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("17.0.21.1+2-1~deb12u1", "17.0.21.1"),
        ("3.11.2-6+deb12u9", "3.11.2"),
        ("2:1.0~rc1-1", "1.0"),
        ("7", "7"),
        ("1.2.", "1.2"),
    ],
)
def test_upstream_version_is_the_leading_numbers(version: str, upstream: str) -> None:
    """Epoch, Debian's own part and build numbers are no part of what customers are offered."""
    assert upstream_version(version) == upstream


def test_sources_of_the_suite_are_chosen_with_their_keys_and_nothing_that_weakens_them() -> None:
    """Both formats; other suites, sources of code, switched-off ones and trust without a signature stay behind."""
    files = {
        "sources.list": (
            "# a comment\n"
            "deb [signed-by=/keys/a.gpg trusted=yes] http://one.example/debian bookworm main contrib\n"
            "deb-src http://one.example/debian bookworm main\n"
            "deb http://other.example/debian trixie main\n"
        ),
        "b.sources": (
            "Types: deb deb-src\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates trixie\n"
            "Components: main\nTrusted: yes\nSigned-By: /keys/b.gpg\n\n"
            "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
        ),
    }
    chosen = choose_sources(files, ["bookworm", "bookworm-updates"])
    assert chosen == (
        "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /keys/a.gpg\n\n"
        "Types: deb\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /keys/b.gpg\n"
    )
    assert choose_sources(files, ["sid"]) == ""


def test_apt_keeps_the_way_to_the_network_and_no_hook() -> None:
    """Proxies of the machine are used; what it runs after an update, or lets pass unsigned, is not."""
    system = (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::AllowInsecureRepositories "1";\n'
        'APT::Update::Post-Invoke:: "rm -rf /";\n'
    )
    config = render_apt_config("/x/apt", "arm64", system)
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in config
    assert "Insecure" not in config
    assert "Post-Invoke" not in config
    assert 'Dir::State "/x/apt/state";' in config
    assert 'APT::Architecture "arm64";' in config


def make_releases(*sdks: tuple[str, str], file: str = "sdk.tar.gz") -> bytes:
    """Write a list of releases in the form of .NET's."""
    releases = [
        {
            "release-date": "2026-01-01",
            "release-version": version,
            "security": True,
            "runtime": {"version": version, "files": []},
            "sdk": {
                "version": version,
                "files": [
                    {"name": "sdk.zip", "rid": "win-x64", "url": "https://v.example/z", "hash": "00" * 64},
                    {"name": file, "rid": "linux-x64", "url": f"https://v.example/{version}.tgz", "hash": checksum},
                ],
            },
            "sdks": None,
        }
        for version, checksum in sdks
    ]
    return msgspec.json.encode({"channel-version": "8.0", "latest-sdk": "8.0.404", "releases": releases})


def test_newest_finished_release_of_the_line_is_found() -> None:
    """Numbers count as numbers; previews and other lines do not count."""
    text = make_releases(
        ("8.0.99", "AA" * 64), ("8.0.404", "bb" * 64), ("8.0.500-rc.1", "cc" * 64), ("80.0.1", "dd" * 64)
    )
    found = find_newest(text, line="8.0", file="sdk.tar.gz")
    assert (found.version, found.url, found.checksum) == (
        "8.0.404",
        "https://v.example/8.0.404.tgz",
        f"sha512:{'bb' * 64}",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<html>", "no list"),
        (b"{}", "no list"),
        (make_releases(), "no sdk.tar.gz"),
        (make_releases(("9.0.1", "aa" * 64)), "no sdk.tar.gz"),
        (make_releases(("8.0.1", "aa" * 32)), "no SHA-512"),
        (make_releases(("8.0.1", "")), "no SHA-512"),
    ],
)
def test_list_of_releases_without_what_is_needed_is_refused(text: bytes, said: str) -> None:
    """Nothing is fetched that no published checksum would hold."""
    with pytest.raises(ReleasesUnusable, match=said):
        find_newest(text, line="8.0", file="sdk.tar.gz")


GOOD = {"integrity": "sha512-" + "A" * 86 + "=="}


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ({"node_modules/a": {}}, "node_modules/a"),
        ({"node_modules/a": GOOD, "node_modules/a/node_modules/b": {"integrity": "sha1-xx"}}, "node_modules/b"),
        ({"node_modules/a": {"version": "1", "resolved": "git+ssh://x"}}, "SHA-512"),
    ],
)
def test_lock_with_an_open_end_is_refused(packages: dict[str, object], said: str) -> None:
    """One package without a SHA-512 could be anything."""
    with pytest.raises(LockUnusable, match=said):
        check_lock(msgspec.json.encode({"lockfileVersion": 3, "packages": {"": {}, **packages}}))


def test_lock_that_holds_everything_is_taken() -> None:
    """Links into the package and what comes within another package need no hash of their own."""
    packages = {
        "": {},
        "node_modules/a": GOOD,
        "node_modules/b": {"link": True},
        "node_modules/a/node_modules/c": {"inBundle": True},
    }
    check_lock(msgspec.json.encode({"packages": packages}))
    with pytest.raises(LockUnusable, match="no lock file"):
        check_lock(b'{"dependencies": {}}')


@pytest.mark.parametrize(
    ("path", "folder", "way"),
    [("bin/x", "lib", "../lib"), ("lib/x.so", "lib", "."), ("lib/a/b/x", "lib/c", "../../c"), ("x", "lib", "lib")],
)
def test_way_from_a_file_to_a_folder(path: str, folder: str, way: str) -> None:
    """Relative, so that the tree may stand anywhere."""
    assert relative_folder(path, folder) == way


def test_line_is_a_prefix_of_whole_numbers() -> None:
    """17.0.1 is of 17, 170 is not."""
    assert is_of_line("17.0.1", "17")
    assert is_of_line("17", "17")
    assert not is_of_line("170", "17")


LINKED = [
    SourceEntry("usr/x/real", 5, executable=True),
    SourceEntry("usr/x/inside", 0, executable=False, target="real"),
    SourceEntry("usr/x/outside", 0, executable=False, target="/etc/x.conf"),
    SourceEntry("usr/x/round", 0, executable=False, target="../y/other"),
    SourceEntry("usr/y/other", 0, executable=False, target="/usr/x/real"),
    SourceEntry("etc/x.conf", 7, executable=False),
]


def test_links_stay_where_they_lead_inside_and_become_files_where_not() -> None:
    """A tree needs nothing of the machine it is unpacked on."""
    tree = {entry.path: entry for entry in plan_tree(LINKED, Layout(root="usr/x"))}
    assert (tree["inside"].kind, tree["inside"].origin) == ("link", "real")
    assert (tree["outside"].kind, tree["outside"].origin, tree["outside"].size) == ("file", "etc/x.conf", 7)
    assert (tree["round"].kind, tree["round"].origin, tree["round"].executable) == ("file", "usr/x/real", True)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "nothing", "loop"])
def test_link_that_leads_nowhere_in_the_source_is_refused(target: str) -> None:
    """Neither a link out nor a loop ever reaches an archive."""
    entries = [
        SourceEntry("usr/x/loop", 0, executable=False, target=target),
        SourceEntry("usr/x/a", 1, executable=False),
    ]
    with pytest.raises(LayoutWrong, match="usr/x/loop"):
        plan_tree(entries, Layout(root="usr/x"))


@pytest.mark.parametrize("path", ["lib/../../x", "/x", "a\\b", "a\nb", "a//b", ""])
def test_no_name_that_leads_out_is_ever_in_a_tree(path: str) -> None:
    """Whatever made it up: a recipe, an archive, or a library that claims to be called so."""
    with pytest.raises(LayoutWrong, match="unsafe"):
        arrange([TreeEntry(path, "file", "origin", 1)])


def test_keep_takes_nothing_else() -> None:
    """And a pattern that matches nothing is an error, as in leave_out."""
    assert [entry.path for entry in plan_tree(LINKED, Layout(root="usr/x", keep=("real",)))] == ["real"]
    with pytest.raises(LayoutWrong, match="keep gone"):
        plan_tree(LINKED, Layout(root="usr/x", keep=("real", "gone")))


def test_own_interpreter_is_read_as_a_program() -> None:
    """A real file of this machine, against what the linker's own tool would say."""
    with Path(sys.executable).resolve().open("rb") as file:
        elf = read_elf(file, this_platform())
    assert elf is not None
    assert "libc.so.6" in elf.needed


def test_what_is_no_program_is_left_alone_and_a_damaged_one_is_named() -> None:
    """Scripts, object files and other machines' files are data."""
    whole = Path(sys.executable).resolve().read_bytes()
    assert read_elf(io.BytesIO(b"#!/bin/sh\n"), this_platform()) is None
    assert read_elf(io.BytesIO(b"\x7fELF"), this_platform()) is None
    assert read_elf(io.BytesIO(whole[:16] + b"\x01\0" + whole[18:64]), this_platform()) is None
    assert read_elf(io.BytesIO(whole), "linux-other") is None
    for cut in (64, 200, 1000):
        with pytest.raises(ElfDamaged):
            read_elf(io.BytesIO(whole[:cut]), this_platform())


def test_trust_store_depends_on_the_certificates_alone() -> None:
    """Order and doubles do not matter; the format is Sun's, closed by a hash over the password and all of it."""
    pem = b"x -----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE----- y"
    assert parse_pem(pem) == [b"\0\1\2"]
    store = render_trust_store([b"one", b"two", b"one"], at_ms=5)
    assert store == render_trust_store([b"two", b"one"], at_ms=5)
    assert struct.unpack_from(">III", store) == (0xFEEDFEED, 2, 2)
    sealed = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(sealed).digest()
    with pytest.raises(ValueError, match=r"base64|padding|characters"):
        parse_pem(b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----")


def test_publisher_alone_loads_the_sources() -> None:
    """Reading recipes, as a server does, loads neither archives nor compressors."""
    code = (
        "import sys, zlh_api.artifacts.building.recipes;"
        "heavy = {'tarfile', 'zstandard'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
