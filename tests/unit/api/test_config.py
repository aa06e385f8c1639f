"""The configuration file: what is refused, and that everything wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from zlh_api.app import make_driver
from zlh_api.config import is_loopback, load_config
from zlh_api.containers.service import Hosting
from zlh_api.drivers.proxmox.driver import ProxmoxDriver
from zlh_common.errors import ConfigInvalid
from zlh_common.names import HostName, Vmid

GOOD = {
    "": {
        "portal_url": "http://portal.localhost:8400",
        "container_domain": "localhost",
        "keys_dir": "/tmp/keys",
        "state_dir": "/tmp/state",
    },
    "database": {"dsn": "postgresql:///zlh"},
    "artifacts": {"url": "http://127.0.0.1:8401", "trusted_root": "/tmp/root.json"},
    "process": {"root": "/tmp/containers"},
    "traefik": {
        "directory": "/tmp/routes",
        "api_url": "http://127.0.0.1:8402",
        "web_url": "http://127.0.0.1:8403",
    },
}


def write(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """Write the good file with (table, key, TOML value) changed, and return its path."""
    tables = {name: {key: f'"{value}"' for key, value in table.items()} for name, table in GOOD.items()}
    for table, key, value in changes:
        tables.setdefault(table, {})[key] = value
    path = folder / "api.toml"
    path.write_text(
        "\n".join(
            (f"[{name}]\n" if name else "") + "".join(f"{key} = {value}\n" for key, value in table.items())
            for name, table in tables.items()
        )
    )
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """What is named is taken, what is not has its default, and paths are paths."""
    config = load_config(write(tmp_path, ("", "listen_port", "8500")))
    assert config.api_url == "http://127.0.0.1:8500"
    assert config.process is not None
    assert config.process.address_block == "127.77.0.0/16"
    assert config.artifacts.trusted_root == Path("/tmp/root.json")


def test_mirrors_follow_the_first_server(tmp_path: Path) -> None:
    """They are asked in the order in which they are written."""
    config = load_config(write(tmp_path, ("artifacts", "mirrors", '["http://b", "http://c"]')))
    assert config.artifacts.urls == ("http://127.0.0.1:8401", "http://b", "http://c")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("mirrors", '["ftp://x"]', "artifacts.mirrors 'ftp://x'"),
        ("mirrors", '["http://[::1"]', "artifacts.mirrors"),
        ("mirrors", '"http://b"', "mirrors"),
        ("keys", '"/tmp/keys"', "without artifacts.folder"),
        ("keys", '"/tmp/tree/metadata/keys"', "lies within"),
    ],
)
def test_artifacts_that_make_no_sense_are_refused(tmp_path: Path, key: str, value: str, told: str) -> None:
    """The message names the key."""
    folder = [("artifacts", "folder", '"/tmp/tree"')] if "tree" in value else []
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, ("artifacts", key, value), *folder))
    assert told in caught.value.detail


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """Whoever corrects a file wants the whole list."""
    path = write(
        tmp_path,
        ("", "listen_host", '"0.0.0.0"'),
        ("", "portal_url", '"portal"'),
        ("", "container_domain", '"Upper.example"'),
        ("artifacts", "url", '"ftp://x"'),
        ("traefik", "api_url", '""'),
        ("traefik", "web_url", '"http://"'),
        ("process", "address_block", '"10.0.0.0/8"'),
    )
    with pytest.raises(ConfigInvalid) as caught:
        load_config(path)
    names = (
        "listen_host",
        "portal_url",
        "container_domain",
        "artifacts.url",
        "traefik.api_url",
        "traefik.web_url",
        "process.address_block",
    )
    assert len(caught.value.problems) == len(names)
    for name in names:
        assert sum(problem.startswith(name) for problem in caught.value.problems) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_the_process_driver_refuses_to_listen_beyond_loopback(tmp_path: Path, host: str) -> None:
    """It isolates nothing, so nobody but this machine may reach its API."""
    with pytest.raises(ConfigInvalid, match="isolates nothing"):
        load_config(write(tmp_path, ("", "listen_host", f'"{host}"')))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    """Loopback is what no other machine can reach."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("table", "key"), [("", "portal_uri"), ("database", "password"), ("traefik", "url"), ("lxc", "bridge")]
)
def test_an_unknown_key_is_refused(tmp_path: Path, table: str, key: str) -> None:
    """A key that nobody reads is a typing mistake, and its name is told."""
    with pytest.raises(ConfigInvalid, match=key if table != "lxc" else "lxc"):
        load_config(write(tmp_path, (table, key, '"x"')))


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("", "listen_port", "0"),
        ("", "listen_port", "65536"),
        ("", "driver", '"docker"'),
        ("", "channels", '["nightly"]'),
        ("", "keys_dir", "7"),
        ("", "container_scheme", '"gopher"'),
        ("database", "max_connections", "1"),
        ("database", "dsn", "5"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, table: str, key: str, value: str) -> None:
    """The sentence names the file and the key."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, (table, key, value)))
    assert "api.toml" in caught.value.detail
    assert key in caught.value.detail


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    """Neither is an exception that nobody has named."""
    with pytest.raises(ConfigInvalid, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    for content in (b"a = ", b"\xff\xfe"):
        broken.write_bytes(content)
        with pytest.raises(ConfigInvalid, match=r"broken\.toml"):
            load_config(broken)


def test_container_urls_leave_the_usual_port_out() -> None:
    """A port is shown only where a browser needs it."""
    host = HostName("dev", Vmid(101))
    assert Hosting("example.org", "https", 443).url(host) == "https://dev-101.example.org/"
    assert Hosting("example.org", "https", 8443).url(host) == "https://dev-101.example.org:8443/"


PROXMOX = (
    ("", "driver", '"proxmox"'),
    ("proxmox", "url", '"https://pve1.example.org:8006"'),
    ("proxmox", "token_id", '"zlh@pve!api"'),
    ("proxmox", "token_file", '"/tmp/token"'),
    ("proxmox", "template", '"local:vztmpl/zlh-1.tar.zst"'),
    ("proxmox", "storage", '"local-lvm"'),
    ("proxmox", "bridge", '"vmbr1"'),
    ("proxmox", "address_block", '"10.20.1.0/24"'),
    ("proxmox", "prefix", "16"),
    ("proxmox", "gateway", '"10.20.0.1"'),
    ("proxmox", "allowed_from", '["10.20.0.2"]'),
    ("proxmox", "artifact_servers", '["10.20.0.4"]'),
    ("proxmox.ssh", "key", '"/tmp/key"'),
    ("proxmox.ssh", "known_hosts", '"/tmp/known"'),
)


def test_a_cluster_is_read_and_a_driver_made_of_it(tmp_path: Path) -> None:
    """Without asking anybody yet; the artifact server's port comes from its address."""
    config = load_config(write(tmp_path, *PROXMOX, ("artifacts", "url", '"https://artifacts.example.org:8443"')))
    driver = make_driver(config)
    assert isinstance(driver, ProxmoxDriver)
    around = driver._settings.surroundings
    assert (around.prefix, around.artifact_port, around.egress) == (16, 8443, "internet")
    assert driver._settings.recipe.template == "local:vztmpl/zlh-1.tar.zst"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("url", '"http://pve1:8006"', "is no https URL"),
        ("token_id", '"zlh@pve"', "is not USER@REALM!NAME"),
        ("fingerprint", '"AB:CD"', "is no SHA-256"),
        ("template", '"zlh.tar.zst"', "neither a number nor"),
        ("tags", '["Upper"]', "is no tag"),
        ("tags", '["zlh-x"]', "is no tag"),
        ("gateway", '"10.99.0.1"', "is not within 10.20.0.0/16"),
        ("gateway", '"gateway"', "is no IPv4 address"),
        ("address_block", '"10.20.1.1/24"', "is no block"),
        ("allowed_from", '["proxy"]', "is no IPv4 address"),
        ("allowed_from", "[]", "length"),
        ("password", '"secret"', "unknown field"),
    ],
)
def test_what_cannot_be_a_cluster_is_refused(tmp_path: Path, key: str, value: str, words: str) -> None:
    """By name, before anything is asked."""
    with pytest.raises(ConfigInvalid, match=words):
        load_config(write(tmp_path, *PROXMOX, ("proxmox", key, value)))


def test_a_certificate_is_believed_by_one_thing(tmp_path: Path) -> None:
    """Two would leave open which of them counts."""
    both = (("proxmox", "ca", '"/tmp/ca.pem"'), ("proxmox", "fingerprint", f'"{"AB" * 32}"'))
    with pytest.raises(ConfigInvalid, match="both given"):
        load_config(write(tmp_path, *PROXMOX, *both))


def test_a_driver_without_its_table_is_refused(tmp_path: Path) -> None:
    """With the name of what is missing."""
    with pytest.raises(ConfigInvalid, match=r"\[proxmox\] is missing"):
        load_config(write(tmp_path, ("", "driver", '"proxmox"')))
