"""The configuration file: what is refused, and that everything wrong is said at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from zlh_api.app.driver import agent_settings, make_driver, private_places
from zlh_api.app.settings import open_settings, proxy_setting, rate_settings
from zlh_api.circuit import Circuits
from zlh_api.config.edge_tables import parse_ports
from zlh_api.config.load import load_config
from zlh_api.config.problems import is_loopback
from zlh_api.config.tables import MAX_OPEN_CALLS
from zlh_api.containers.rules import find_excess
from zlh_api.containers.service import Hosting
from zlh_api.drivers.proxmox.driver import ProxmoxDriver
from zlh_api.edge.model import TlsSetting
from zlh_api.web.connections import MAX_CONNECTIONS
from zlh_api.web.rate_limits import Rates
from zlh_api.web.token_buckets import Rate
from zlh_common.errors import ConfigInvalid
from zlh_common.names import HostName, Vmid
from zlh_common.schema.customers import Quota
from zlh_common.schema.resources import Resources

GOOD = {
    "": {
        "portal_url": "http://portal.localhost:8400",
        "container_domain": "localhost",
        "container_scheme": "http",
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


def test_private_origins_reach_driver_and_agents(tmp_path: Path) -> None:
    """Every driver writes them for its agents, and those with a network of their own open it to these alone."""
    origins = ("artifacts", "private_origins", '["http://10.9.0.3:8080", "https://10.9.0.4"]')
    places = (("10.9.0.3", 8080), ("10.9.0.4", 443))
    for table in ((), PROXMOX, (*LXC, ("lxc", "egress", '"internet"'))):
        rows = [("proxmox", "token_file", '"/tmp/token"')] if table is PROXMOX else []
        config = load_config(write(tmp_path, *table, *rows, origins))
        assert config.artifacts.private_origins == ("http://10.9.0.3:8080", "https://10.9.0.4")
        assert agent_settings(config).private_origins == config.artifacts.private_origins
        assert private_places(config.artifacts) == places


@pytest.mark.parametrize(
    ("table", "value", "told"),
    [
        ((), "http://10.9.0.3/path", "is not of the form"),
        ((), "http://somebody@10.9.0.3", "is not of the form"),
        ((), "ftp://10.9.0.3", "is not of the form"),
        ("lxc", "http://mirror.example.org", "no IPv4 address"),
        ("proxmox", "http://mirror.example.org", "no IPv4 address"),
        ("lxc none", "http://10.9.0.3", "lets nobody reach them"),
    ],
)
def test_private_origins_that_lead_nowhere_are_refused(tmp_path: Path, table: str, value: str, told: str) -> None:
    """The message says what is missing, before a single install fails of it."""
    egress = ("lxc", "egress", '"internet"')
    tables = {"lxc": (*LXC, egress), "lxc none": LXC, "proxmox": PROXMOX}
    with pytest.raises(ConfigInvalid, match=told):
        load_config(write(tmp_path, *tables.get(table, ()), ("artifacts", "private_origins", f'["{value}"]')))


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


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("url", '"ftp://x"', "mods.url 'ftp://x'"),
        ("file_origins", '["https://cdn.example.net/"]', "mods.file_origins"),
        ("file_origins", '["cdn.example.net"]', "mods.file_origins"),
        ("file_origins", "[]", "file_origins"),
        ("contact", '"two words"', "contact"),
    ],
)
def test_where_mods_come_from_must_make_sense(tmp_path: Path, key: str, value: str, told: str) -> None:
    """An origin is a scheme, a host and perhaps a port; without the table nobody is asked."""
    contact = [] if key == "contact" else [("mods", "contact", '"operator@example.net"')]
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, ("mods", key, value), *contact))
    assert told in caught.value.detail
    assert load_config(write(tmp_path)).mods is None
    good = load_config(write(tmp_path, ("mods", "contact", '"operator@example.net"'))).mods
    assert good is not None
    assert good.file_origins == ("https://cdn.modrinth.com",)


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


def test_limits_have_defaults_that_fit_each_other(tmp_path: Path) -> None:
    """A file that says nothing of them is good, and cores are kept in hundredths."""
    sizes = load_config(write(tmp_path)).resources
    assert sizes.default.limits == Resources()
    assert not list(find_excess(sizes.default.limits, sizes.maximum.limits))
    sizes = load_config(write(tmp_path, ("resources.default", "cpu", "0.333"))).resources
    assert sizes.default.limits == Resources(cpu=0.33)


@pytest.mark.parametrize(
    ("table", "key", "value", "told"),
    [
        ("resources.default", "memory_mib", "16385", "resources.default.memory_mib 16385 is above"),
        ("resources.maximum", "cpu", "1.5", "resources.default.cpu 2.0 is above resources.maximum.cpu 1.5"),
        ("resources.maximum", "cpu", "nan", "$.resources.maximum.cpu"),
        ("resources.maximum", "cpu", "inf", "$.resources.maximum.cpu"),
        ("resources.maximum", "pids", "9223372036854775808", "$.resources.maximum.pids"),
        ("resources.maximum", "disk_mib", "-1", "$.resources.maximum.disk_mib"),
        ("resources.default", "memory_mib", '"2 GiB"', "$.resources.default.memory_mib"),
        ("resources.default", "memoryMib", "2048", "memoryMib"),
    ],
)
def test_limits_that_cannot_be_are_refused(tmp_path: Path, table: str, key: str, value: str, told: str) -> None:
    """The message names the key, and both figures where they contradict each other."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, (table, key, value)))
    assert told in caught.value.detail


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


