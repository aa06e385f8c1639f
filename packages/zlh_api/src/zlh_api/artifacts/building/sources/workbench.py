"""What sources share during one build: the cache, the programs that they run, and what was asked once already."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zlh_api.artifacts.errors import ArtifactFetchFailed, SourceHashMismatch
from zlh_api.artifacts.model import Recipe, WheelFile
from zlh_api.artifacts.tree import hash_file

# What a program must know to reach the network from here, in whatever way the machine is set up.
NETWORK_VARIABLES = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "npm_config_registry", "NPM_CONFIG_REGISTRY"),
)

# Fetches the wheel of a recipe for a platform into a folder and returns its path.
Fetcher = Callable[[Recipe, WheelFile, Path], Path]
# Unpacks the archive of another recipe, by its label, into a folder.
Provider = Callable[[str, Path], None]


@dataclass(frozen=True, slots=True)
class Means:
    """How sources are reached from this machine."""

    # Recipe's name → address that stands in for the vendor's own.
    mirrors: Mapping[str, str] = field(default_factory=dict)
    # Where apt's own settings are, and so the package sources that may be asked.
    apt: Path = Path("/etc/apt")
    # In pip's place.
    fetch_wheel: Fetcher | None = None
    # Whom the operators of an upstream can write to, and how long it is waited where one asks for patience.
    contact: str | None = None
    pause: Callable[[float], None] = time.sleep


PLAIN = Means()


def _no_lock(name: str) -> bytes:
    raise FileNotFoundError(name)


@dataclass(frozen=True, slots=True)
class Workbench:
    """Handed to every source of one build."""

    cache: Path
    provide: Provider
    means: Means = PLAIN
    # Reads one of the lock files beside the recipes.
    read_lock: Callable[[str], bytes] = _no_lock
    # Descriptor of the tree's lock, for children.
    lock: int | None = None

    def run(
        self,
        command: Sequence[str],
        *,
        source: str,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program to its end and return what it printed; raise ArtifactFetchFailed with its last words.

        It stays in our process group, so that Ctrl-C ends it with us.
        """
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                cwd=cwd,
                env=env,
                pass_fds=() if self.lock is None else (self.lock,),
            )
        except subprocess.TimeoutExpired as exc:
            raise ArtifactFetchFailed(source=source, reason=f"no end after {timeout_s:.0f} s") from exc
        except FileNotFoundError as exc:
            raise ArtifactFetchFailed(source=source, reason=f"there is no program {command[0]}") from exc
        if done.returncode != 0:
            raise ArtifactFetchFailed(source=source, reason=last_lines(done.stderr or done.stdout))
        return done.stdout


def last_lines(output: str, limit: int = 5) -> str:
    """Return the end of what a program said, for a message."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join(lines[-limit:])[:1500] or "it says nothing"


def check_sha256(path: Path, wanted: str, *, source: str) -> None:
    """Raise SourceHashMismatch unless the file has this SHA-256."""
    found, _size = hash_file(path)
    if found != wanted:
        raise SourceHashMismatch(source=source, wanted=wanted, found=found)


def network_environment() -> dict[str, str]:
    """Return the variables of ours that a program needs to reach the network, and no others."""
    return {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}
