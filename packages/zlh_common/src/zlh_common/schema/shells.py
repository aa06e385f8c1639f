"""What an agent has found by starting every kind of shell and program: do they all find the same."""

from __future__ import annotations

from datetime import datetime

from zlh_common.schema.structs import Report


class ShellDifference(Report):
    """One thing that one kind of shell finds differently, or not at all."""

    # A command (`node`), or a variable (`JAVA_HOME`).
    what: str
    # Where it should lead; null where it should not be there.
    expected: str | None
    found: str | None


class ShellCheck(Report):
    """One kind of shell or program, started as the customer would."""

    # "login", "interactive", "script", "sh", "ssh", "cron", "unit", "zsh", "fish", "code-server" …
    mode: str
    ok: bool
    differences: tuple[ShellDifference, ...] = ()
    # Why it could not be told, such as a profile that ends the shell; null where it could.
    problem: str | None = None


class ShellReport(Report):
    """All of them, at one moment; kinds that are not installed are left out."""

    checked_at: datetime
    checks: tuple[ShellCheck, ...]
