"""Real shims of other versions: the code of today, told to speak as the version before did and as a later one may."""

from __future__ import annotations

import os

from zlh_agent.shim import launch
from zlh_agent.shim.config import Config, render_config
from zlh_agent.shim.errors import LaunchFailed
from zlh_agent.shim.model import PROTOCOL_VERSION
from zlh_common.names import CONTAINER_MARK

# It ends its snapshots after the thirteenth field, takes five of a launch, and has never heard of a ladder.
VERSION_1 = """
from zlh_agent.shim import shim_wire as wire
from zlh_agent.shim.shim import Shim
render, parse, obey = wire.render_snapshot, wire.parse_spawn, Shim._obey
def render_snapshot(kind, snapshot):
    snapshot.version = 1
    return wire.render_frame(kind, wire.render_fields(wire.parse_fields(render(kind, snapshot)[5:])[:13]))
def parse_spawn(body):
    return parse(wire.render_fields(wire.parse_fields(body)[:5]))
def obey_1(shim, peer, kind, body):
    if kind != wire.LADDER:
        obey(shim, peer, kind, body)
wire.render_snapshot, wire.parse_spawn, Shim._obey = render_snapshot, parse_spawn, obey_1
"""

# It says more than is known here: fields behind the last one, bytes behind a fixed body, and frames of new kinds.
NEWER = f"""
from zlh_agent.shim import shim_wire as wire
snapshot_of, progress_of, spawned_of, News = wire.render_snapshot, wire.render_progress, wire.render_spawned, 77
def longer(frame, more):
    return wire.render_frame(frame[4], frame[5:] + more)
def news():
    return wire.render_frame(News, b"tidings") + wire.render_frame(News + 1)
def render_snapshot(kind, snapshot):
    snapshot.version = {PROTOCOL_VERSION + 1}
    frame = longer(snapshot_of(kind, snapshot), wire.render_fields([b"new", b"", b"7"]))
    return frame + news() if kind == wire.HELLO else news() + frame
def render_progress(written, accepted):
    return longer(progress_of(written, accepted), b"more")
def render_spawned(result):
    return longer(spawned_of(result), wire.render_fields([b"more"]))
wire.render_snapshot, wire.render_progress, wire.render_spawned = render_snapshot, render_progress, render_spawned
"""


class OtherShims(launch.ForkedShims):
    """Starts shims that run `patch` before they begin."""

    def __init__(self, patch: str) -> None:
        self._patch = patch

    def _start(self, config: Config) -> None:
        command = launch._command(config.name)
        at = command.index(launch._BOOT)
        command[at] = (
            f"import sys\nsys.path += sys.argv[2:]\n{self._patch}\nfrom zlh_agent.shim.start import main\nmain()"
        )
        mark = {name: os.environ[name] for name in (CONTAINER_MARK,) if name in os.environ}
        done = launch._run(command, render_config(config), mark)
        if not done.stdout.startswith(b"0 "):
            raise LaunchFailed(step="shim", reason=(done.stdout + done.stderr).decode())