SECURE = (("", "container_scheme", '"https"'), ("traefik", "web_url", '"https://127.0.0.1:443"'))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("traefik.tls", "resolver", '"acme"')], "container_scheme is http, and the proxy speaks TLS"),
        ([("traefik", "web_url", '"https://127.0.0.1"')], "container_scheme is http, and the proxy speaks TLS"),
        ([("", "container_scheme", '"https"')], "no certificate would ever be checked"),
        ([*SECURE, ("traefik.tls", "ca", '"ca.pem"')], "no absolute path"),
        ([("traefik.games", "tcp", '"25599-25500"')], "no range of ports"),
        ([("traefik.games", "udp", '"0-5"')], "no range of ports"),
        ([("traefik.games", "udp", '"65000-65536"')], "no range of ports"),
        ([("traefik.games", "tcp", '"20000-29999"')], "10000 ports"),
        ([("traefik.games", "tcp", '"8400-8410"')], "port of traefik.web_url"),
        ([*SECURE, ("traefik.games", "tcp", '"440-450"')], "port of traefik.web_url"),
        ([("traefik", "web_url", '"http://127.0.0.1:99999"')], "web_url 'http://127.0.0.1:99999' is no http"),
        ([("traefik", "api_url", '"http://[::1"')], "api_url 'http://[::1' is no http"),
        ([("", "portal_url", '"http://Portal.localhost"')], "write 'http://portal.localhost'"),
        ([("", "portal_url", '"http://portal.localhost:80"')], "write 'http://portal.localhost'"),
        ([("", "portal_url", '"HTTPS://portal.localhost:443/"')], "write 'https://portal.localhost'"),
        ([("", "portal_url", '"http://portal.localhost:8400/zlh"')], "write 'http://portal.localhost:8400'"),
        ([("", "portal_url", '"http://kim@portal.localhost"')], "write 'http://portal.localhost'"),
        ([("", "portal_url", '"http://[2001:db8::1]:8400"')], "no host that the proxy could have a route for"),
        ([("", "portal_url", '"http://portal.example.org."')], "no host that the proxy could have a route for"),
    ],
)
def test_what_the_public_side_cannot_be_is_told(tmp_path: Path, changes: list[tuple[str, str, str]], told: str) -> None:
    """Schemes that contradict each other, and pools of game ports that no proxy could open."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, *changes))
    assert told in caught.value.detail


def test_certificates_and_a_pool_of_game_ports_are_read(tmp_path: Path) -> None:
    """A proxy that speaks TLS itself, and one that has somebody in front who does."""
    load_config(write(tmp_path, *SECURE))
    pool = (("traefik.games", "tcp", '"25500-25599"'), ("traefik.games", "udp", '"443-443"'))
    config = load_config(write(tmp_path, *SECURE, ("traefik.tls", "resolver", '"acme"'), *pool))
    assert proxy_setting(config).tls == TlsSetting("acme")
    assert config.traefik.games is not None
    assert parse_ports(config.traefik.games.tcp) == range(25500, 25600)


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
    driver = make_driver(config, Circuits(FakeClock()))
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


LXC = (
    ("", "driver", '"lxc"'),
    ("artifacts", "url", '"http://10.81.0.1:8480"'),
    ("lxc", "root", '"/var/lib/zlh/containers"'),
    ("lxc", "template", '"/var/lib/zlh/template"'),
)


def test_the_table_of_real_containers_is_read(tmp_path: Path) -> None:
    """With defaults for all but two folders."""
    config = load_config(write(tmp_path, *LXC))
    assert config.lxc is not None
    assert config.driver_section is config.lxc
    assert (config.lxc.gateway, config.lxc.egress, config.lxc.disk) == ("10.81.0.1", "none", "image")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("root", '"/var/lib/my containers"', "no absolute path of letters"),
        ("template", '"template"', "no absolute path of letters"),
        ("bridge", '"bridge-of-guests"', "bridge"),
        ("address_block", '"10.81.0.0/33"', "no private IPv4 network"),
        ("address_block", '"8.8.8.0/24"', "no private IPv4 network"),
        ("address_block", '"10.82.0.0/16"', "reach 10.82.0.1 alone"),
        ("nameservers", '["9.9.9.9"]', "lets nobody reach them"),
        ("nameservers", '["dns.example"]', "no IPv4 address"),
    ],
)
def test_what_real_containers_cannot_work_with_is_refused(tmp_path: Path, key: str, value: str, said: str) -> None:
    """Each with the key, and what would do."""
    with pytest.raises(ConfigInvalid, match=said):
        load_config(write(tmp_path, *LXC, ("lxc", key, value)))


def test_real_containers_without_their_table_are_refused(tmp_path: Path) -> None:
    """The driver alone says nothing."""
    with pytest.raises(ConfigInvalid, match=r"the table \[lxc\] is missing"):
        load_config(write(tmp_path, ("", "driver", '"lxc"')))


@pytest.mark.parametrize("value", ['["proxy.example"]', '["10.0.0.1/8"]', '[""]', '["10.0.0.0/33"]'])
def test_a_trusted_proxy_is_an_address_or_a_block(tmp_path: Path, value: str) -> None:
    """A name could lead anywhere by the time that a request comes."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, ("", "trusted_proxies", value)))
    assert "trusted_proxies" in str(caught.value)


