"""Which tests go to one worker, one after the other, and what is begun first.

A file is one share: its tests go to one worker, which makes what they have in common once. Files that need the same
dear thing, or a thing that a machine has once, are one share together. Files of long tests with little in common are as
many shares as they have tests. What takes long is begun first, so that no worker is alone with it at the end.
"""

from __future__ import annotations

# Beginnings of paths, and the share that these files are together.
TOGETHER: dict[str, str] = {
    # They give this host addresses of the internet.
    "tests/lxc/test_egress.py": "tests/lxc/host",
    "tests/lxc/test_past_the_bridge.py": "tests/lxc/host",
    # They share a code-server that takes minutes to build.
    "tests/component/agent/test_real_code_server.py": "tests/lxc/code-server",
    "tests/lxc/test_code_server_in_container.py": "tests/lxc/code-server",
    "tests/lxc/test_editor_in_container.py": "tests/lxc/code-server",
    # A worker starts one installation of the platform for all of these shares that it gets; one worker alone with
    # most of them would be at it for as long as the others are at everything else.
    "tests/e2e/test_stack_faults.py": "tests/e2e/faults",
    "tests/e2e/test_game_in_portal.py": "tests/e2e/games",
    "tests/e2e/test_games.py": "tests/e2e/games",
    "tests/e2e/test_accessible.py": "tests/e2e/portal",
    "tests/e2e/test_hostile_texts.py": "tests/e2e/portal",
    "tests/e2e/test_hostile_windows.py": "tests/e2e/portal",
    "tests/e2e/test_keyboard.py": "tests/e2e/portal",
    "tests/e2e/test_list_of_thousands.py": "tests/e2e/portal",
    "tests/e2e/test_operator_pages.py": "tests/e2e/portal",
    "tests/e2e/test_people.py": "tests/e2e/portal",
    "tests/e2e/test_pictures.py": "tests/e2e/portal",
    "tests/e2e/test_portal.py": "tests/e2e/portal",
    "tests/e2e/test_portal_in_bad_times.py": "tests/e2e/portal",
    "tests/e2e/test_rights_that_go.py": "tests/e2e/portal",
    "tests/e2e/test_roles_in_portal.py": "tests/e2e/portal",
    "tests/e2e/test_shared_browser.py": "tests/e2e/portal",
    "tests/e2e/test_ways_in_portal.py": "tests/e2e/portal",
    "tests/e2e/": "tests/e2e/other",
}
APART: tuple[str, ...] = (
    "tests/component/agent/test_addons.py",
    "tests/component/agent/test_agent_update.py",
    "tests/component/agent/test_agent_update_lived.py",
    "tests/component/agent/test_games.py",
    "tests/component/agent/test_runtime_versions.py",
    "tests/component/api/test_contract.py",
    "tests/component/artifacts/test_killed.py",
    "tests/component/files/test_codes.py",
    "tests/component/artifacts/test_real_games.py",
    "tests/component/artifacts/test_real_runtimes.py",
    "tests/faults/agent/test_game_killed.py",
    "tests/faults/agent/test_game_writes_killed.py",
    "tests/faults/agent/test_install_killed.py",
    "tests/faults/agent/test_update_full_disk.py",
    "tests/faults/files/test_vanishing.py",
    "tests/faults/mods/test_killed.py",
    "tests/faults/provisioning/test_killed_processes.py",
    "tests/faults/provisioning/test_lxc_killed.py",
    "tests/faults/provisioning/test_proxmox_killed.py",
    "tests/faults/provisioning/test_random_faults.py",
    "tests/faults/supervision/test_agent_killed.py",
    "tests/lxc/test_shells_in_container.py",
)
# Beginnings of shares; what stands in no line comes last.
FIRST: tuple[str, ...] = (
    "tests/e2e/",
    "tests/faults/provisioning/",
    "tests/lxc/",
    "tests/faults/",
    "tests/component/artifacts/",
    "tests/component/agent/",
    "tests/component/",
)


def share_of(test: str) -> str:
    """Return the name of the share that a test belongs to."""
    file = test.partition("::")[0]
    if file in APART:
        return test
    return next((share for beginning, share in TOGETHER.items() if file.startswith(beginning)), file)


def rank_of(share: str) -> int:
    """Return how early a share is begun: the lower the earlier."""
    return next((rank for rank, beginning in enumerate(FIRST) if share.startswith(beginning)), len(FIRST))
