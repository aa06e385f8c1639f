"""A child that makes one decision about a published version and ends: tuf and its memory never enter the daemon.

Standard input: `{"folder", "keys", "wish"}`. Standard output: `{"decided"}` or `{"code", "detail"}`. It may be ended at
any line: what is offered is the old or the new, and the same decision made once more comes to the same.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zlh_api.artifacts.model import Decided
from zlh_api.artifacts.signing.promote import Publisher
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog_decisions import DecidedVersion, DecideVersion, DecisionAct


def main() -> None:
    """Read the order, decide, print the answer."""
    order = msgspec.json.decode(sys.stdin.buffer.read())
    wish = msgspec.convert(order["wish"], DecideVersion)
    publisher = Publisher(Path(order["folder"]), Path(order["keys"]), now=datetime.now(UTC))
    try:
        answer: dict[str, object] = {"decided": render_decided(decide(publisher, wish))}
    except ZlhError as error:
        answer = {"code": error.code, "detail": error.detail}
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def decide(publisher: Publisher, wish: DecideVersion) -> Decided:
    """Carry out one decision; raises as Publisher does."""
    match wish.act:
        case DecisionAct.PROMOTE:
            return publisher.set_channel(
                wish.name, wish.version, "stable", kind=wish.kind, make_default=wish.make_default
            )
        case DecisionAct.DEMOTE:
            return publisher.set_channel(wish.name, wish.version, "candidate", kind=wish.kind)
        case DecisionAct.DEFAULT:
            return publisher.set_default(wish.name, wish.version, kind=wish.kind)


def render_decided(done: Decided) -> DecidedVersion:
    """Return what has become of it."""
    return DecidedVersion(
        kind=done.kind,
        name=done.name,
        version=done.version,
        channel=done.channel,
        default_before=done.default_before,
        default=done.default,
        is_changed=done.published.changed,
    )


if __name__ == "__main__":
    main()
