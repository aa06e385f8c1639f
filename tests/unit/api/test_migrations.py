"""The list of migrations."""

from __future__ import annotations

from zlh_api.database.migrate import migrations


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    """A number that is missing or given twice would leave databases that differ."""
    numbers = [number for number, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_migration_is_empty_or_ends_its_own_transaction() -> None:
    """Each runs inside the transaction that records it."""
    for number, sql in migrations():
        words = sql.lower().split()
        assert words, f"migration {number} is empty"
        assert "commit;" not in words
        assert "rollback;" not in words
