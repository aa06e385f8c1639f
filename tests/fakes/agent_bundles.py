"""Bundles of the agent that are small: this checkout's own code under another version, and libraries from elsewhere.

They run as agents with this environment's libraries, which a `.pth` file leads to. What is wrong with one is a few
lines that are added to its code.
"""

from __future__ import annotations

import functools
import py_compile
import re
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import cache_from_source
from pathlib import Path

from fakes.runtime_shop import Member, RuntimeShop, member
from zlh_common.schema.agent_update import AGENT_OFFER

ROOT = Path(__file__).parents[2]
PYTHON = "{}.{}".format(*sys.version_info[:2])
SITE = "lib/site-packages"
PROGRAM = """\
#!/usr/bin/python3 -IS
import os, sys
root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.append(os.path.join(root, "lib", "python%d.%d" % sys.version_info[:2], "site-packages"))
sys.dont_write_bytecode = True
from zlh_agent import __version__
print(__version__)
"""


@dataclass(frozen=True)
class Bundle:
    """One version, and what is added to which module of it: {"zlh_agent/cli.py": "raise SystemExit(3)"}."""

    version: str
    added: Mapping[str, str] = field(default_factory=dict)
    pythons: tuple[str, ...] = (PYTHON,)
    # Added to the launcher that it brings.
    launcher: str = ""
    # What is another text in which module: {"zlh_agent/cli.py": (("before", "after"),)}; each stands there once.
    changed: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Return name → bytes and mode."""
        found = dict(self._modules())
        found["bin/zlh-agent"] = (PROGRAM.encode(), 0o755)
        found[f"{SITE}/libraries.pth"] = (f"{sysconfig.get_path('purelib')}\n".encode(), 0o644)
        for name in ("zlh-agent.service", "zlh.slice"):
            found[f"system/{name}"] = ((ROOT / "deploy/agent" / name).read_bytes(), 0o644)
        launcher = (ROOT / "packages/zlh_agent/src/zlh_agent/launcher.py").read_text()
        found["system/launcher.py"] = (f"{launcher}{self.launcher}".encode(), 0o644)
        return found

    def _modules(self) -> dict[str, tuple[bytes, int]]:
        found = {}
        for package in ("zlh_agent", "zlh_common"):
            source = ROOT / "packages" / package / "src"
            for path in sorted(source.joinpath(package).rglob("*.py")):
                name = str(path.relative_to(source))
                text = path.read_text()
                if name == f"{package}/__init__.py":
                    text = re.sub(r'__version__ = ".*"', f'__version__ = "{self.version}"', text)
                content = f"{_change(name, text, self.changed.get(name, ()))}{self.added.get(name, '')}"
                found[f"{SITE}/{name}"] = (content.encode(), 0o644)
                if (compiled := _compile(content, name)) is not None:
                    found[cache_from_source(f"{SITE}/{name}")] = (compiled, 0o644)
        return found

    def members(self) -> list[Member]:
        """Return the entries of its archive."""
        entries = [member(name, content, mode=mode) for name, (content, mode) in self.files().items()]
        links = [_link(f"lib/python{python}/site-packages", "../site-packages") for python in self.pythons]
        return [*entries, *links]

    def offer(self, shop: RuntimeShop, *, version: str = "") -> None:
        """Put its archive into a shop, not yet published, under its own version or as another."""
        version = version or self.version
        shop.add(
            version,
            name=AGENT_OFFER,
            kind="agent",
            members=self.members(),
            smoke_test=("bin/zlh-agent", "--version"),
            smoke_expect=version,
        )

    def unpack(self, folder: Path) -> Path:
        """Unpack it as a template does; return the folder of the version."""
        bundle = folder / self.version
        for name, (content, mode) in self.files().items():
            path = bundle / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        for python in self.pythons:
            (bundle / f"lib/python{python}").mkdir()
            (bundle / f"lib/python{python}/site-packages").symlink_to("../site-packages")
        (bundle / "bin/python3").symlink_to("/usr/bin/python3")
        (bundle / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        return bundle


def _change(name: str, text: str, changes: Sequence[tuple[str, str]]) -> str:
    for before, after in changes:
        assert text.count(before) == 1, f"{name} has not once: {before}"
        text = text.replace(before, after)
    return text


@functools.cache
def _compile(content: str, name: str) -> bytes | None:
    """Return a module as the build compiles it, once for all bundles that have it; None for one that is broken."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, Path(name).name)
        source.write_text(content)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        try:
            compiled = py_compile.compile(str(source), dfile=name, doraise=True, invalidation_mode=mode)
        except py_compile.PyCompileError:
            return None
        assert compiled is not None
        return Path(compiled).read_bytes()


def _link(name: str, target: str) -> Member:
    info, content = member(name, kind=b"2", to=target, mode=0o777)
    return info, content
