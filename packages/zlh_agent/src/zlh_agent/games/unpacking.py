"""Unpacks a backup into the folder that will be the server's, and empties the one that was. Runs in the child."""

from __future__ import annotations

from zlh_agent.archives.telling import Tally
from zlh_agent.archives.unpacking import unpack_into
from zlh_agent.files.model import Amount
from zlh_agent.files.refusals import Refused
from zlh_agent.games.errors import GameFolderUnusable
from zlh_agent.games.model import Clear, DoneLine, ProgressLine, Unpack
from zlh_agent.games.server_folder import ServerFolder
from zlh_agent.games.telling import say


def unpack_backup(order: Unpack) -> DoneLine:
    """Unpack the archive that is open, synced."""
    with ServerFolder(order.folder) as folder:
        try:
            unpack_into(order.descriptor, folder.fd, Tally(_tell))
        except Refused as exc:
            raise GameFolderUnusable(path=order.folder, reason=f"the backup cannot be unpacked ({exc.code})") from exc
    return DoneLine()


def _tell(amount: Amount) -> None:
    say(ProgressLine(stage="restore", done=amount.byte_count))


def clear(order: Clear) -> DoneLine:
    """Remove everything in the folder; what belongs to somebody else stays, and is told of."""
    with ServerFolder(order.folder) as folder:
        folder.remove_all()
    return DoneLine()
