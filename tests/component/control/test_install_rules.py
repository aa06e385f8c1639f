"""What the installer makes of a release and of a configuration, before anything of a host is touched."""

from __future__ import annotations

import getpass
import grp
import os
import re
import subprocess
import tomllib
from pathlib import Path

import install
import pytest
from install import (
    CONFIG,
    TO_FILL_IN,
    Refused,
    Work,
    is_local,
    parse_running,
    parse_version,
    read_release,
    refuse_older,
)

from build_release import sign
from zlh_api.artifacts.tree import hash_file
from zlh_api.config.model import ApiConfig
from zlh_api.config.problems import find_problems
from zlh_common.toml_config import convert_document

DEPLOY = Path(__file__).parents[3] / "deploy"
# What somebody fills in, by the setting: a list has one for each place.
FILLED_IN = {
    "listen_host": "10.20.0.3",
    "trusted_proxies": "10.20.0.2",
    "address_block": "10.20.1.0/24",
    "gateway": "10.20.1.1",
    "allowed_from": "10.20.0.3",
    "artifact_servers": "10.20.0.3",
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Lend a folder that is a release by its sums."""
    folder = tmp_path / "release"
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels/zlh_api-1.2.3-py3-none-any.whl").write_text("a wheel")
    (folder / "requirements.txt").write_text("zlh-api==1.2.3\n")
    (folder / "zlh-deploy-1.2.3.tar.zst").write_text("units")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / "SHA256SUMS").write_text("".join(f"{hash_file(path)[0]}  {path.relative_to(folder)}\n" for path in files))
    return folder


def make_key(folder: Path, name: str) -> Path:
    """Make a key of SSH."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return folder / name


def write_signers(key: Path) -> Path:
    """Write whom a host believes, as the page says it."""
    signers = key.with_suffix(".signers")
    signers.write_text('zlh-release namespaces="zlh-release" ' + key.with_suffix(".pub").read_text())
    return signers


def test_a_signed_release_is_believed(release: Path, tmp_path: Path) -> None:
    """By the key that the host knows, as `make release` signs it."""
    key = make_key(tmp_path, "maker")
    sign(release, key)
    assert read_release(release, write_signers(key)).version == "1.2.3"


def test_a_release_of_somebody_else_is_refused(release: Path, tmp_path: Path) -> None:
    """By another key, for another purpose, or by nobody."""
    ours, other = make_key(tmp_path, "maker"), make_key(tmp_path, "other")
    signers = write_signers(ours)
    with pytest.raises(Refused, match="is not signed, and"):
        read_release(release, signers)
    sign(release, other)
    with pytest.raises(Refused, match="is not signed by whom"):
        read_release(release, signers)
    (release / "SHA256SUMS.sig").unlink()
    elsewhere = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(ours), "-n", "file", str(release / "SHA256SUMS")]
    subprocess.run(elsewhere, check=True)
    with pytest.raises(Refused, match="is not signed by whom"):
        read_release(release, signers)


def test_sums_that_were_changed_after_the_signature_are_refused(release: Path, tmp_path: Path) -> None:
    """With a file that fits them: the signature is what tells."""
    key = make_key(tmp_path, "maker")
    sign(release, key)
    (release / "requirements.txt").write_text("evil\n")
    sums = release / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if "requirements" not in line]
    sums.write_text("\n".join([*lines, f"{hash_file(release / 'requirements.txt')[0]}  requirements.txt", ""]))
    assert read_release(release, None).version == "1.2.3"
    with pytest.raises(Refused, match="is not signed by whom"):
        read_release(release, write_signers(key))


