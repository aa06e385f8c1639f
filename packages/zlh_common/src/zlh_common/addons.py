"""Addons as agent and API both know them: what each is called, where it listens, and what it is asked there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODE_SERVER: Final = "code-server"
# The platform's ways to them. A port is kept in every container, whether the addon is enabled or not.
ADDON_PORTS: Mapping[str, int] = {CODE_SERVER: 6000}
# Answered with 200 by whichever of them serves.
HEALTH_PATH = "/healthz"
