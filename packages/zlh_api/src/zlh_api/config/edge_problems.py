"""What is wrong with the tables of the edge whose types are right: pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from zlh_api.config.edge_tables import GamePortsSection, SftpSection, TraefikSection, parse_ports
from zlh_api.config.model import ApiConfig
from zlh_common.names import is_domain, is_label
from zlh_common.toml_config import is_http_url

# Each is a listener of the proxy from its start.
MAX_GAME_PORTS = 2000


def find_portal_problems(config: ApiConfig) -> list[str]:
    """Return what is wrong with the portal's address where it is one: what browsers send is compared with it."""
    if not is_http_url(config.portal_url):
        return []
    url = urlsplit(config.portal_url)
    host = url.hostname or ""
    if not is_domain(host):
        return [f"portal_url {config.portal_url!r} has no host that the proxy could have a route for"]
    problems = []
    usual = {"http": 80, "https": 443}[url.scheme]
    origin = f"{url.scheme}://{host}" + (f":{url.port}" if url.port not in {None, usual} else "")
    if config.portal_url not in {origin, f"{origin}/"}:
        problems.append(f"portal_url {config.portal_url!r} is not as browsers name it; write {origin!r}")
    label, _, domain = host.partition(".")
    if domain == config.container_domain and is_label(label):
        problems.append(f"portal_url {config.portal_url!r} has the name of a container; choose another")
    return problems


def find_public_problems(config: ApiConfig) -> list[str]:
    """Return what does not fit together of the scheme, certificates and ports by which the public comes in."""
    if not is_http_url(config.traefik.web_url):
        return []
    problems, traefik = [], config.traefik
    web_scheme = urlsplit(traefik.web_url).scheme
    if config.container_scheme == "http" and (traefik.tls is not None or web_scheme == "https"):
        problems.append(
            "container_scheme is http, and the proxy speaks TLS ([traefik.tls], traefik.web_url): make it https"
        )
    if config.container_scheme == "https" and web_scheme == "http":
        problems.append(
            f"container_scheme is https, and traefik.web_url {traefik.web_url!r} is not, so no certificate would ever "
            "be checked: name the HTTPS side of the proxy, or of what stands in front of it"
        )
    if traefik.tls is not None and traefik.tls.ca is not None and not traefik.tls.ca.is_absolute():
        problems.append(f"traefik.tls.ca {traefik.tls.ca} is no absolute path")
    return problems + _find_pool_problems(traefik.games or GamePortsSection(), web_port=urlsplit(traefik.web_url).port)


def find_directory_problems(traefik: TraefikSection) -> list[str]:
    """Return what is wrong with the table of the proxy."""
    problems = [*_find_folder_problems(traefik), *_find_api_problems(traefik)]
    if traefik.sftp is not None:
        problems += _find_sftp_problems(traefik, traefik.sftp)
    return problems


def _find_folder_problems(traefik: TraefikSection) -> list[str]:
    directory, quarantine = traefik.directory, traefik.quarantine_folder
    problems = [
        f"traefik.{name} {path} has .. in it"
        for name, path in (("directory", directory), ("quarantine", quarantine))
        if ".." in path.parts
    ]
    if quarantine == directory or quarantine.is_relative_to(directory):
        problems.append(
            f"traefik.quarantine {quarantine} lies within traefik.directory {directory}, where the proxy reads every "
            "file; put it beside that"
        )
    elif directory.is_relative_to(quarantine):
        problems.append(f"traefik.directory {directory} lies within traefik.quarantine {quarantine}; put it beside")
    return problems


def _find_api_problems(traefik: TraefikSection) -> list[str]:
    if not is_http_url(traefik.api_url):
        return []
    has_tls = urlsplit(traefik.api_url).scheme == "https"
    problems = []
    if traefik.api_ca is not None and not has_tls:
        problems.append(f"traefik.api_ca is given, and traefik.api_url {traefik.api_url!r} has no TLS")
    if traefik.api_credentials is not None and not has_tls:
        problems.append(
            f"traefik.api_credentials would be sent in the clear to {traefik.api_url!r}; make that an https URL"
        )
    if urlsplit(traefik.api_url).username or urlsplit(traefik.api_url).password:
        problems.append("traefik.api_url holds credentials; put them into a file that traefik.api_credentials names")
    return problems


def _find_sftp_problems(traefik: TraefikSection, sftp: SftpSection) -> list[str]:
    problems = [
        f"traefik.{name} {path} is relative; with traefik.sftp it is a path as the proxy's machine shows it, from /"
        for name, path in (("directory", traefik.directory), ("quarantine", traefik.quarantine_folder))
        if not path.is_absolute()
    ]
    for name, text in (("host", sftp.host), ("user", sftp.user)):
        if not text or text.startswith("-") or any(each.isspace() or not each.isprintable() for each in text):
            problems.append(f"traefik.sftp.{name} {text!r} is no name")
    return problems


def _find_pool_problems(games: GamePortsSection, *, web_port: int | None) -> list[str]:
    problems = []
    for name, text in (("tcp", games.tcp), ("udp", games.udp)):
        ports = parse_ports(text)
        if text is not None and not ports:
            problems.append(f"traefik.games.{name} {text!r} is no range of ports, lowest first, such as 25500-25599")
        if len(ports) > MAX_GAME_PORTS:
            problems.append(f"traefik.games.{name} has {len(ports)} ports; {MAX_GAME_PORTS} is the most")
        if name == "tcp" and (web_port or 443) in ports:
            problems.append(f"traefik.games.tcp {text!r} has the port of traefik.web_url in it")
    return problems
