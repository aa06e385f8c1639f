"""The static file for a production: made of the API's configuration, as it lies in `deploy`, and taken by Traefik."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml

from guards.ports import free_port
from real_parts.program import Program, listens
from zlh_api.cli import main
from zlh_api.dev.traefik import find_traefik

DEPLOY = Path(__file__).parents[3] / "deploy/traefik"
EXAMPLE = DEPLOY / "api.example.toml"
WHERE = ("--directory", "/srv/zlh-routes/dynamic")
ACME = ("--acme-email", "ops@example.org", "--acme-provider", "rfc2136", "--acme-ask", "192.0.2.53:53")


def make(capsys: pytest.CaptureFixture[str], *arguments: str, config: Path = EXAMPLE) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    with pytest.raises(SystemExit) as ended:
        main(["traefik-static", "--config", str(config), *arguments])
    printed = capsys.readouterr()
    return int(str(ended.value.code)), printed.out + printed.err


def test_what_is_deployed_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """So nobody edits one and forgets the other: entry points, pool and trust are the configuration's."""
    code, text = make(capsys, *WHERE, *ACME)
    shipped = (DEPLOY / "traefik.yml").read_text()
    assert code == 0
    assert "\n".join(itertools.dropwhile(lambda line: line.startswith("#"), shipped.splitlines())) + "\n" == text
    entries = yaml.safe_load(text)["entryPoints"]
    assert {f"game-tcp-{port}" for port in range(25565, 25575)} <= set(entries)
    assert {f"game-udp-{port}" for port in range(19132, 19137)} <= set(entries)
    assert entries["websecure"]["forwardedHeaders"]["trustedIPs"] == ["10.20.0.2", "192.0.2.0/24"]
    assert entries["traefik"]["address"] == "10.20.0.2:8401"


@pytest.mark.parametrize(("url", "is_open"), [("https://10.20.0.2:8401", False), ("http://127.0.0.1:8401", True)])
def test_its_own_api_is_open_where_no_credentials_are_used_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, is_open: bool
) -> None:
    """By TLS a route asks for them, beside which nothing may lead there without."""
    config = tmp_path / "api.toml"
    text = EXAMPLE.read_text().replace("https://10.20.0.2:8401", url)
    config.write_text(re.sub(r"^api_(ca|credentials) = .*\n", "", text, flags=re.MULTILINE))
    code, printed = make(capsys, *WHERE, *ACME, config=config)
    assert code == 0
    assert yaml.safe_load(printed)["api"] == {"insecure": is_open, "dashboard": False}


@pytest.mark.parametrize(
    ("arguments", "changed", "told"),
    [
        (WHERE, ("", ""), "needs --acme-email and --acme-provider"),
        ((*WHERE, *ACME), ('resolver = "acme"', ""), "no resolver is named"),
        (ACME, ("", ""), "--directory"),
    ],
    ids=["no-source", "no-resolver", "no-directory"],
)
def test_what_is_not_said_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], changed: tuple[str, str], told: str
) -> None:
    """Else every name would have Traefik's own certificate, or no route at all."""
    config = tmp_path / "api.toml"
    config.write_text(EXAMPLE.read_text().replace(*changed) if changed[0] else EXAMPLE.read_text())
    code, text = make(capsys, *arguments, config=config)
    assert code == 1
    assert told in text


@pytest.mark.real("traefik")
def test_traefik_starts_with_it(tmp_path: Path) -> None:
    """On other ports, since these may be taken: what it does not know it would refuse."""
    setting = yaml.safe_load((DEPLOY / "traefik.yml").read_text())
    for name, entry in setting["entryPoints"].items():
        protocol = entry["address"].rpartition("/")[2] if "/" in entry["address"] else "tcp"
        entry["address"] = f"127.0.0.1:{free_port()}/{protocol}"
        if name == "websecure":
            secure = int(re.findall(r":(\d+)/", entry["address"])[0])
    setting["providers"]["file"]["directory"] = str(tmp_path / "routes")
    (tmp_path / "routes").mkdir()
    setting["certificatesResolvers"]["acme"]["acme"]["storage"] = str(tmp_path / "acme.json")
    (tmp_path / "traefik.yml").write_text(yaml.safe_dump(setting))
    program = Program(
        (str(find_traefik()), f"--configFile={tmp_path}/traefik.yml"),
        tmp_path / "log",
        lambda: listens(secure),
        {"HOME": str(tmp_path)},
        stop_timeout_s=1.0,
    )
    with program.running():
        assert '"level":"error"' not in program.said


def test_no_secret_is_in_the_environment() -> None:
    """Variables name the files that hold them."""
    variables = dict(re.findall(r"^(?:# )?([A-Z0-9_]+)=(.+)$", (DEPLOY / "acme.env").read_text(), re.MULTILINE))
    secrets = [key for key in variables if re.search("SECRET|TOKEN|PASSWORD|API_KEY", key)]
    assert len(secrets) == 2
    assert all(key.endswith("_FILE") and variables[key].startswith("/") for key in secrets)
