"""The game servers that are archives of ours: built from their real sources, and started as their templates say."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from component.artifacts.conftest import Workshop
from guards.ports import free_port
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.template_book import TemplateBook
from zlh_api.artifacts.model import BuildRecord
from zlh_common.line_patterns import match_line
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.process import LineProbe
from zlh_common.schema.template import GameTemplate, Value

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\r")
ADDRESS = "127.0.0.1"


@pytest.mark.real("package-index")
@pytest.mark.real("npm")
@pytest.mark.timeout(900)
def test_flying_squid_starts_answers_and_ends_as_its_template_says(workshop: Workshop) -> None:
    """Its settings count, it says that it is ready in the line that is waited for, and `stop` ends it with 0."""
    root, template = _install(workshop, "flying-squid")
    port = free_port()
    with _running(root, template, workshop.home / "server", port) as server:
        server.wait_ready()
        answer = _ask_status(port)
        assert answer["players"] == {"max": 10, "online": 0, "sample": []}
        assert "A flying-squid server" in str(answer["description"])
        server.say(template.policy.stop.command or "")
        assert server.wait_end() == 0
    assert (workshop.home / "server" / "world").is_dir()


@pytest.mark.real("debian-packages")
@pytest.mark.timeout(600)
def test_minetest_starts_and_ends_as_its_template_says(workshop: Workshop) -> None:
    """With libraries of its own, from whatever folder, on the address that it is told; the signal ends it in order."""
    root, template = _install(workshop, "minetest")
    port = free_port()
    with _running(root, template, workshop.home / "server", port) as server:
        server.wait_ready()
        assert f"{ADDRESS}:{port}" in server.lines[-1]
        server.process.send_signal(getattr(signal, template.policy.stop.signal))
        assert server.wait_end() == 0
    assert "gameid = minetest" in (workshop.home / "server" / "world" / "world.mt").read_text()


def _install(workshop: Workshop, name: str) -> tuple[Path, GameTemplate]:
    """Build the archive, unpack it elsewhere, and prove it by its smoke test."""
    book = RecipeBook()
    (built,) = build_artifacts(workshop.tree, book, book.choose([name]), platforms=[this_platform()])
    record: BuildRecord = built.record
    assert record.for_games
    root = workshop.home / "installed"
    root.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(workshop.tree / record.path), "-C", str(root)], check=True)
    assert (root / "LICENSE").stat().st_size > 500
    first, *rest = record.smoke_test
    done = subprocess.run(
        [root / first, *rest], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert record.smoke_expect in done.stdout
    template = next(file.template for file in TemplateBook().templates if file.name == name)
    return root, template


class Server:
    """A server on a terminal, and the lines that it has printed."""

    def __init__(self, template: GameTemplate, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._template, self.process, self._terminal = template, process, terminal
        self.lines: list[str] = []
        self._rest = b""

    def wait_ready(self) -> None:
        """Read until the line that the template waits for."""
        probe = self._template.policy.ready.probe
        assert isinstance(probe, LineProbe)
        while not self.lines or match_line(probe.pattern, self.lines[-1]) is None:
            assert self._read_line(), self.lines

    def say(self, command: str) -> None:
        """Type a command."""
        os.write(self._terminal, command.encode() + b"\n")

    def wait_end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read_line():
            pass
        return self.process.wait()

    def _read_line(self) -> bool:
        while b"\n" not in self._rest:
            try:
                block = os.read(self._terminal, 65536)
            except OSError:
                # Nobody has the other end of the terminal any more.
                block = b""
            if not block:
                return False
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        self.lines.append(_CONTROL.sub("", line.decode("utf-8", "replace")))
        return True


@contextmanager
def _running(root: Path, template: GameTemplate, folder: Path, port: int) -> Iterator[Server]:
    """Start a server with exactly what its template says, its values being the defaults; end it whatever happens."""
    folder.mkdir()
    values = _values(template, port)
    for edit in template.edits:
        _write(folder / edit.path, edit.format, {key: _fill(value, values) for key, value in edit.set.items()})
    environment = {name: str(_fill(text, values)) for name, text in template.start.environment.items()}
    environment |= {"PATH": f"{root}/bin:/usr/bin:/bin", "HOME": tempfile.mkdtemp(dir=folder.parent), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(_fill(word, values)) for word in template.start.argv],
            cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            yield Server(template, process, ours)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        os.close(ours)


def _values(template: GameTemplate, port: int) -> dict[str, Value]:
    of_variables = {f"{{var.{variable.name}}}": variable.default for variable in template.variables}
    return {**of_variables, "{port.game}": port, "{address}": ADDRESS, "{heap_mb}": 300, "{var.online_mode}": False}


def _fill(value: Value, values: dict[str, Value]) -> Value:
    if not isinstance(value, str):
        return value
    if value in values:
        return values[value]
    for placeholder, text in values.items():
        value = value.replace(placeholder, str(text))
    assert "{" not in value
    return value


def _write(path: Path, kind: str, keys: dict[str, Value]) -> None:
    """Set keys of a file, as far as these two servers need it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "json":
        document = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
        for key, value in keys.items():
            *outer, last = key.split(".")
            place = document
            for part in outer:
                place = place.setdefault(part, {})
            place[last] = value
        path.write_bytes(msgspec.json.encode(document))
        return
    assert kind == "plain"
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in keys.items()}
    path.write_text("".join(f"{key} = {text}\n" for key, text in texts.items()))


def _ask_status(port: int) -> dict[str, Any]:
    """Return what a Minecraft server answers to a status ping."""
    host = ADDRESS.encode()
    hello = b"\x00" + _number(769) + _number(len(host)) + host + struct.pack(">H", port) + b"\x01"
    with socket.create_connection((ADDRESS, port), timeout=60) as connection:
        connection.sendall(_number(len(hello)) + hello + b"\x01\x00")
        with connection.makefile("rb") as stream:
            _read_number(stream)
            assert _read_number(stream) == 0
            answer: dict[str, Any] = msgspec.json.decode(stream.read(_read_number(stream)))
            return answer


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _read_number(stream: Any) -> int:
    value = 0
    for place in range(5):
        (byte,) = stream.read(1)
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    return value
