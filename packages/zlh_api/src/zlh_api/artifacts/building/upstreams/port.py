"""What every source of versions offers."""

from __future__ import annotations

from typing import Protocol

from zlh_api.artifacts.template_model import Keep
from zlh_common.schema.template import TemplateVersion


class VersionSource(Protocol):
    """One kind of source. Blocks; raises ArtifactFetchFailed, ArtifactPartsMissing, SourceUnsafe."""

    def fetch(self, keep: Keep) -> list[TemplateVersion]:
        """Return the versions that are kept, newest first, every file of them pinned."""
        ...
