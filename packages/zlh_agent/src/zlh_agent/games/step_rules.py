"""The step that people see of a game server's files: one for a version, whatever has to be done for it. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from zlh_agent.games.model import ProgressLine
from zlh_agent.games.plan import Act, BackUp, CommitFiles, RestoreBackup, RunScript, StageFiles
from zlh_common.schema.game import WantedGame
from zlh_common.schema.status import Step, StepState, Transfer
from zlh_common.step_names import name_game_install

OUTPUT_CHARS = 4096
# Of each stage: where it begins in the whole, its share, and its word. Most of the time goes into downloads.
_STAGES = {
    "check": (0.0, 0.05, "looking at what is there"),
    "download": (0.05, 0.7, "downloading"),
    "backup": (0.75, 0.0, "backing up"),
    "verify": (0.8, 0.1, "verifying"),
    "place": (0.9, 0.0, "putting files in place"),
    "script": (0.9, 0.0, "running a script"),
    "restore": (0.0, 0.0, "restoring the backup"),
}


def stage_of(act: Act) -> str:
    """Return the stage that an act begins with."""
    match act:
        case StageFiles():
            return "check"
        case BackUp():
            return "backup"
        case CommitFiles():
            return "verify"
        case RunScript():
            return "script"
        case RestoreBackup():
            return "restore"
        case _:
            return "place"


def begin_step(step: Step | None, wanted: WantedGame, act: Act, now: datetime) -> Step:
    """Return the step as an act begins; one that is under way goes on."""
    begun = step.started_at if step is not None and step.state is StepState.RUNNING else now
    stage = stage_of(act)
    word = f"running the script {act.script.name}" if isinstance(act, RunScript) else _STAGES[stage][2]
    return Step(
        name=name_game_install(wanted.template, wanted.version),
        state=StepState.RUNNING,
        started_at=begun or now,
        progress=_STAGES[stage][0],
        message=word,
        output=step.output if step is not None and step.state is StepState.RUNNING else None,
    )


def show_progress(step: Step, line: ProgressLine) -> Step:
    """Return the step with what a child has told; what no child of ours tells changes nothing."""
    if line.stage not in _STAGES or line.done < 0 or line.total < 0:
        return step
    start, share, word = _STAGES[line.stage]
    if line.stage == "script":
        return msgspec.structs.replace(step, output=(line.output or "")[-OUTPUT_CHARS:] or step.output)
    done = min(line.done, line.total) if line.total else line.done
    counted = f": {done} of {line.total} bytes" if line.total else f": {done} bytes" if done else ""
    return msgspec.structs.replace(
        step,
        progress=round(start + share * (done / line.total if line.total else 0.0), 3),
        message=f"{word}{counted}",
        transfer=Transfer(
            stage=line.stage,
            done_bytes=done,
            total_bytes=line.total,
            bytes_per_s=line.bytes_per_s,
            left_s=line.left_s,
        ),
    )


def end_step(step: Step | None, wanted: WantedGame, at: datetime) -> Step:
    """Return the step of what is done."""
    return Step(
        name=name_game_install(wanted.template, wanted.version),
        state=StepState.DONE,
        started_at=step.started_at if step is not None else None,
        finished_at=at,
        progress=1.0,
        output=step.output if step is not None else None,
    )


def wait_step(wanted: WantedGame, reason: str) -> Step:
    """Return the step while it waits for something else."""
    return Step(name=name_game_install(wanted.template, wanted.version), state=StepState.PENDING, message=reason)


def retry_delay_s(failures: int) -> float:
    """Return the wait after the n-th failure in a row (from 1): a second, doubled up to a minute."""
    return float(min(60, 2 ** min(max(failures - 1, 0), 6)))
