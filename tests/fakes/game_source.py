"""Where the files of a game server come from in tests, and what is wanted of it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.process import LogProbe, ProcessPolicy, ReadyPolicy, RestartPolicy, StopPolicy, WantedProcess
from zlh_common.schema.template import FileEdit, PinnedFile

PROGRAM = Path(__file__).with_name("minecraft_server.py")
EULA = FileEdit(path="eula.txt", format="properties", set={"eula": True})
DONE = '[*] [Server thread/INFO]: Done (*s)! For help, type "help"'


def pin(path: str, content: bytes, *urls: str, kind: str = "sha256") -> PinnedFile:
    """Return a file of these bytes."""
    digest = f"{kind}:{hashlib.new(kind, content).hexdigest()}"
    return PinnedFile(path=path, urls=urls or (f"files/{path}",), size=len(content), hash=digest)


class GameSource:
    """Publishes files below the tree of an origin."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def add(self, path: str, content: bytes, *, version: str = "1") -> PinnedFile:
        """Have the origin serve a file of one version; return how it is pinned."""
        url = f"files/{version}/{path}"
        target = self.tree / url
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return pin(path, content, url)

    def server(self, version: str = "1", **files: bytes) -> tuple[PinnedFile, ...]:
        """Publish a server that is a program, with further files; versions differ in what they are made of."""
        program = PROGRAM.read_bytes() + f"# {version}\n".encode()
        others = [self.add(path.replace("__", "/"), content, version=version) for path, content in files.items()]
        return (self.add("server.py", program, version=version), *others)


def want_game(
    files: Sequence[PinnedFile],
    port: int,
    *,
    version: str = "1.0",
    words: Sequence[str] = (),
    power: Any = "on",
    policy: Mapping[str, Any] | None = None,
    edits: Sequence[FileEdit] = (),
    **more: Any,
) -> WantedGame:
    """Return a game server as the API renders it: the program of `server`, agreed to, on a port."""
    rules: dict[str, Any] = {
        "restart": RestartPolicy(delays_s=(0.2, 0.2, 0.2)),
        "stop": StopPolicy(command="stop", command_grace_s=60.0),
        "ready": ReadyPolicy(probe=LogProbe(pattern=DONE), grace_s=120.0),
        **(policy or {}),
    }
    properties = FileEdit(path="server.properties", format="properties", set={"server-port": port})
    return WantedGame(
        template="blocks",
        title="Blocks",
        version=version,
        process=WantedProcess(
            name=SERVER, argv=(sys.executable, "server.py", *words), power=power, policy=ProcessPolicy(**rules)
        ),
        files=tuple(files),
        edits=(EULA, properties, *edits),
        **more,
    )
