"""Which room may know which: each rule with its reason, held against every import."""

from __future__ import annotations

import pytest

from architecture.code import Module, modules, reachable

# Beside these, whatever is called `…_rules` or `…_wire`.
PURE = {
    "chain", "crew", "decisions", "diff", "foreign_files", "ledger", "limits", "lxc_config", "machine", "mark", "names",
    "network_rule", "pace", "placement", "plan", "rendering", "rules", "runtime_choice", "sizes", "step_names",
    "token_buckets", "transfer_rate", "verdicts", "version_order",
}  # fmt: skip
# What a decision may lean on: values, text, and nothing that asks the world.
PURE_MAY_IMPORT = {
    "__future__", "base64", "collections", "dataclasses", "datetime", "difflib", "enum", "fnmatch", "functools",
    "hashlib", "ipaddress", "itertools", "json", "math", "msgspec", "platform", "re", "struct", "typing", "unicodedata",
    "uuid",
    # Parsers of what others wrote: text in, values out.
    "tomllib", "urllib.parse", "yaml",
    "zlh_agent", "zlh_api", "zlh_common",
}  # fmt: skip
# Where parts are joined: these may know every room.
COMPOSITION = {"app", "cli", "describe", "__main__", "dev"}


def is_pure(module: Module) -> bool:
    """Tell whether a module makes decisions only."""
    return module.stem in PURE or module.stem.endswith(("_wire", "_rules"))


def is_root(name: str) -> bool:
    """Tell whether a module is where the parts of a program are joined."""
    return name.startswith(("zlh_agent.app", "zlh_api.app"))


@pytest.mark.parametrize(
    ("package", "forbidden", "reason"),
    [
        ("zlh_common", {"zlh_agent", "zlh_api"}, "common is what both sides share, so it knows neither"),
        ("zlh_agent", {"zlh_api"}, "agent and API meet in zlh_common alone"),
        ("zlh_api", {"zlh_agent"}, "agent and API meet in zlh_common alone"),
    ],
)
def test_packages_meet_in_common(package: str, forbidden: set[str], reason: str) -> None:
    """No distribution imports one that it must not know."""
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        if module.package == package
        for name in module.imports()
        if name.split(".")[0] in forbidden
    ]
    assert not wrong, f"{reason}: {wrong}"


def test_decisions_ask_nothing() -> None:
    """A pure module has no clock, no chance, no disk, no network and no log, so its tests need none."""
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        if is_pure(module)
        for name in module.imports()
        if not any(f"{name}.".startswith(f"{allowed}.") for allowed in PURE_MAY_IMPORT)
    ]
    assert not wrong, wrong


def test_nothing_imports_the_composition_root() -> None:
    """What knows every part is known by nobody but the commands, or every part would know every other."""
    wrong = [
        module.name
        for module in modules()
        if any(is_root(name) for name in module.imports())
        and not (is_root(module.name) or module.stem in {"cli", "describe"} or module.slice == "dev")
    ]
    assert not wrong, wrong


def test_drivers_are_named_where_they_are_made() -> None:
    """Only the composition root knows which driver, proxy or directory there is; the rest knows the ports."""
    means = {
        "zlh_api.drivers.process",
        "zlh_api.drivers.proxmox.driver",
        "zlh_api.drivers.lxc.driver",
        "zlh_api.edge.traefik",
        "zlh_api.edge.local_directory",
        "zlh_api.edge.sftp_directory",
    }
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        for name in module.imports()
        if name in means and module.slice not in COMPOSITION
    ]
    assert not wrong, wrong


def test_no_import_goes_in_a_circle() -> None:
    """Whoever reads a module can read what it stands on first."""
    known = {module.name: module for module in modules() if module.path.name != "__init__.py"}
    left = {name: module.imports() & known.keys() - {name} for name, module in known.items()}
    while ready := [name for name, wanted in left.items() if not wanted & left.keys()]:
        for name in ready:
            del left[name]
    assert not left


def test_slices_are_served_one_way() -> None:
    """Of two slices one serves the other. Values, decisions and ports may be known by both; HTTP stands above all."""
    asks: dict[str, set[str]] = {}
    for module in modules():
        if module.package != "zlh_api" or module.slice in COMPOSITION or module.stem.endswith("routes"):
            continue
        asks.setdefault(module.slice, set())
        for name in module.imports():
            other = next((each for each in modules() if each.name == name), None)
            if other is not None and other.package == "zlh_api" and other.slice != module.slice and _serves(other):
                asks[module.slice].add(other.slice)
    assert not [(one, other) for one, others in asks.items() for other in others if one in asks.get(other, set())]


def _serves(module: Module) -> bool:
    """Tell whether a module does something for who imports it, and is more than words that both have in common."""
    return not is_pure(module) and module.stem not in {"model", "port", "refusals", "__init__"}


def test_routes_hold_no_sql() -> None:
    """HTTP asks a service; a store is asked by its own service alone."""
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        if module.stem.endswith("routes")
        for name in module.imports()
        if name.endswith("store") or name.split(".")[0] == "asyncpg"
    ]
    assert not wrong, wrong


def test_composition_roots_are_not_rooms() -> None:
    """The root of each program wires, and says nothing about containers, steps or runtimes."""
    for module in modules():
        if is_root(module.name):
            lines = module.path.read_text()
            assert "Lifecycle" not in lines, module.name
            assert "StepState" not in lines, module.name


@pytest.mark.parametrize("daemon", ["zlh_agent.app.serve", "zlh_api.app.serve"])
def test_daemons_stay_small(daemon: str) -> None:
    """tuf, archives and their kin live in children that end; in a daemon their memory would stay for good."""
    heavy = {"tuf", "zstandard", "tarfile", "zipfile", "urllib3", "securesystemslib"}
    if daemon == "zlh_agent.app.serve":
        heavy |= {"cryptography", "asyncpg", "ctypes", "configupdater", "javaproperties", "ruamel", "tomlkit"}
    assert not heavy & reachable(daemon)


@pytest.mark.parametrize(
    "child", ["zlh_agent.files.child", "zlh_agent.ports.forward_child", "zlh_agent.sandbox.confined_program"]
)
def test_small_children_stay_small(child: str) -> None:
    """They run with the standard library alone, and what is dear in that stays out: there may be many of them."""
    dear = {"asyncio", "contextlib", "dataclasses", "enum", "logging", "pathlib", "re", "socket", "typing"}
    assert not (dear | {"aiohttp", "msgspec", "psutil", "structlog"}) & reachable(child)
