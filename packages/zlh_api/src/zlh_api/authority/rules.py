"""What may follow in a change of the CAs: pure.

    one generation ── MAKE ──► both CAs anew, on disk
                   ── ISSUE ─► every API process believes them: agents get identities from them, and know both
                   ── PRESENT ► every agent that runs has that: the API shows a certificate of the new one
                   ── RETIRE ► every API process does: the old one is believed by nobody, and its keys are removed

Invariants: what the API shows is signed by a generation that every running agent was told to believe, and what an agent
shows by one that every running API process believes. Each move is one write, so a crash is between two of them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_api.agents.standing import Standing
from zlh_api.authority.model import Scene

# A generation is followed by another once so much of its time is over.
SHARE_OF_LIFE = 2 / 3


class Move(StrEnum):
    """What is done next."""

    MAKE = "make"
    ISSUE = "issue"
    PRESENT = "present"
    RETIRE = "retire"


def decide_move(scene: Scene, *, now: datetime) -> Move | None:
    """Return what is done next; None where nothing is due, or something is waited for."""
    standing, newest = scene.standing, scene.newest.number
    if not scene.is_changing:
        return Move.MAKE if is_due(scene, now=now) else None
    if standing.issuing < newest:
        return Move.ISSUE if all(newest in each.held for each in scene.holders) else None
    if scene.dependents:
        return None
    if standing.presented < newest:
        return Move.PRESENT if all(each.standing.issuing == newest for each in scene.holders) else None
    return Move.RETIRE if all(each.standing.presented == newest for each in scene.holders) else None


def move_on(scene: Scene, move: Move) -> Standing:
    """Return how far it is after a move."""
    standing, newest = scene.standing, scene.newest.number
    match move:
        case Move.ISSUE:
            return Standing(newest, standing.presented, standing.oldest)
        case Move.PRESENT:
            return Standing(newest, newest, standing.oldest)
        case Move.RETIRE:
            return Standing(newest, newest, newest)
        case Move.MAKE:
            return standing


def is_due(scene: Scene, *, now: datetime) -> bool:
    """Tell whether the newest generation has had its time."""
    newest = scene.newest
    return now >= newest.made_at + (newest.expires_at - newest.made_at) * SHARE_OF_LIFE


def describe(scene: Scene) -> str:
    """Return in a few words how far a change is."""
    standing, newest = scene.standing, scene.newest.number
    if not scene.is_changing:
        return "settled"
    if standing.issuing < newest:
        return "distributing"
    return "spreading" if standing.presented < newest else "retiring"
