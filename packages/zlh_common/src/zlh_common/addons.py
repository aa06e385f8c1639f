"""Addons as agent and API both know them: what each is called, and where it listens in its container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODE_SERVER: Final = "code-server"
# The platform's ways to them. A port is kept in every container, whether the addon is enabled or not.
ADDON_PORTS: Mapping[str, int] = {CODE_SERVER: 6000}
