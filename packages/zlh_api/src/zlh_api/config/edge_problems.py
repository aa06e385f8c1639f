"""What is wrong with the tables that say how names lead to containers: pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from zlh_api.config.edge_tables import GamePortsSection, SftpSection, TraefikSection

# One entry point each; more would make Traefik itself slow to start.
MOST_GAME_PORTS = 2000


def find_edge_problems(traefik: TraefikSection) -> list[str]:
    """Return what is wrong with the table of the proxy."""
    problems = [*_find_directory_problems(traefik), *_find_api_problems(traefik)]
    if traefik.sftp is not None:
        problems += _find_sftp_problems(traefik, traefik.sftp)
    if traefik.games is not None:
        problems += _find_port_problems(traefik.games)
    return problems


def _find_directory_problems(traefik: TraefikSection) -> list[str]:
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


def _find_port_problems(games: GamePortsSection) -> list[str]:
    problems = []
    for name, text in (("tcp", games.tcp), ("udp", games.udp)):
        if text is None:
            continue
        first, last = map(int, text.split("-"))
        if not 1 <= first <= last <= 65535:
            problems.append(f"traefik.games.{name} {text!r} is no range of ports from 1 to 65535, the lower one first")
        elif last - first >= MOST_GAME_PORTS:
            problems.append(f"traefik.games.{name} {text!r} has more than {MOST_GAME_PORTS} ports")
    return problems
