"""What is installed becomes links, files and variables; changes are told to people, and looked at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from zlh_agent.journal.model import Occurrence
from zlh_agent.runtimes.current import point_current
from zlh_agent.runtimes.model import RECORD_FORMAT, InstallRecord
from zlh_agent.runtimes.store import Installed
from zlh_agent.shells import service as shell_service
from zlh_agent.shells.bin_folders import read_in_use
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.probe_rules import Question
from zlh_agent.shells.service import ShellService, ShellTools
from zlh_agent.shells.systemd import Manager
from zlh_common.schema.console_wire import Announcement
from zlh_common.schema.shells import ShellCheck

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Container:
    """Runtimes on a disk, and whoever is told of them."""

    def __init__(self, places: SystemPlaces) -> None:
        self.places = places
        self.runtimes = places.root / "opt/zlh/runtimes"
        self.installed: list[Installed] = []
        self.notices: list[Announcement] = []
        self.noted: list[Occurrence] = []
        self.questions: list[Question] = []
        # Whether a look that has begun comes to its end.
        self.answering = asyncio.Event()
        self.answering.set()
        tools = ShellTools(lambda: self.installed, self._note, self.notices.append, self._probe)
        manager = Manager(places.root / "state", reload=lambda: None)
        self.shells = ShellService(places, runtimes=self.runtimes, manager=manager, tools=tools, clock=FakeClock())

    async def _note(self, occurrence: Occurrence) -> None:
        self.noted.append(occurrence)

    async def _probe(self, question: Question) -> list[ShellCheck]:
        self.questions.append(question)
        await self.answering.wait()
        return [ShellCheck(mode="sh", ok=True)]

    def install(self, name: str, version: str, *commands: str, **environment: str) -> Path:
        """Put a version there, and into use."""
        tree = self.runtimes / name / version
        (tree / "bin").mkdir(parents=True)
        for command in commands:
            (tree / "bin" / command).write_text("#!/bin/sh\n")
            (tree / "bin" / command).chmod(0o755)
        record = InstallRecord(
            format=RECORD_FORMAT, name=name, version=version, sha256="", size=1, source="", catalog_published_at=AT,
            installed_at=AT, bin=("bin",), environment=environment, files_sha256="",
        )  # fmt: skip
        self.installed = [entry for entry in self.installed if entry.record.name != name]
        self.installed.append(Installed(record, tree, is_current=True))
        point_current(tree.parent, version)
        return tree

    def links(self) -> dict[str, str]:
        """Return the links that there are."""
        return {path.name: str(path.readlink()) for path in self.places.links.iterdir()}


@pytest.fixture
def container(places: SystemPlaces) -> Container:
    return Container(places)


def test_only_programs_of_the_tree_itself_are_commands(container: Container) -> None:
    """Not what cannot be run, what leads out, and what no shell takes as a name."""
    tree = container.install("node", "1", "node")
    (tree / "lib").mkdir()
    (tree / "lib/npm.js").write_text("")
    (tree / "lib/npm.js").chmod(0o755)
    folder = tree / "bin"
    (folder / "npm").symlink_to("../lib/npm.js")
    (folder / "README").write_text("")
    (folder / "out").symlink_to("/bin/true")
    (folder / "gone").symlink_to("nowhere")
    (folder / "folder").mkdir()
    for name in ("-x", ".hidden", "a b", "a\nb"):
        shutil.copy(folder / "node", folder / name)
    [found] = read_in_use(container.installed)
    current = container.runtimes / "node/current/bin"
    assert found.commands == {"node": str(current / "node"), "npm": str(current / "npm")}
    shutil.rmtree(tree)
    assert read_in_use(container.installed)[0].commands == {}


async def test_links_variables_and_notices_follow_a_runtime(container: Container) -> None:
    """What holds at the start is nobody's news; a switch changes no link; what has gone leaves none."""
    await asyncio.to_thread(container.install, "java", "17", "java", JAVA_HOME="{root}")
    await container.shells.refresh()
    assert container.notices == []
    variables = container.shells.system_variables()
    assert variables is not None
    assert variables["JAVA_HOME"] == str(container.runtimes / "java/current")
    before = await asyncio.to_thread(container.links)
    assert before == {"java": str(container.runtimes / "java/current/bin/java")}
    await asyncio.to_thread(container.install, "java", "21", "java", JAVA_HOME="{root}")
    await container.shells.refresh()
    assert await asyncio.to_thread(container.links) == before
    assert [notice.code for notice in container.notices] == ["runtime_switched"]
    container.installed = []
    await container.shells.refresh()
    assert await asyncio.to_thread(container.links) == {}
    assert [notice.code for notice in container.notices[1:]] == ["runtime_removed", "variables_gone"]
    assert "JAVA_HOME" not in (container.shells.system_variables() or {})


async def test_a_trouble_is_told_once_for_as_long_as_it_lasts(container: Container) -> None:
    await asyncio.to_thread(container.install, "node", "1", "node")
    await asyncio.to_thread((container.places.links / "node").write_text, "theirs")
    for _ in range(3):
        await container.shells.refresh()
    assert [(one.kind, one.subject) for one in container.noted] == [("shells.command_foreign", "node")]
    await asyncio.to_thread((container.places.links / "node").unlink)
    await container.shells.refresh()
    await asyncio.to_thread((container.places.links / "node").unlink)
    await asyncio.to_thread((container.places.links / "node").mkdir)
    await container.shells.refresh()
    assert len(container.noted) == 2


async def test_where_nothing_can_be_written_the_home_folder_goes_on(container: Container) -> None:
    """Until it can: then everything is there at once."""
    await asyncio.to_thread(container.places.links.rmdir)
    await asyncio.to_thread(container.places.links.write_text, "no folder")
    await asyncio.to_thread(container.install, "node", "1", "node")
    await container.shells.refresh()
    assert container.shells.system_variables() is None
    await asyncio.to_thread(container.places.links.unlink)
    await container.shells.refresh()
    assert container.shells.system_variables() is not None
    assert list(await asyncio.to_thread(container.links)) == ["node"]


async def test_one_file_that_is_somebody_elses_takes_nothing_from_the_rest(container: Container) -> None:
    """It is told, and everything else holds."""
    environment = container.places.etc / "environment"
    await asyncio.to_thread(environment.unlink)
    await asyncio.to_thread(environment.symlink_to, "elsewhere")
    await container.shells.refresh()
    assert container.shells.system_variables() is not None
    assert [one.subject for one in container.noted] == [str(environment)[:64]]


async def test_changes_are_looked_at_once_and_nothing_is_without_one(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that come during a look are one after it; the look asks for what should be gone, too."""
    monkeypatch.setattr(shell_service, "FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(shell_service, "PAUSE_S", 0.05)
    await asyncio.to_thread(container.install, "go", "1", "go", GOROOT="{root}")
    await container.shells.refresh()
    container.answering.clear()
    running = asyncio.create_task(container.shells.run())
    try:
        await _until(lambda: len(container.questions) == 1)
        container.installed = []
        await container.shells.refresh()
        await asyncio.to_thread(container.install, "node", "1", "node")
        await container.shells.refresh()
        container.answering.set()
        await _until(lambda: container.shells.report() is not None)
        # Longer than any pause: nobody looks again.
        await asyncio.sleep(0.3)
    finally:
        running.cancel()
    assert len(container.questions) == 2
    last = container.questions[-1]
    assert set(last.wanted.commands) == {"node"}
    assert last.former_commands == {"go"}
    assert last.former_variables == {"GOROOT": str(container.runtimes / "go/current")}


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)
