"""A guest's limits as control groups hold them: pure, for both versions of control groups."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_common.schema.resources import Resources

PERIOD_US = 100_000
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GroupFile:
    """One file of a control group and what stands in it."""

    # The field of Resources that it is about.
    limit: str
    version: int
    controller: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Controllers:
    """Which version has each controller here; those that are missing limit nothing."""

    versions: tuple[tuple[str, int], ...]
    # Whether memory and swap can be limited together.
    has_swap_limit: bool = False

    def version(self, controller: str) -> int:
        """Return 1, 2, or 0 where it is not here."""
        return dict(self.versions).get(controller, 0)

    @property
    def enforced(self) -> frozenset[str]:
        """The fields of Resources that they can enforce."""
        fields = {"cpu": "cpu", "memory": "memory_mib", "pids": "pids"}
        return frozenset(field for controller, field in fields.items() if self.version(controller))


def wanted_files(resources: Resources, here: Controllers) -> list[GroupFile]:
    """Return what must stand in a guest's control groups, in the order in which a fresh one takes it."""
    quota, memory = str(round(resources.cpu * PERIOD_US)), str(resources.memory_mib * MIB)
    files: list[GroupFile] = []
    match here.version("cpu"):
        case 1:
            files.append(GroupFile("cpu", 1, "cpu", "cpu.cfs_period_us", str(PERIOD_US)))
            files.append(GroupFile("cpu", 1, "cpu", "cpu.cfs_quota_us", quota))
        case 2:
            files.append(GroupFile("cpu", 2, "cpu", "cpu.max", f"{quota} {PERIOD_US}"))
        case _:
            pass
    match here.version("memory"):
        case 1:
            files.append(GroupFile("memory_mib", 1, "memory", "memory.limit_in_bytes", memory))
            if here.has_swap_limit:
                files.append(GroupFile("memory_mib", 1, "memory", "memory.memsw.limit_in_bytes", memory))
        case 2:
            files.append(GroupFile("memory_mib", 2, "memory", "memory.max", memory))
            if here.has_swap_limit:
                files.append(GroupFile("memory_mib", 2, "memory", "memory.swap.max", "0"))
        case _:
            pass
    if version := here.version("pids"):
        files.append(GroupFile("pids", version, "pids", "pids.max", str(resources.pids)))
    return files


def order_changes(wanted: list[GroupFile], seen: dict[str, str | None]) -> list[GroupFile]:
    """Return what must be written over what was seen: memory with swap is never below memory alone, on no way."""
    changes = [file for file in wanted if seen.get(file.name) != file.value]
    old = seen.get("memory.limit_in_bytes") or ""
    new = next((file.value for file in changes if file.name == "memory.limit_in_bytes"), "")
    if old.isdigit() and new.isdigit() and int(new) > int(old):
        changes.sort(key=lambda file: file.name != "memory.memsw.limit_in_bytes")
    return changes
