"""What a request costs while two hundred consoles are watched through the same API process."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bench.api import RATE, Target, ask_at_a_rate
from bench.console_crowd import draining
from bench.measure import Case, Row, Run, Samples, at_most, percentile
from bench.shells import OurServer, Shell, agent_and_api, leave, open_shell

CONSOLES, VIEWERS_EACH = 20, 10
# What a busy server prints: a line of log, twenty times a second.
CHATTER = b"while :; do echo '[12:00:00] [Server thread/INFO]: a player has done something'; sleep 0.05; done\n"
# A page asks for all three; the last one asks nobody, so its lateness is the loop's.
PATHS = {"list": "/api/containers", "status": "/api/containers/{vmid}/status", "loop": "/api/version"}
BUDGETS = {"list": 250, "status": 250, "loop": 50}


async def busy_requests(run: Run) -> list[Row]:
    """200 requests a second, at rest and while 200 viewers read twenty consoles that print without end."""
    seconds = run.choose(5.0, 0.5)
    consoles, viewers = run.choose((CONSOLES, VIEWERS_EACH), (2, 2))
    samples = Samples()
    async with agent_and_api(run) as (_, api):
        vmid = api.list_path.split("/")[3]
        targets = {name: Target(api.place.port, path.format(vmid=vmid)) for name, path in PATHS.items()}
        await _ask(targets, run.choose(1.0, 0.2), Samples(), "warm-up")
        for turn in range(1, run.repeat + 1):
            await _ask(targets, seconds, samples, "idle")
            async with AsyncExitStack() as stack:
                for _ in range(consoles):
                    terminal, shell = await open_shell(api)
                    stack.push_async_callback(_end, api, terminal, shell)
                    # The shell that types is a viewer too, of the kind that never reads.
                    await stack.enter_async_context(draining(run, api.address(terminal), viewers - 1))
                    shell.write(CHATTER)
                await _ask(targets, seconds, samples, "busy")
            run.show(f"api.busy {turn}/{run.repeat}: {samples.figures}")
    note = f"{consoles * viewers} viewers of {consoles} consoles; without uploads and installs"
    return [
        samples.row(
            f"api.busy.{name}.p99",
            "ms",
            side=f"{name}-busy",
            peer=f"{name}-idle",
            peer_name="without consoles",
            budget=at_most(BUDGETS[name]),
            note=note,
        )
        for name in PATHS
    ]


async def _ask(targets: dict[str, Target], seconds: float, samples: Samples, state: str) -> None:
    for name, target in targets.items():
        samples.add(f"{name}-{state}", percentile(await ask_at_a_rate(target, seconds), 0.99))


async def _end(server: OurServer, terminal: str, shell: Shell) -> None:
    shell.write(b"\x03")
    await leave(server, terminal, shell)


CASES = (
    Case("api.busy", f"{RATE} requests a second beside {CONSOLES * VIEWERS_EACH} viewers of consoles", busy_requests),
)
