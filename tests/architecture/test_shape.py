"""How the code is cut: names that say something, functions that fit a screen, one place for wire structs and errors."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from architecture.code import PACKAGES, ROOT, module_names, modules, tracked_files
from zlh_api.agents.pins import REDIRECTS, SHOWS_ANOTHER
from zlh_api.proof.rules import ALL_FAULTS
from zlh_common.errors import ZlhError

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "misc", "manager", "common", "base"}
FUNCTION_LINES = 60
# A list of endpoints is a table, and reads best in one piece; one of more rows has a second subject in it.
LONG_TABLES, TABLE_LINES = ("endpoints", "routes"), 70
# Imported as programs, not as modules.
PROGRAMS = {"__main__"}


def all_errors() -> list[type[ZlhError]]:
    """Return every error class, after importing every module."""
    for name in module_names():
        if name.split(".")[-1] not in PROGRAMS:
            importlib.import_module(name)
    found: list[type[ZlhError]] = []
    waiting = [ZlhError]
    while waiting:
        for child in waiting.pop().__subclasses__():
            found.append(child)
            waiting.append(child)
    return [error for error in found if error.__module__.split(".")[0] in PACKAGES]


def literal_codes() -> set[str]:
    """Return the codes that are given to a value, as those of what is wrong with a choice: `code="…"`."""
    return {
        node.value.value
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.keyword) and node.arg in {"code", "reason_code"}
        and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }  # fmt: skip


def documented_codes() -> list[str]:
    """Return the codes that docs/errors.md explains."""
    return re.findall(r"^\| `([a-z0-9_]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)


def rooms_of(package: str) -> set[str]:
    """Return what docs/architecture.md names of a package."""
    chapter = (ROOT / "docs/architecture.md").read_text().partition("\n## Rooms\n")[2].partition("\n## ")[0]
    paragraph = chapter.partition(f"`{package}`:")[2].partition("\n`zlh_")[0]
    return set(re.findall(r"`([a-z0-9_]+)`", paragraph))


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_map_has_every_room(package: str) -> None:
    """Whoever looks for the place of a line reads the map first: what it lacks is found by nobody."""
    children = {name.split(".")[1] for name in module_names() if name.startswith(f"{package}.")}
    assert children - {"__main__"} - rooms_of(package) == set()


def test_module_names_say_something() -> None:
    """A file called `utils` is where a name is missing."""
    wrong = [str(path) for path in tracked_files() if path.suffix == ".py" and path.stem in NAMES_THAT_SAY_NOTHING]
    assert not wrong


def test_every_module_says_why_it_exists() -> None:
    """Each file begins with a sentence about what it is for."""
    assert not [module.name for module in modules() if not ast.get_docstring(module.tree)]


def test_functions_fit_a_screen() -> None:
    """A function beyond a screen has a second name in it."""
    long = [
        f"{module.name}.{node.name}: {(node.end_lineno or 0) - node.lineno + 1}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= (TABLE_LINES if node.name.endswith(LONG_TABLES) else FUNCTION_LINES)
    ]
    assert not long


def test_no_state_at_module_level() -> None:
    """A name that changes while a program runs belongs to somebody; at module level there are constants and `log`."""
    assert not [
        f"{module.name}: global {', '.join(node.names)}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]


def test_wire_structs_stand_in_the_schema() -> None:
    """What crosses a socket between programs is declared once, in zlh_common.schema."""
    wrong = [
        f"{module.name}.{node.name}"
        for module in modules()
        if not module.name.startswith("zlh_common.schema")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(parent, ast.Name) and parent.id in {"Request", "Report"} for parent in node.bases)
    ]
    assert not wrong


def test_mocks_have_a_reason() -> None:
    """A mock is used where no fake can be written, and the line above says why."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if path.suffix == ".py" and path.name != "test_shape.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "unittest.mock" in line and "# because" not in line
    ]
    assert not wrong


def test_error_codes_are_unique_and_plain() -> None:
    """A program can rely on a code: it names one failure, in one spelling."""
    codes = [error.code for error in all_errors()]
    assert sorted(codes) == sorted(set(codes))
    assert not [code for code in codes if not re.fullmatch(r"[a-z][a-z0-9_]{2,40}", code)]


def test_errors_say_what_they_are() -> None:
    """The first line of an error's docstring is the title that people see."""
    assert not [error.__name__ for error in all_errors() if not (error.__doc__ or "").strip()]


def test_every_error_is_documented_and_no_other() -> None:
    """docs/errors.md has a row for each code, and none for a code that is gone."""
    documented = documented_codes()
    assert sorted(documented) == sorted(set(documented)), "a code is explained twice"
    codes = {error.code for error in all_errors()} | literal_codes()
    assert codes - set(documented) == set(), "not in docs/errors.md"
    assert set(documented) - codes == set(), "gone from the code"


def words_of_degraded() -> set[str]:
    """Return every word that the API may put into `degraded`."""
    source = (ROOT / "packages/zlh_api/src/zlh_api/containers/status.py").read_text()
    appended = re.findall(r"reasons\.append\(\"(\w+)\"\)|(?:return|reasons =) \[\"(\w+)\"\]", source)
    return {first or second for first, second in appended} | {*ALL_FAULTS, REDIRECTS, SHOWS_ANOTHER}


def test_every_degradation_is_documented_and_told_to_people() -> None:
    """docs/api.md explains each word to who writes a program, the portal to who looks, and neither has one more."""
    documented = (ROOT / "docs/api.md").read_text().partition("`degraded`\n")[2].partition("\n## ")[0]
    portal = (ROOT / "packages/zlh_portal/src/containers/states.ts").read_text()
    told = portal.partition("const DEGRADED")[2].partition("\n};")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", documented, re.MULTILINE)) == words_of_degraded()
    assert set(re.findall(r"^  (\w+):", told, re.MULTILINE)) == words_of_degraded()


@pytest.mark.parametrize(
    "pattern",
    [r"pypi\.[o]rg", r"pythonh[o]sted", r"registry\.npm[j]s", r"deb\.debi[a]n", r"/wor[k]/", r"/tm[p]/wt"],
)
def test_no_file_names_a_registry_or_a_machine(pattern: str) -> None:
    """The project builds with whatever index and on whatever machine its reader has."""
    wrong = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if re.search(pattern, text):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


def test_lock_is_hashed_and_names_no_index() -> None:
    """Every third-party package is pinned with hashes, whatever index it comes from."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE | re.IGNORECASE)
    blocks = re.split(r"^(?=[A-Za-z0-9._-]+==)", lock, flags=re.MULTILINE)[1:]
    assert len(pins) > 30
    assert not [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block]
    assert "://" not in lock
