"""`zlh-api authority …`: beside the running API or without it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from zlh_api.agents.key_folder import KeyFolder
from zlh_api.audit_log.service import AuditLog
from zlh_api.authority.desk import AuthorityDesk
from zlh_api.authority.model import Dependent, Scene
from zlh_api.authority.rules import describe
from zlh_common.clock import SystemClock
from zlh_common.names import Vmid

Opener = Callable[[], AbstractAsyncContextManager[tuple[AuthorityDesk, KeyFolder]]]


async def run(args: argparse.Namespace, opened: Opener) -> int:
    """Carry out one sub-command; return the exit code. What changes something stands in the audit log."""
    async with opened() as (desk, keys):
        told = AuditLog(desk.database, SystemClock())
        match args.authority_command:
            case "rotate":
                async with told.command("authority.rotate"):
                    made = await desk.rotate(keys)
                _say(f"Generation {made.number} is made. The API processes go on; `zlh-api authority` tells how far.")
            case "retire":
                async with told.command("authority.retire", {"force": args.force}):
                    cut_off = await desk.retire(force=args.force)
                _say_cut_off(cut_off)
            case "renew":
                async with told.command("authority.renew", {"container": args.vmid}):
                    is_now = await desk.renew(Vmid(args.vmid))
                when = "now" if is_now else "at its next start, since its agent cannot be told before: restart it"
                _say(f"Container {args.vmid} gets another key {when}. The one before opens nothing once it has it.")
            case "unpin":
                chosen = "all" if args.all else ",".join(map(str, args.vmids))
                async with told.command("authority.unpin", {"containers": chosen}):
                    count = await desk.unpin(None if args.all else [Vmid(vmid) for vmid in args.vmids])
                _say(f"Any key of their name is accepted from {count} agents until each has another.")
            case "adopt":
                async with told.command("authority.adopt"):
                    number = await desk.adopt(keys)
                _say(
                    f"Generation {number} of keys_dir is the one that counts. Containers that run get it as they start."
                )
            case _:
                _show(*await desk.fetch_scene(), is_json=args.json)
    return 0


def _say_cut_off(cut_off: Sequence[Dependent]) -> None:
    _say("The old CAs are retired.")
    for each in cut_off:
        _say(f"cut off until it is started again: {each.kind}-{each.vmid}, since {each.reason}")


def _show(scene: Scene, dependents: Sequence[Dependent], trusting: int, *, is_json: bool) -> None:
    if is_json:
        _say(msgspec.json.encode(_document(scene, dependents, trusting)).decode())
        return
    for each in scene.registered:
        uses = [use for use, number in _uses(scene) if number == each.number]
        made, ends = f"{each.made_at:%Y-%m-%d}", f"{each.expires_at:%Y-%m-%d}"
        _say(f"generation {each.number}  made {made}  ends {ends}  {', '.join(uses)}")
    _say(f"{describe(scene)}, {len(scene.holders)} API processes")
    behind = [each for each in scene.holders if each.standing != scene.standing]
    if behind:
        _say(f"{len(behind)} API processes do not go by this yet")
    for dependent in dependents:
        _say(f"depends on the old: {dependent.kind}-{dependent.vmid}, since {dependent.reason}")
    if trusting and not dependents:
        _say(f"{trusting} running containers still believe a CA that is gone; they are told as their turn comes")


def _uses(scene: Scene) -> list[tuple[str, int]]:
    standing = scene.standing
    return [("signs agents", standing.issuing), ("signs the API", standing.presented)]


def _document(scene: Scene, dependents: Sequence[Dependent], trusting: int) -> dict[str, object]:
    return {
        "phase": describe(scene),
        "issuing": scene.standing.issuing,
        "presented": scene.standing.presented,
        "oldest": scene.standing.oldest,
        "generations": [
            {"number": each.number, "madeAt": each.made_at, "expiresAt": each.expires_at} for each in scene.registered
        ],
        "processes": [{"held": sorted(each.held), "issuing": each.standing.issuing} for each in scene.holders],
        "dependents": [{"vmid": each.vmid, "kind": each.kind, "reason": each.reason} for each in dependents],
        "trusting": trusting,
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
