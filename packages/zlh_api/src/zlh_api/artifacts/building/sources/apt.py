"""apt with a state of its own, as any user: the system's lists, caches and packages are neither used nor touched.

apt checks the signature of the suite's index and every hash on the way from there to a package; nothing is installed,
and no script of a package is run.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from zlh_api.artifacts.building.sources.apt_rules import DebFile, choose_sources, parse_uris, render_apt_config
from zlh_api.artifacts.building.sources.workbench import Workbench, check_sha256
from zlh_api.artifacts.errors import ArtifactFetchFailed, ArtifactPartsMissing

UPDATE_TIMEOUT_S = 300
FETCH_TIMEOUT_S = 900


class Apt:
    """The indexes of some suites for one architecture, asked anew once in a build."""

    def __init__(self, bench: Workbench, suites: Sequence[str], architecture: str) -> None:
        self._bench, self._suites, self._system = bench, tuple(suites), bench.means.apt
        self._architecture = architecture
        self._folder = bench.cache / "apt" / "-".join([*suites, architecture])
        self._is_fresh = False
        self._lock = threading.Lock()

    def find(self, packages: Sequence[str], *, source: str) -> list[DebFile]:
        """Return the newest of each package; raise ArtifactFetchFailed or ArtifactPartsMissing."""
        with self._lock:
            if not self._is_fresh:
                self._update(source)
                self._is_fresh = True
        printed = self._run("apt-get", "download", "--print-uris", *packages, source=source, timeout_s=60)
        found = {file.package: file for file in parse_uris(printed)}
        absent = [package for package in packages if package not in found]
        if absent:
            raise ArtifactFetchFailed(source=source, reason=f"the suites have no {', '.join(absent)}")
        return [found[package] for package in packages]

    def fetch(self, files: Iterable[DebFile], folder: Path, *, source: str) -> list[Path]:
        """Fetch the packages into `folder`, each with the hash that the signed index has for it."""
        files = list(files)
        names = [f"{file.package}={file.version}" for file in files]
        self._run("apt-get", "download", *names, source=source, timeout_s=FETCH_TIMEOUT_S, cwd=folder)
        for file in files:
            check_sha256(folder / file.name, file.sha256, source=f"{file.package}={file.version}")
        return [folder / file.name for file in files]

    def _update(self, source: str) -> None:
        if shutil.which("apt-get") is None:
            raise ArtifactPartsMissing(recipe=source, parts=["apt-get"])
        sources = choose_sources(self._read_system(), self._suites)
        if not sources:
            reason = f"apt on this machine knows none of the suites {', '.join(self._suites)}"
            raise ArtifactFetchFailed(source=source, reason=reason)
        for name in ("etc/sources.d", "state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "state/status").touch()
        (self._folder / "etc/sources.d/chosen.sources").write_text(sources)
        system = self._bench.run(["apt-config", "dump", "Acquire"], source=source, timeout_s=30)
        config = render_apt_config(str(self._folder), self._architecture, system)
        (self._folder / "apt.conf").write_text(config)
        self._run("apt-get", "--quiet", "update", source=source, timeout_s=UPDATE_TIMEOUT_S)

    def _read_system(self) -> dict[str, str]:
        parts = self._system / "sources.list.d"
        files = [self._system / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
        return {file.name: file.read_text(errors="replace") for file in files if file.is_file()}

    def _run(self, *command: str, source: str, timeout_s: float, cwd: Path | None = None) -> str:
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        environment["APT_CONFIG"] = str(self._folder / "apt.conf")
        return self._bench.run(command, source=source, timeout_s=timeout_s, cwd=cwd, env=environment)
