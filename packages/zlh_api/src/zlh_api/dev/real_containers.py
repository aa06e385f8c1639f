"""`ZLH_DRIVER=lxc make dev`: where its containers lie and what they are made of, for each installation. Blocks."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from zlh_api.dev.template_cache import note_template, note_use, prune
from zlh_api.drivers.lxc.model import HostUnready
from zlh_common.errors import ConfigInvalid, ZlhError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger()
DevDriver = Literal["process", "lxc"]
TEMPLATES = Path("/var/cache/zlh/templates")
ROOTS = Path("/var/lib/zlh")
FIRST_ID = 100_000
BUILD_TIMEOUT_S = 900.0
CHECKOUT = Path(__file__).resolve().parents[5]


class TemplateFailed(ZlhError):
    """The template of real containers could not be built."""

    code, status = "template_failed", 500

    def __init__(self, *, output: str) -> None:
        super().__init__(f"The template of containers could not be built: {output.strip()[-1500:]}")


@dataclass(frozen=True, slots=True)
class RealContainers:
    """What the table [lxc] of this installation says; two of them on one machine share nothing but the template."""

    root: Path
    template: Path
    bridge: str
    block: str
    gateway: str

    def render(self) -> str:
        """Return the table."""
        return (
            f"[lxc]\nroot = {json.dumps(str(self.root))}\ntemplate = {json.dumps(str(self.template))}\n"
            f'bridge = "{self.bridge}"\naddress_block = "{self.block}"\n'
        )


def choose_driver(environment: Mapping[str, str], home: Path) -> DevDriver:
    """Return the driver that ZLH_DRIVER names; a folder that was begun with another keeps to that one."""
    name = environment.get("ZLH_DRIVER") or "process"
    if name not in {"process", "lxc"}:
        raise ConfigInvalid(source="the environment", problems=[f"ZLH_DRIVER={name!r} is neither process nor lxc"])
    kept = home / "driver"
    before = kept.read_text().strip() if kept.exists() else "process" if (home / "postgres").exists() else name
    if before != name:
        problem = f"{home} was begun with ZLH_DRIVER={before}; for {name} choose another folder with ZLH_HOME=…"
        raise ConfigInvalid(source="the environment", problems=[problem])
    if name == "lxc" and os.geteuid() != 0:
        raise HostUnready("it needs root")
    kept.write_text(f"{name}\n")
    return "lxc" if name == "lxc" else "process"


def place_containers(environment: Mapping[str, str], home: Path, template: Path) -> RealContainers:
    """Return where the containers of this installation lie, by its folder, so that no two meet."""
    digest = hashlib.sha256(str(home).encode()).digest()
    block = environment.get("ZLH_LXC_BLOCK") or f"10.{128 + digest[4] % 64}.{digest[5]}.0/24"
    try:
        gateway = str(ipaddress.IPv4Network(block).network_address + 1)
    except ValueError as exc:
        raise ConfigInvalid(source="the environment", problems=[f"ZLH_LXC_BLOCK: {exc}"]) from exc
    return RealContainers(_find_root(environment, home), template, f"z{digest[:2].hex()}", block, gateway)


def _find_root(environment: Mapping[str, str], home: Path) -> Path:
    name = f"dev-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
    return Path(environment.get("ZLH_LXC_ROOT") or ROOTS / name).absolute()


def ensure_template(environment: Mapping[str, str], home: Path) -> Path:
    """Return the template with the agent of this checkout; built once, in half a minute; raise TemplateFailed.

    Those that no container and no installation of this machine uses any more are deleted.
    """
    if named := environment.get("ZLH_LXC_TEMPLATE"):
        return Path(named).absolute()
    builder = CHECKOUT / "deploy/container/build_template.py"
    if not builder.is_file():
        raise TemplateFailed(output="this is no checkout; name a template with ZLH_LXC_TEMPLATE=…")
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    base = TEMPLATES / f"base-{_digest([builder])}"
    template = TEMPLATES / f"agent-{_digest([builder, *_agent_sources()])}"
    with _alone(TEMPLATES):
        if not base.exists():
            _build(builder, base, source=None)
        if not template.exists():
            _build(builder, template, source=base)
        note_use(TEMPLATES, home=home, root=_find_root(environment, home), templates=(base, template))
        try:
            pruned = prune(TEMPLATES, roots=ROOTS)
        except OSError as exc:
            log.warning("templates.stay", reason=str(exc))
        else:
            log.info("templates.pruned", names=pruned)
    return template


def _build(builder: Path, target: Path, *, source: Path | None) -> None:
    """Make a root file system under another name and give it its own in the end."""
    note_template(target)
    unfinished = target.with_name(f".{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    build = [sys.executable, str(builder), str(unfinished), "--python=3.11", "--shift", str(FIRST_ID)]
    if source is not None:
        _run(["cp", "-a", "--reflink=auto", "--", str(source), str(unfinished)])
        build.append("--agent-alone")
    _run(build)
    unfinished.rename(target)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.CalledProcessError as exc:
        raise TemplateFailed(output=(exc.stderr or exc.stdout).decode("utf-8", "replace")) from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise TemplateFailed(output=str(exc)) from exc


def _agent_sources() -> list[Path]:
    packages = [CHECKOUT / "packages" / name / "src" for name in ("zlh_agent", "zlh_common")]
    sources = [path for package in packages for path in package.rglob("*.py")]
    return [CHECKOUT / "requirements.lock", *sorted((CHECKOUT / "deploy/agent").glob("*.*")), *sorted(sources)]


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
