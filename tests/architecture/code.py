"""The project's own code as a tree of modules and imports, read without running any of it."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("zlh_common", "zlh_agent", "zlh_api")


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The distribution it belongs to."""
        return self.name.split(".", maxsplit=1)[0]

    @property
    def slice(self) -> str:
        """The folder below the package, or the file's own name where it stands at the top."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def imports(self, *, lazy: bool = True) -> set[str]:
        """Return every module that is imported; without `lazy` only what is imported when this one is."""
        nodes = ast.walk(self.tree) if lazy else self._top_level()
        found: set[str] = set()
        for node in nodes:
            match node:
                case ast.Import(names=names):
                    found |= {alias.name for alias in names}
                case ast.ImportFrom(module=str(module), names=names):
                    found |= {f"{module}.{alias.name}" for alias in names} | {module}
                case _:
                    pass
        return found

    def _top_level(self) -> list[ast.AST]:
        nodes: list[ast.AST] = []
        waiting: list[ast.AST] = list(self.tree.body)
        while waiting:
            node = waiting.pop()
            nodes.append(node)
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting += list(ast.iter_child_nodes(node))
        return nodes


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the three distributions."""
    found = []
    for package in PACKAGES:
        source = ROOT / "packages" / package / "src"
        for path in sorted((source / package).rglob("*.py")):
            name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(name, path, ast.parse(path.read_text())))
    return tuple(found)


def module_names() -> frozenset[str]:
    """Return the names of all modules."""
    return frozenset(module.name for module in modules())


def reachable(start: str) -> set[str]:
    """Return everything that is loaded when `start` is imported: our modules, and the top-level names of others."""
    by_name = {module.name: module for module in modules()}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module = by_name.get(name)
        if module is not None:
            waiting += [imported for imported in module.imports(lazy=False) if imported not in seen]
            waiting += [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 1)]
    return seen | {name.split(".", maxsplit=1)[0] for name in seen}


def tracked_files() -> list[Path]:
    """Return every file that git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]
