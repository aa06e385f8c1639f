"""What has happened in a container, one entry at a time: written by the agent as it happens, kept by the API."""

from __future__ import annotations

from datetime import datetime

from zlh_common.schema.structs import Report

Fact = str | int | float | bool | None


class Happening(Report):
    """One entry of an agent's journal.

    Numbers run from 1 without a hole within one journal; a journal that was lost is followed by one of another id.
    """

    number: int
    at: datetime
    # Dotted, past tense: `process.exited`, `runtime.installed`; docs/agent-protocol.md lists them.
    kind: str
    # Name of the process, terminal or runtime that it is about; null for the agent itself.
    subject: str | None
    # A sentence for people.
    message: str
    data: dict[str, Fact]


class HistoryEntry(Report):
    """One row of `GET …/events`, newest first; `id` is what `before` takes."""

    id: str
    at: datetime
    kind: str
    subject: str | None
    message: str
    data: dict[str, Fact]


class ContainerEvent(Report):
    """`container-event` of the live stream: a new entry of a container's history."""

    vmid: int
    entry: HistoryEntry
