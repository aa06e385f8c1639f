"""`zlh-api audit-log …`: looks at the log beside the running API or without it, and changes nothing.

Exit codes of `verify`: 0 every chain is whole, 1 one is not, 2 it could not be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

from zlh_api.audit_log.anchors import AnchorInvalid, parse_anchors, render_head, spell_chain, unspell_chain
from zlh_api.audit_log.service import AuditLog
from zlh_common.errors import ZlhError

WHOLE, BROKEN, UNKNOWN = 0, 1, 2
Opener = Callable[[], AbstractAsyncContextManager[AuditLog]]


async def run(args: argparse.Namespace, opened: Opener) -> int:
    """Carry out one sub-command; return the exit code."""
    try:
        chain = None if args.customer is None else unspell_chain(args.customer)
        if args.audit_log_command == "head":
            async with opened() as log:
                return await _show_heads(log, chain)
        anchors = await asyncio.to_thread(_read_anchors, args.anchor)
        async with opened() as log:
            return await _verify(log, chain, anchors)
    except ZlhError as error:
        sys.stderr.write(f"zlh-api: {error.detail} [{error.code}]\n")
        return UNKNOWN


async def _show_heads(log: AuditLog, chain: UUID | None) -> int:
    for head in await log.fetch_heads(chain):
        sys.stdout.write(render_head(head) + "\n")
    return WHOLE


async def _verify(log: AuditLog, chain: UUID | None, anchors: Mapping[UUID, Mapping[int, bytes]]) -> int:
    looked, flaws = await log.verify(chain, anchors)
    for flaw in flaws:
        sys.stdout.write(f"chain {spell_chain(flaw.chain)}: entry {flaw.number} {flaw.what}\n")
    if flaws:
        return BROKEN
    sys.stdout.write(f"{looked} entries are as they were written.\n")
    return WHOLE


def _read_anchors(path: Path | None) -> dict[UUID, dict[int, bytes]]:
    if path is None:
        return {}
    try:
        return parse_anchors(path.read_text())
    except (OSError, UnicodeDecodeError) as exc:
        raise AnchorInvalid(f"{path} cannot be read") from exc
