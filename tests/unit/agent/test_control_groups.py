"""Control groups as hosts have them: recorded trees, read by the very code that reads the real ones."""

from __future__ import annotations

from pathlib import Path

from zlh_agent.metrics.control_groups import WHOLE, read_group
from zlh_agent.metrics.model import GroupReading

UNIT = {"": "/system.slice/zlh-process-web.service", "memory": "/system.slice/zlh-process-web.service"}
NO_LIMIT_ONE = "9223372036854771712\n"
# In a container on a host with version 2 alone.
TWO = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "cpu.stat": "usage_usec 12500000\nuser_usec 9000000\nsystem_usec 3500000\nnr_periods 5\n",
    "cpu.max": "150000 100000\n",
    "memory.current": "58642432\n",
    "memory.max": "1073741824\n",
    "memory.stat": "anon 100\nfile 400\nactive_file 200\ninactive_file 100\nslab_reclaimable 7\nslab_unreclaimable 9\n",
    "pids.current": "12\n",
    "pids.max": "512\n",
    "system.slice/zlh-process-web.service/cpu.stat": "usage_usec 250000\n",
}
# In an unprivileged container on a host with version 1 and the unified tree beside it; recorded.
BOTH = {
    "memory/memory.usage_in_bytes": "58642432\n",
    "memory/memory.limit_in_bytes": "1073741824\n",
    "memory/memory.stat": "cache 2969600\nactive_file 1\ninactive_file 2\ntotal_cache 14860288\n"
    "total_inactive_file 9433088\ntotal_active_file 5378048\ntotal_unevictable 0\n",
    "pids/pids.current": "12\n",
    "pids/pids.max": "max\n",
    "unified/cgroup.controllers": "\n",
    "unified/cpu.stat": "usage_usec 3000000\nuser_usec 1\nsystem_usec 1\n",
    "unified/system.slice/zlh-process-web.service/cpu.stat": "usage_usec 2000000\n",
}
# Version 1 alone, with the processor's controllers mounted together.
ONE = {
    "memory/memory.usage_in_bytes": "1000\n",
    "memory/memory.limit_in_bytes": NO_LIMIT_ONE,
    "memory/memory.stat": "total_active_file 3\n",
    "cpu,cpuacct/cpuacct.usage": "1500000000\n",
    "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
    "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "pids/pids.current": "3\n",
    "pids/pids.max": "100\n",
}


def lay_out(folder: Path, files: dict[str, str]) -> str:
    """Write a recorded tree."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return str(folder)


def test_version_two_is_read(tmp_path: Path) -> None:
    """The container with its limits, and the processor's time of one unit in it."""
    root = lay_out(tmp_path, TWO)
    assert read_group(root, WHOLE) == GroupReading("cgroup2", 12.5, 1.5, 58642432, 307, 1073741824, 12, 512)
    assert read_group(root, UNIT).cpu_s == 0.25


def test_both_versions_at_once_are_read(tmp_path: Path) -> None:
    """Memory stands in one tree, the processor's time in the other."""
    root = lay_out(tmp_path, BOTH)
    assert read_group(root, WHOLE) == GroupReading("cgroup1", 3.0, None, 58642432, 14811136, 1073741824, 12, None)
    assert read_group(root, UNIT).cpu_s == 2.0


def test_version_one_is_read(tmp_path: Path) -> None:
    """Without a limit of memory, which it writes as a very large number."""
    root = lay_out(tmp_path, ONE)
    assert read_group(root, WHOLE) == GroupReading("cgroup1", 1.5, 0.5, 1000, 3, None, 3, 100)


def test_no_limits_are_none(tmp_path: Path) -> None:
    """`max` and -1 stand for nothing."""
    two = lay_out(tmp_path / "two", {**TWO, "cpu.max": "max 100000\n", "memory.max": "max\n", "pids.max": "max\n"})
    found = read_group(two, WHOLE)
    assert (found.cpu_limit_cores, found.memory_limit_bytes, found.tasks_limit) == (None, None, None)
    one = lay_out(tmp_path / "one", {**ONE, "cpu,cpuacct/cpu.cfs_quota_us": "-1\n"})
    assert read_group(one, WHOLE).cpu_limit_cores is None


def test_a_host_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    """Every figure is left out, also where files hold what they should not."""
    assert read_group(str(tmp_path / "none"), WHOLE) == GroupReading()
    broken = lay_out(tmp_path / "broken", dict.fromkeys([*TWO, *ONE], "\x00 x\n- -\n"))
    assert read_group(broken, WHOLE) == GroupReading()
