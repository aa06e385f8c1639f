"""The children that compare and remove: as the user of installs, confined, and with an answer whatever happens."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fakes.installed_tree import lay_out
from zlh_agent.runtimes.current import point_current
from zlh_agent.runtimes.errors import RuntimeChildFailed
from zlh_agent.runtimes.model import RemovedLine, RemoveOrder, VerifiedLine, VerifyOrder
from zlh_agent.runtimes.short_child import run_short_child

NOBODY = (65534, 65534)
RIGHT = VerifiedLine(faults=0, changed=(), missing=(), added=())
VERIFY, REMOVE = "zlh_agent.runtimes.checking.verify_child", "zlh_agent.runtimes.remove_child"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that every user may enter."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def give(folder: Path) -> None:
    """Let everything below be nobody's."""
    for path in (folder, *folder.rglob("*")):
        os.lchown(path, *NOBODY)


def order_removal(folder: Path, version: str, user: tuple[int, int] | None = None) -> RemoveOrder:
    """Return the order to remove a version of `a`."""
    return RemoveOrder(
        trees_dir=str(folder / "runtimes"), locks_dir=str(folder / "state/locks"), name="a", version=version,
        may_be_current=False, user=user,
    )  # fmt: skip


async def test_an_order_gets_its_answer(folder: Path) -> None:
    """As the agent's own user, and at low priority too."""
    tree = await asyncio.to_thread(lay_out, folder / "runtimes", "a", "1")
    for is_idle in (False, True):
        order = VerifyOrder(tree=str(tree), is_idle=is_idle)
        assert await run_short_child(VERIFY, order, limit_s=30) == RIGHT
    assert await run_short_child(REMOVE, order_removal(folder, "1"), limit_s=30) == RemovedLine()
    assert not (folder / "runtimes/a").exists()


@pytest.mark.real("root")
async def test_the_user_of_installs_is_enough(folder: Path) -> None:
    """What he owns he compares and removes; what somebody else has put there is a fault, and no way out."""
    tree = await asyncio.to_thread(lay_out, folder / "runtimes", "a", "1")
    await asyncio.to_thread(lay_out, folder / "runtimes", "a", "2")
    await asyncio.to_thread(point_current, folder / "runtimes/a", "2")
    await asyncio.to_thread(give, folder / "runtimes")
    order = VerifyOrder(tree=str(tree), user=NOBODY)
    assert await run_short_child(VERIFY, order, limit_s=30) == RIGHT
    await asyncio.to_thread(os.chown, tree / "bin/a", 0, 0)
    await asyncio.to_thread((tree / "share/data").chmod, 0o000)
    found = await run_short_child(VERIFY, order, limit_s=30)
    assert isinstance(found, VerifiedLine)
    assert found.changed == ("bin/a", "share/data")
    assert await run_short_child(REMOVE, order_removal(folder, "1", NOBODY), limit_s=30) == RemovedLine()
    assert sorted(path.name for path in (folder / "runtimes/a").iterdir()) == ["2", "current"]
    with pytest.raises(RuntimeChildFailed) as refused:
        await run_short_child(REMOVE, order_removal(folder, "2", NOBODY), limit_s=30)
    assert refused.value.reason_code == "runtime_is_current"


TRY = """
import sys
from zlh_agent.runtimes.confined import confine_comparison
from zlh_agent.runtimes.model import VerifyOrder
import os, socket, subprocess
confine_comparison(VerifyOrder(tree=sys.argv[1]))
for does in (
    lambda: open(sys.argv[1] + "/bin/a").read(), lambda: open("/etc/hostname"), lambda: open(sys.argv[1] + "/x", "w"),
    lambda: socket.socket(), lambda: os.execv("/bin/true", ["true"]),
):
    try:
        does()
        print("may")
    except OSError:
        print("may not")
"""


@pytest.mark.real("landlock")
def test_a_comparison_reads_its_tree_and_does_nothing_else(folder: Path) -> None:
    """No other file, no write, no socket, no program."""
    tree = lay_out(folder, "a", "1")
    argv = [sys.executable, "-c", TRY, str(tree)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["may", *["may not"] * 4], "")


@pytest.mark.parametrize("order", [b"", b"{", b'{"tree":7}'])
async def test_a_child_without_a_proper_order_is_a_failure(order: bytes) -> None:
    """It says nothing, and its last words are in the message."""
    with pytest.raises(RuntimeChildFailed) as failed:
        await run_short_child(VERIFY, msgspec.Raw(order), limit_s=30)  # type: ignore[arg-type]
    assert failed.value.may_pass
    assert "Traceback" in failed.value.detail


async def test_a_child_that_is_called_off_is_gone(folder: Path) -> None:
    """Nobody waits for it, so it does not go on."""
    tree = await asyncio.to_thread(lay_out, folder, "a", "1")
    asking = asyncio.create_task(run_short_child(VERIFY, VerifyOrder(tree=str(tree)), limit_s=30))
    await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


GIVE_WAY = """
import os
from zlh_agent.runtimes.checking import verify_child
verify_child._give_way()
print(os.nice(0))
"""


def test_a_daily_check_gives_way_to_everything() -> None:
    """The lowest priority that there is."""
    done = subprocess.run([sys.executable, "-c", GIVE_WAY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "19"
