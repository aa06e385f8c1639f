"""A configuration that cannot be used is refused before anything starts, and the message names the key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zlh_agent.cli import main
from zlh_agent.config import AgentConfig, find_unknown_keys, load_config, render_config
from zlh_common.errors import ConfigInvalid

GOOD: dict[str, Any] = {
    "vmid": 101,
    "owner": "6f6b3c1e-0d2f-4c51-9d3c-0b6f4f7f2a11",
    "root": "/nowhere",
    "bind_address": "127.0.0.1",
    "port": 7443,
    "artifacts_url": "http://127.0.0.1:8480",
    "tls": {"certificate": "agent.crt", "private_key": "agent.key", "client_ca": "ca.crt"},
    "trust": {"root": "root.json"},
}


def lines(**changes: object) -> str:
    """Return a good configuration as TOML with some keys changed; None leaves one out."""
    document = {**GOOD, **changes}
    flat = [f"{key} = {json.dumps(value)}" for key, value in document.items() if value and not isinstance(value, dict)]
    tables = [
        f"[{key}]\n" + "\n".join(f"{name} = {json.dumps(held)}" for name, held in value.items() if held is not None)
        for key, value in document.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*flat, *tables])


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., AgentConfig]:
    """Return what loads a good configuration with some keys changed."""
    for name in ("agent.crt", "agent.key", "ca.crt", "root.json"):
        (tmp_path / name).touch()

    def load_changed(**changes: object) -> AgentConfig:
        path = tmp_path / "agent.toml"
        path.write_text(lines(**changes))
        return load_config(path)

    return load_changed


def test_paths_are_relative_to_the_file(load: Callable[..., AgentConfig], tmp_path: Path) -> None:
    """Certificates and root lie beside the configuration; what is left out has its default."""
    config = load()
    assert config.tls.private_key == tmp_path / "agent.key"
    assert config.trust.root == tmp_path / "root.json"
    assert (config.channels, config.terminal_user, config.log_level) == (("stable",), None, "INFO")
    assert config.paths.runtimes == Path("/nowhere/opt/zlh/runtimes")


def test_servers_are_asked_in_the_order_of_the_file(load: Callable[..., AgentConfig]) -> None:
    """First the one that every agent has, then its mirrors."""
    config = load(artifacts_mirrors=["http://second", "http://third"])
    assert config.artifacts_urls == ("http://127.0.0.1:8480", "http://second", "http://third")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.77.3.1"])
def test_any_ip_address_will_do(address: str, load: Callable[..., AgentConfig]) -> None:
    """IPv4 and IPv6, all interfaces or one."""
    assert load(bind_address=address).bind_address == address


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vmid", 99),
        ("vmid", 1_000_000_000),
        ("vmid", "101"),
        ("vmid", None),
        ("owner", "me"),
        ("owner", None),
        ("root", "relative/folder"),
        ("root", None),
        ("bind_address", "localhost"),
        ("bind_address", "127.0.0.1:7443"),
        ("port", 65536),
        ("port", 1.5),
        ("artifacts_url", "ftp://somewhere"),
        ("artifacts_url", "somewhere:8480"),
        ("artifacts_url", "http://[::1"),
        ("artifacts_url", "http://"),
        ("artifacts_mirrors", ["http://good:1", "ftp://somewhere"]),
        ("artifacts_mirrors", "http://alone"),
        ("artifacts_mirrors", ["http://one"] * 9),
        ("channels", ["nightly"]),
        ("channels", "stable"),
        ("terminal_user", ["dev"]),
        ("terminal_environment", {"HOST": 1}),
        ("log_level", "LOUD"),
        ("tls", None),
        ("trust", None),
        ("certificate", {"tls": {**GOOD["tls"], "certificate": "missing.crt"}}),
        ("private_key", {"tls": {**GOOD["tls"], "private_key": None}}),
        ("client_ca", {"tls": {**GOOD["tls"], "client_ca": 7}}),
        ("private_key", {"tls": {**GOOD["tls"], "private_key": "missing.key"}}),
        ("client_ca", {"tls": {**GOOD["tls"], "client_ca": "."}}),
        ("trust.root", {"trust": {"root": "missing.json"}}),
    ],
)
def test_every_mistake_is_named(key: str, value: object, load: Callable[..., AgentConfig]) -> None:
    """The message has the key that is wrong and the file that it stands in."""
    changes = value if isinstance(value, dict) and key != "terminal_environment" else {key: value}
    with pytest.raises(ConfigInvalid) as caught:
        load(**changes)
    assert key in caught.value.detail
    assert "agent.toml" in caught.value.detail


def test_what_a_newer_api_has_written_is_left_out(load: Callable[..., AgentConfig], tmp_path: Path) -> None:
    """An agent that has gone back starts with the configuration of its successor, and says what it does not know."""
    config = load(later=True, tls={**GOOD["tls"], "cipher": "x"})
    assert config == load()
    load(later=True, tls={**GOOD["tls"], "cipher": "x"})
    assert find_unknown_keys(tmp_path / "agent.toml") == ["later", "tls.cipher"]


def test_all_problems_are_told_together(load: Callable[..., AgentConfig]) -> None:
    """One look is enough to mend all of them."""
    with pytest.raises(ConfigInvalid) as caught:
        load(owner="me", bind_address="here", root="x", trust={"root": "missing"})
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("content", [b"vmid = ", b"\xff\xfe", b"[tls]\n[tls]\n", b"tls = 3", b""])
def test_what_is_no_toml_of_ours_is_refused(content: bytes, tmp_path: Path) -> None:
    """Broken syntax, another encoding and the wrong kinds of things are all `config_invalid`."""
    path = tmp_path / "agent.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"agent\.toml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """So is a folder in its place."""
    for path in (tmp_path / "agent.toml", tmp_path):
        with pytest.raises(ConfigInvalid, match=str(path)):
            load_config(path)


def test_the_rendered_configuration_can_be_printed(load: Callable[..., AgentConfig], tmp_path: Path) -> None:
    """It is plain JSON and says where the key is, not what it is."""
    (tmp_path / "agent.key").write_text("very secret")
    rendered = json.dumps(render_config(load()))
    assert str(tmp_path / "agent.key") in rendered
    assert "very secret" not in rendered


def test_check_config_prints_and_does_not_start(
    load: Callable[..., AgentConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds comes as JSON."""
    load()
    main(["--config", str(tmp_path / "agent.toml"), "--check-config"])
    assert json.loads(capsys.readouterr().out)["vmid"] == 101


def run_agent(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a configuration that ends it."""
    argv = [sys.executable, "-m", "zlh_agent", "--config", str(path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_a_bad_file_ends_the_command_with_one_line(tmp_path: Path) -> None:
    """Exit code 1, the reason and its code on standard error, no traceback."""
    done = run_agent(tmp_path / "missing.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "[config_invalid]" in done.stderr


def test_certificates_that_are_none_end_the_command_with_one_line(
    load: Callable[..., AgentConfig], tmp_path: Path
) -> None:
    """Empty files instead of certificates: the line names them, and nothing listens."""
    load(root=str(tmp_path / "root"))
    done = run_agent(tmp_path / "agent.toml")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "[config_invalid]" in last
    assert "tls" in last
    assert "Traceback" not in done.stderr
