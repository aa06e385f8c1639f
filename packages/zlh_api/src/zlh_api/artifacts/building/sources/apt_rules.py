"""What is said to apt and what it answers, as pure functions of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_URI_LINE = re.compile(r"^'[^']+' (?P<name>[^/\s]+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})\s*$")
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")
_NETWORK = re.compile(r'^Acquire::(http|https)(::[^\s"]+)? ".*";$')


@dataclass(frozen=True, slots=True)
class DebFile:
    """One package as the signed index has it."""

    package: str
    version: str
    # Of the file that apt makes of it.
    name: str
    sha256: str


def parse_uris(printed: str) -> Iterator[DebFile]:
    """Read what `apt-get download --print-uris` prints; a line without a SHA-256 is no package that we could hold."""
    for line in printed.splitlines():
        match = _URI_LINE.match(line)
        if match is None:
            continue
        parts = match["name"].removesuffix(".deb").split("_")
        if len(parts) == 3:
            yield DebFile(parts[0], unquote(parts[1]), match["name"], match["sha256"])


def upstream_version(version: str) -> str:
    """Return the upstream's own numbers of a Debian version: 3.11.2 of 3.11.2-6+deb12u9, 17.0.21.1 of 17.0.21.1+2-1."""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    if match is None:
        raise ValueError(version)
    return match[1]


def choose_sources(files: Mapping[str, str], suites: Iterable[str]) -> str:
    """Return those of the machine's own package sources that have one of `suites`, as one deb822 text.

    The signing keys stay with them. Options that would let an unsigned index pass are left behind.
    """
    wanted = set(suites)
    stanzas = []
    for name, text in files.items():
        parse = _deb822_stanzas if name.endswith(".sources") else _one_line_stanzas
        for stanza in parse(text):
            chosen = [suite for suite in stanza.get("suites", "").split() if suite in wanted]
            if chosen and "deb" in stanza.get("types", "").split() and stanza.get("enabled", "yes") != "no":
                stanzas.append(_render_stanza(stanza, chosen))
    return "\n".join(stanzas)


def _render_stanza(stanza: Mapping[str, str], suites: list[str]) -> str:
    fields = {"Types": "deb", "URIs": stanza["uris"], "Suites": " ".join(suites), "Components": "main"}
    if "signed-by" in stanza:
        fields["Signed-By"] = stanza["signed-by"]
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _deb822_stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        stanza: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in {" ", "\t"} and last:
                stanza[last] += f"\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                last = name.strip().lower()
                stanza[last] = value.strip()
        if "uris" in stanza:
            yield stanza


def _one_line_stanzas(text: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None:
            continue
        stanza = {"types": "deb", "uris": match["uri"], "suites": match["suite"]}
        for option in (match["options"] or "").split():
            name, _, value = option.partition("=")
            if name.lower() == "signed-by":
                stanza["signed-by"] = value.replace(",", " ")
        yield stanza


def render_apt_config(folder: str, architecture: str, system: str) -> str:
    """Return apt's configuration: everything below `folder`, of the machine's own only how the network is reached.

    It says too where apt reads further configuration, so hooks of the machine are not run.
    """
    network = [line for line in system.splitlines() if _NETWORK.match(line)]
    settings = {
        "Dir::State": f"{folder}/state",
        "Dir::State::status": f"{folder}/state/status",
        "Dir::State::lists": f"{folder}/state/lists",
        "Dir::Cache": f"{folder}/cache",
        "Dir::Cache::archives": f"{folder}/cache/archives",
        # Made anew in a second, and a hundred megabytes to keep.
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::GzipIndexes": "true",
        "Dir::Etc::Main": "/dev/null",
        "Dir::Etc::Parts": "/dev/null",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": f"{folder}/etc/sources.d",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::Log": f"{folder}/state",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        # Files of ours are read and written as who we are; there is nothing to become root for.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
    }
    return "\n".join([*network, *(f'{name} "{value}";' for name, value in settings.items())]) + "\n"
