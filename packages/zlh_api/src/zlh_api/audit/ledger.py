"""Both lists, books and sightings, by what one looks for in them: pure."""

from __future__ import annotations

import ipaddress

from zlh_api.audit.model import Books, Departed, Row, Sightings
from zlh_api.dns.model import Whose
from zlh_common.names import OwnerMark, container_label, parse_record_name, render_host


class Ledger:
    """Both lists, by what one looks for in them."""

    def __init__(self, books: Books, seen: Sightings) -> None:
        self.books, self.seen = books, seen
        self.rows = {row.owner: row for row in books.rows}
        self.row_at = {row.vmid: row for row in books.rows}
        self.row_of_file = {file_of(row): row for row in books.rows}
        self.row_of_address = {row.address: row for row in books.rows if row.address is not None}

    def row_of_host(self, name: str) -> Row | None:
        """Return the container whose host, or whose port's host, this is."""
        host = parse_record_name(name, self.books.domain)
        row = self.row_at.get(host.vmid) if host is not None else None
        return row if row is not None and host is not None and row.kind == host.kind else None

    def whose(self, row: Row) -> Whose:
        """Return a container as its records know it."""
        return Whose(row.owner, render_host(row.host, self.books.domain), frozenset())

    def departed_before_look(self, owner: OwnerMark) -> Departed | None:
        """Return what is kept of a container that was deleted before anybody looked."""
        departed = self.books.departed.get(owner)
        return departed if departed is not None and departed.departed_at < self.seen.began else None

    def went_during_look(self, owner: OwnerMark) -> bool:
        """Whether its row was deleted after it was seen, as the last step of an orderly end."""
        departed = self.books.departed.get(owner)
        return departed is not None and departed.departed_at >= self.seen.began


def file_of(row: Row) -> str:
    """Return how a container's route file is called."""
    return f"{container_label(row.kind, row.vmid)}.yml"


def is_within(address: str, block: str) -> bool:
    """Tell whether an address lies in a block; what is no address does not."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block)
    except ValueError:
        return False