def test_trusted_proxies_are_read(tmp_path: Path) -> None:
    """Both kinds of address."""
    config = load_config(write(tmp_path, ("", "trusted_proxies", '["10.0.0.0/8", "::1"]')))
    assert config.trusted_proxies == ("10.0.0.0/8", "::1")


def test_quotas_and_limits_are_read(tmp_path: Path) -> None:
    """Without tables nothing is limited but the pace; what is named of them is taken, the rest as it is built in."""
    config = load_config(write(tmp_path))
    assert (config.quota.quota, rate_settings(config.rate_limits).credential.reads) == (Quota(), Rate(500, 1000))
    named = write(
        tmp_path,
        ("quota", "cpu", "2.5"),
        ("quota", "members", "0"),
        ("rate_limits", "changes", "{ per_s = 0.5, burst = 3 }"),
        ("rate_limits", "sockets", "7"),
    )
    config = load_config(named)
    assert config.quota.quota == Quota(cpu=2.5, members=0)
    assert rate_settings(config.rate_limits).credential == Rates(Rate(500, 1000), Rate(0.5, 3))
    assert open_settings(config.rate_limits).sockets == 7
    assert MAX_OPEN_CALLS < MAX_CONNECTIONS


@pytest.mark.parametrize(
    ("table", "key", "value", "problem"),
    [
        ("quota", "containers", "-1", "$.quota.containers"),
        ("quota", "cpu", "nan", "$.quota.cpu"),
        ("quota", "memoryMib", "5", "memoryMib"),
        ("rate_limits", "reads", "{ per_s = 0, burst = 3 }", "$.rate_limits.reads.per_s"),
        ("rate_limits", "reads", "{ per_s = nan, burst = 3 }", "$.rate_limits.reads.per_s"),
        ("rate_limits", "reads", "{ per_s = 5, burst = 0 }", "$.rate_limits.reads.burst"),
        ("rate_limits", "reads", "{ per_s = 5 }", "burst"),
        ("rate_limits", "event_streams", "0", "$.rate_limits.event_streams"),
        ("rate_limits", "sockets", str(MAX_OPEN_CALLS - 2499), "one process holds 7680 open"),
    ],
)
def test_quotas_and_limits_that_cannot_be_are_refused(
    tmp_path: Path, table: str, key: str, value: str, problem: str
) -> None:
    """By the name of the key."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, (table, key, value)))
    assert problem in caught.value.detail


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"traefik": {"quarantine": '"/tmp/routes/bad"'}}, "lies within traefik.directory"),
        ({"traefik": {"quarantine": '"/tmp/routes"'}}, "lies within traefik.directory"),
        ({"traefik": {"quarantine": '"/tmp"'}}, "lies within traefik.quarantine"),
        ({"traefik": {"directory": '"/tmp/../routes"'}}, "has .. in it"),
        ({"traefik": {"api_credentials": '"/tmp/none"'}}, "would be sent in the clear"),
        ({"traefik": {"api_credentials": '"/tmp/none"'}}, "traefik.api_credentials /tmp/none is no file"),
        ({"traefik": {"api_ca": '"/tmp/none"'}}, "has no TLS"),
        ({"traefik": {"api_url": '"http://u:p@127.0.0.1:1"'}}, "holds credentials"),
        ({"traefik": {"directory": '"routes"'}, "traefik.sftp": {}}, "is relative"),
        ({"traefik.sftp": {"host": '"-oProxyCommand=x"'}}, "traefik.sftp.host '-oProxyCommand=x' is no name"),
        ({"traefik.sftp": {}}, "traefik.sftp.known_hosts /tmp/hosts is no file"),
        ({"traefik.sftp": {}}, "traefik.sftp.key /tmp/key is no file"),
    ],
)
def test_a_directory_that_cannot_be_kept_is_told(tmp_path: Path, changes: dict[str, dict[str, str]], told: str) -> None:
    """What would hurt others, or would never work, is refused before anything starts."""
    sftp = {"host": '"h"', "key": '"/tmp/key"', "known_hosts": '"/tmp/hosts"'}
    changed = [
        (table, key, value)
        for table, keys in changes.items()
        for key, value in ({**sftp, **keys} if table == "traefik.sftp" else keys).items()
    ]
    with pytest.raises(ConfigInvalid, match=re.escape(told)):
        load_config(write(tmp_path, *changed))
