"""The folders of a container in which work on files is offered, each by its name and with its own children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService
from zlh_common.schema.file_refusals import FileRootUnknown, FilesUnavailable


@dataclass(frozen=True, slots=True)
class OfferedRoot:
    """A folder by the name that calls give; `title` is what people see of it."""

    name: str
    title: str
    place: FilePlace


class Roots:
    """The roots of one container; the first one is meant where a call names none."""

    def __init__(self, offered: Sequence[OfferedRoot]) -> None:
        self.offered = tuple(offered)
        self._services = {root.name: FileService(root.place) for root in self.offered}

    def lead_with(self, root: OfferedRoot) -> None:
        """Offer a root, or one that is offered already, as the default one."""
        others = tuple(one for one in self.offered if one.name != root.name)
        if len(others) == len(self.offered):
            self._services[root.name] = FileService(root.place)
        else:
            root = next(one for one in self.offered if one.name == root.name)
        self.offered = (root, *others)

    def choose(self, name: str | None) -> OfferedRoot:
        """Return the root of a name, the default one for None; raise FileRootUnknown."""
        if not self.offered:
            raise FilesUnavailable(reason="this container has no user whose files they are")
        for root in self.offered:
            if name in {None, root.name}:
                return root
        raise FileRootUnknown(root=str(name)[:32], known=[root.name for root in self.offered])

    def service(self, root: OfferedRoot) -> FileService:
        """Return who lends children of a root."""
        return self._services[root.name]

    async def close(self) -> None:
        """End all children."""
        for service in self._services.values():
            await service.close()
