"""What `make dev` shows of a step: on a terminal what it is at, in a log that it has begun and ended."""

from __future__ import annotations

import io

from rich.console import Console

from zlh_api.dev.progress import Progress


async def test_a_log_says_what_is_waited_for_and_what_is_done() -> None:
    """What a step has come to is for a terminal alone."""
    out = io.StringIO()
    with Progress(Console(file=out, width=100)) as progress:

        async def work() -> None:
            progress.tell("Portal", "half of it")
            assert out.getvalue() == "  … Portal\n"

        await progress.step("Portal", work())
    assert out.getvalue().splitlines()[1].startswith("  ✓ Portal")
    assert "half" not in out.getvalue()


async def test_a_terminal_shows_what_a_step_is_at() -> None:
    """Cut where it is long, and gone with the step."""
    out = io.StringIO()
    with Progress(Console(file=out, width=160, force_terminal=True)) as progress:

        async def work() -> None:
            progress.tell("Artifacts", "node-24.19.0: pack " + "x" * 100)
            Console(file=out, width=160).print(progress._render())

        await progress.step("Artifacts", work())
        progress.tell("Artifacts", "too late")
    shown = out.getvalue()
    assert "node-24.19.0: pack xxx" in shown
    assert "x" * 50 not in shown
    assert "too late" not in shown
