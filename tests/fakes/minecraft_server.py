"""A program that talks as a Minecraft server does: console, status ping, remote console, and what goes wrong with them.

Run in the server's folder, as a real one: `python minecraft_server.py --flavour paper --ready-after 0.2`. It reads
`eula.txt` and `server.properties` there and writes the latter anew, without comments, as real ones do. Standard library
alone, so that any interpreter runs it. Beside the commands of a real console it takes, from tests:

    test join NAME UUID | test leave NAME | test chat NAME TEXT … | test line TEXT …
    test hang | test wake | test crash | test flood LINES
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

VERSION, PROTOCOL = "1.21.4", 769
_LOGIN, _COMMAND, _ANSWER = 3, 2, 0
_DEFAULTS = {"server-port": "25565", "max-players": "20", "motd": "A Minecraft Server", "level-name": "world"}


def render_prefix(flavour: str, *, thread: str = "Server thread", level: str = "INFO") -> str:
    """Return what stands before each line of the console."""
    now = time.strftime("%H:%M:%S")
    if flavour == "paper":
        return f"[{now} {level}]: "
    if flavour == "forge":
        return f"[{now}] [{thread}/{level}] [minecraft/DedicatedServer]: "
    return f"[{now}] [{thread}/{level}]: "


def parse_properties(text: str) -> dict[str, str]:
    """Return the keys of a file of properties as simple ones write it."""
    rows = (
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith(("#", "!"))
    )
    return {key.strip(): value.strip() for key, value in rows}


def render_varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    raw = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        raw.append(low | (0x80 if number else 0))
        if not number:
            return bytes(raw)


def render_packet(kind: int, payload: bytes) -> bytes:
    """Return one packet of the status ping."""
    body = render_varint(kind) + payload
    return render_varint(len(body)) + body


class Server:
    """One server, as long as it runs."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.properties = dict(_DEFAULTS)
        self.players: dict[str, str] = {}
        self.is_ready = False
        # Clear while it hangs: nobody is answered.
        self.answers = threading.Event()
        self.answers.set()
        self._writing = threading.Lock()
        self._ending = threading.Lock()

    # What it says

    def say(self, text: str, *, thread: str = "Server thread", level: str = "INFO") -> None:
        """Write one line of the console."""
        line = render_prefix(self.asked.flavour, thread=thread, level=level) + text
        self.write(f"\x1b[32m{line}\x1b[0m" if self.asked.ansi else line)

    def write(self, line: str) -> None:
        """Write a line as it is."""
        with self._writing:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    # Its life

    def run(self) -> NoReturn:
        """Start, serve until somebody ends it, and exit as a real one does."""
        self.say(f"Starting minecraft server version {VERSION}")
        self._require_eula()
        self._take_properties()
        self._load_mods()
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, self._hear_signal)
        listener = self._listen()
        threading.Thread(target=self._serve, args=(listener, self._answer_ping), daemon=True).start()
        if self.properties.get("enable-rcon") == "true":
            self._open_remote_console()
        if self.asked.spoof:
            # What players have typed before the server is ready; it is none of the server's own lines.
            self.say('<Steve> Done (1.0s)! For help, type "help"')
            self.say('[Not Secure] <Steve> [12:00:00] [Server thread/INFO]: Done (1.0s)! For help, type "help"')
            self.say("* Steve joined the game")
        for number in range(self.asked.flood):
            self.say(f"Loading chunk {number} of many")
        time.sleep(self.asked.ready_after)
        if self.asked.crash:
            self._crash()
        self._make_world()
        self.is_ready = True
        self.say(f'Done ({self.asked.ready_after:.3f}s)! For help, type "help"')
        self._read_console()
        # Its console is gone, and it runs on.
        while True:
            signal.pause()

    def _require_eula(self) -> None:
        try:
            agreed = parse_properties(Path("eula.txt").read_text()).get("eula") == "true"
        except OSError:
            agreed = False
        if not agreed:
            Path("eula.txt").write_text("#By changing the setting below to TRUE you agree.\neula=false\n")
            self.say(
                "You need to agree to the EULA in order to run the server. Go to eula.txt for more info.", level="WARN"
            )
            sys.exit(0)

    def _take_properties(self) -> None:
        path = Path("server.properties")
        try:
            self.properties |= parse_properties(path.read_text("latin-1"))
        except FileNotFoundError:
            self.say("server.properties does not exist", level="WARN")
        if self.asked.port:
            self.properties["server-port"] = str(self.asked.port)
        rows = "".join(f"{key}={value}\n" for key, value in sorted(self.properties.items()))
        path.write_text(f"#Minecraft server properties\n#{time.ctime()}\n{rows}", "latin-1")

    def _listen(self) -> socket.socket:
        address = self.properties.get("server-ip") or self.asked.address
        port = int(self.properties["server-port"])
        self.say(f"Starting Minecraft server on {address}:{port}")
        try:
            return socket.create_server((address, port))
        except OSError as error:
            self.say("**** FAILED TO BIND TO PORT!", level="WARN")
            self.say(f"The exception was: java.net.BindException: {error}", level="WARN")
            sys.exit(1)

    def _make_world(self) -> None:
        world = Path(self.properties["level-name"])
        world.mkdir(exist_ok=True)
        starts = world / "starts.txt"
        starts.write_text(f"{int(starts.read_text()) + 1 if starts.exists() else 1}\n")

    def _crash(self) -> NoReturn:
        self.say("Encountered an unexpected exception", level="ERROR")
        self.write("java.lang.IllegalStateException: test")
        self.say("This crash report has been saved to: crash-reports/crash-server.txt", level="ERROR")
        os._exit(0)

    def _hear_signal(self, number: int, _frame: object) -> None:
        # As a JVM ends: its hooks save, and the code is that of the signal.
        self.end(128 + number, thread="Server Shutdown Thread")

    def end(self, code: int, *, thread: str = "Server thread") -> None:
        """Save and exit; once."""
        if not self._ending.acquire(blocking=False):
            return
        self.say("Stopping server", thread=thread)
        self.say("Saving players", thread=thread)
        time.sleep(self.asked.slow_stop)
        world = Path(self.properties["level-name"])
        world.mkdir(exist_ok=True)
        (world / "saved.txt").write_text("saved\n")
        self.say("ThreadedAnvilChunkStorage: All dimensions are saved", thread=thread)
        sys.stdout.flush()
        os._exit(code)

    # Its console

    def _read_console(self) -> None:
        for line in sys.stdin:
            answer = self.obey(line.strip())
            if answer:
                self.say(answer)

    def obey(self, line: str) -> str:  # noqa: PLR0911 - one case for each command
        """Do what a line of the console says; return the answer."""
        word, _, rest = line.partition(" ")
        match word:
            case "":
                return ""
            case "stop":
                if not self.asked.ignore_stop:
                    threading.Thread(target=self.end, args=(0,)).start()
                return "Stopping the server" if not self.asked.ignore_stop else ""
            case "list":
                names = ", ".join(self.players)
                most = self.properties["max-players"]
                return f"There are {len(self.players)} of a max of {most} players online: {names}"
            case "tps":
                return "TPS from last 1m, 5m, 15m: 19.98, 20.0, 20.0"
            case "say":
                return f"[Server] {rest}"
            case "test":
                self._obey_test(rest)
                return ""
            case _:
                return f"Unknown or incomplete command, see below for error\n{line}<--[HERE]"

    def _obey_test(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "join":
                name, _, uuid = rest.partition(" ")
                self.players[name] = uuid
                self.say(f"UUID of player {name} is {uuid}", thread="User Authenticator #1")
                self.say(f"{name}[/127.0.0.1:50000] logged in with entity id {len(self.players)} at (0.5, 64.0, 0.5)")
                self.say(f"{name} joined the game")
            case "leave":
                self.players.pop(rest, None)
                self.say(f"{rest} lost connection: Disconnected")
                self.say(f"{rest} left the game")
            case "chat":
                name, _, text = rest.partition(" ")
                self.say(f"<{name}> {text}")
            case "line":
                self.write(rest)
            case "hang":
                self.answers.clear()
            case "wake":
                self.answers.set()
            case "crash":
                self._crash()
            case "flood":
                for number in range(int(rest)):
                    self.say(f"A line of a flood, the {number}th of many, and as long as lines of servers often are")
            case _:
                self.say(f"Unknown test: {word}", level="WARN")

    def _load_mods(self) -> None:
        """Read every mod, as a loader does, and say which ones."""
        if self.asked.mods is None:
            return
        found = sorted(path for path in Path(self.asked.mods).glob("*.jar") if path.read_bytes())
        self.say(f"Loading {len(found)} mods: {' '.join(path.name for path in found)}".rstrip())

    # Its ports

    def _open_remote_console(self) -> None:
        if not self.properties.get("rcon.password"):
            self.say("No rcon password set in server.properties, rcon disabled!", level="WARN")
            return
        address = self.properties.get("server-ip") or self.asked.address
        listener = socket.create_server((address, int(self.properties.get("rcon.port", "25575"))))
        threading.Thread(target=self._serve, args=(listener, self._answer_remote), daemon=True).start()

    def _serve(self, listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._talk, args=(connection, answer), daemon=True).start()

    def _talk(self, connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        with connection, contextlib.suppress(OSError, ValueError, EOFError, struct.error):
            answer(connection)

    def _answer_ping(self, connection: socket.socket) -> None:
        stream: BinaryIO = connection.makefile("rb")
        if not self.is_ready and self.asked.closes_early:
            return
        _read_packet(stream)
        while True:
            packet = _read_packet(stream)
            self.answers.wait()
            if packet[:1] == b"\x00":
                raw = json.dumps(self._describe()).encode()
                connection.sendall(render_packet(0, render_varint(len(raw)) + raw))
            else:
                connection.sendall(render_packet(1, packet[1:]))

    def _describe(self) -> dict[str, object]:
        sample = [{"name": name, "id": uuid} for name, uuid in list(self.players.items())[:12]]
        online = len(self.players) if self.asked.claims is None else self.asked.claims
        return {
            "version": {"name": VERSION, "protocol": PROTOCOL},
            "players": {"max": int(self.properties["max-players"]), "online": online, "sample": sample},
            "description": {"text": self.properties["motd"]},
        }

    def _answer_remote(self, connection: socket.socket) -> None:
        stream, knows = connection.makefile("rb"), False
        while True:
            (size,) = struct.unpack("<i", stream.read(4))
            number, kind = struct.unpack("<ii", (body := stream.read(size))[:8])
            text = body[8:-2].decode()
            self.answers.wait()
            if kind == _LOGIN:
                knows = hmac.compare_digest(text, self.properties["rcon.password"])
                connection.sendall(_render_remote(number if knows else -1, _COMMAND, b""))
            elif not knows:
                return
            elif kind == _COMMAND:
                raw = self.obey(text).encode()
                for start in range(0, max(len(raw), 1), 4096):
                    connection.sendall(_render_remote(number, _ANSWER, raw[start : start + 4096]))
            else:
                connection.sendall(_render_remote(number, _ANSWER, f"Unknown request {kind:x}".encode()))


def _render_remote(number: int, kind: int, payload: bytes) -> bytes:
    body = struct.pack("<ii", number, kind) + payload + b"\0\0"
    return struct.pack("<i", len(body)) + body


def _read_packet(stream: BinaryIO) -> bytes:
    size = shift = 0
    while True:
        raw = stream.read(1)
        if not raw:
            raise EOFError
        size |= (raw[0] & 0x7F) << shift
        shift += 7
        if not raw[0] & 0x80:
            break
    body = stream.read(size)
    if len(body) != size:
        raise EOFError
    return body


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return how it shall behave."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flavour", choices=("vanilla", "paper", "forge"), default="vanilla")
    parser.add_argument("--ansi", action="store_true", help="colours, as on a terminal")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="in place of server-port")
    parser.add_argument("--ready-after", type=float, default=0.0, help="seconds between the open port and Done")
    parser.add_argument("--closes-early", action="store_true", help="a ping before Done is not answered")
    parser.add_argument("--spoof", action="store_true", help="chat that reads as Done, before it")
    parser.add_argument("--slow-stop", type=float, default=0.0, help="seconds that saving takes")
    parser.add_argument("--ignore-stop", action="store_true", help="only a signal ends it")
    parser.add_argument("--crash", action="store_true", help="instead of Done; exits with 0 as real ones do")
    parser.add_argument("--flood", type=int, default=0, help="lines before Done")
    parser.add_argument("--claims", type=int, default=None, help="players that a ping tells of, whoever plays")
    parser.add_argument("--mods", default=None, help="the folder of what it loads")
    parser.add_argument("nogui", nargs="?")
    return parser.parse_args(words)


if __name__ == "__main__":
    Server(parse_arguments()).run()
