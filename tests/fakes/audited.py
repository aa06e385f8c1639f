"""One question for the end of a test: do books and world agree?"""

from __future__ import annotations

from fakes.api_world import World
from zlh_api.audit.commands import look_again


async def assert_clean(world: World) -> None:
    """Fail with every finding where database, guests and route files do not agree, strangers included."""
    look, findings = await look_again(world.auditor())
    assert look.troubles == ()
    assert [finding.message for finding in findings] == []