def test_an_archive_that_was_changed_behind_the_look_is_not_unpacked(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole installation of libraries lies in between; nor is one that the sums do not name."""
    (release / "zlh-deploy-0.tar.zst").write_text("other units")
    seen = read_release(release, None)
    assert seen.deploy == "zlh-deploy-1.2.3.tar.zst"
    monkeypatch.setattr(install, "API", tmp_path / "api")
    seen.place.mkdir(parents=True)
    (release / seen.deploy).write_text("evil")
    with pytest.raises(Refused, match="changed meanwhile"):
        install._unpack_deploy(seen, "/nonexistent")


@pytest.mark.parametrize("name", ["requirements.txt", "wheels/zlh_api-1.2.3-py3-none-any.whl"])
def test_a_file_that_is_not_what_it_was_is_named(release: Path, name: str) -> None:
    """One that was changed, and one that is missing."""
    (release / name).write_text("other")
    with pytest.raises(Refused, match=name):
        read_release(release, None)
    (release / name).unlink()
    with pytest.raises(Refused, match=name):
        read_release(release, None)


def test_versions_are_numbers() -> None:
    """The tenth comes after the ninth, and nothing goes back."""
    assert parse_version("1.10.0") > parse_version("1.9.9")
    refuse_older(None, "0.1.0")
    refuse_older("1.9.0", "1.10.0")
    refuse_older("1.9.0", "1.9.0")
    with pytest.raises(Refused, match="older"):
        refuse_older("1.10.0", "1.9.9")


@pytest.mark.parametrize(
    ("dsn", "is_ours"),
    [
        ("postgresql:///zlh", True),
        ("postgres:///zlh?host=/run/postgresql", True),
        ("postgresql://zlh:secret@db.example/zlh", False),
        ("postgresql:///other", False),
        ("postgresql:///zlh?host=db.example", False),
        ("postgresql:///zlh?connect_timeout=3&host=/run/postgresql&host=db.example", False),
        ("postgresql:///zlh?h%6Fst=db.example", False),
        ("postgresql:///zlh?host=", False),
        ("postgresql:///zlh?port=5433", False),
        ("postgresql:///zlh?connect_timeout=3", True),
    ],
)
def test_a_database_elsewhere_is_left_alone(dsn: str, is_ours: bool) -> None:
    """Only the one that the socket leads to is made by the installer."""
    assert is_local(dsn) is is_ours


def test_what_runs_is_known_by_its_python() -> None:
    """By the path that a script names in its first line: the one that it was started by leads to another one since."""
    rest = b"/opt/zlh/api/current/bin/zlh-api\0serve\0--config\0/etc/zlh/api.toml\0"
    assert parse_running(b"/opt/zlh/api/1.2.3/bin/python3\0" + rest) == "1.2.3"
    assert parse_running(b"/usr/bin/python3\0" + rest) is None


@pytest.mark.parametrize("parent", ["", "below"])
def test_nothing_is_given_away_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parent: str) -> None:
    """Whoever could plant one below a folder of root's list had whatever it leads to; now it is named, and stays."""
    other, place = tmp_path / "other", tmp_path / parent / "keys"
    other.mkdir(mode=0o755)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(other)
    me = (getpass.getuser(), grp.getgrgid(os.getgid()).gr_name)
    monkeypatch.setattr(install, "has_user", lambda: True)
    monkeypatch.setattr(install, "FOLDERS", ((place, *me, 0o700),))
    with pytest.raises(Refused, match=re.escape(f"{place} is no folder")):
        install.settle_host(Work(is_dry=False), None)
    with pytest.raises(OSError, match="keys"):
        install._make_folder(place, *me, 0o700)
    assert other.stat().st_mode & 0o777 == 0o755


def test_root_works_in_no_folder_of_another_user() -> None:
    """Each folder that the installer gives away lies in one that is root's, which nobody else exchanges it in."""
    owners = {place: owner for place, owner, _group, _mode in install.FOLDERS}
    assert {owners.get(place.parent, "root") for place in owners} == {"root"}


def test_nobody_but_root_installs() -> None:
    """Told in one line, with whatever else is wrong, and nothing is done."""
    script = (DEPLOY / "install.py").read_text()
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    # Debian's own, which everybody may run.
    argv = [*as_nobody, "/usr/bin/python3", "-I", "-S", "-c", script.replace("__file__", "'/nowhere/install.py'")]
    done = subprocess.run([*argv, "--dry-run"], check=False, capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (1, "")
    assert "it must be root who installs" in done.stderr


def fill_in(line: str) -> str:
    """Return a line of a first configuration as somebody writes it who knows what belongs there."""
    setting = line.partition(" = ")[0]
    if TO_FILL_IN not in line or line.startswith("#"):
        return line
    if setting in FILLED_IN:
        is_list = "[" in line
        return f'{setting} = ["{FILLED_IN[setting]}"]' if is_list else f'{setting} = "{FILLED_IN[setting]}"'
    return line.replace(TO_FILL_IN, "10.20.0.9")


@pytest.mark.parametrize("driver", ["lxc", "proxmox"])
def test_first_configuration_is_read_once_it_is_filled_in(driver: str) -> None:
    """Each setting is one that there is, and nothing else is wrong with it."""
    text = (DEPLOY / f"control/api.{driver}.toml").read_text().replace("@DOMAIN@", "example.org")
    assert (TO_FILL_IN in text) is (driver == "proxmox")
    document = tomllib.loads("\n".join(map(fill_in, text.splitlines())))
    config = convert_document(document, ApiConfig, source=CONFIG)
    assert (config.driver, find_problems(config)) == (driver, [])
