"""Every way in which something of the customer is started in a real container, by the real starter, and what it finds.

None of it is the agent's own look: sshd, cron, systemd, su and the shells themselves are asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from lxc.guest import PATIENCE_S, Guest
from zlh_common.names import agent_name
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.process import WantedProcess

Found = Mapping[str, str]

_ASK = """
printf '%s\\n' "node=$(command -v node || :)" "npm=$(command -v npm || :)" "java=$(command -v java || :)" \
  "version=$(node --version 2>/dev/null || :)" "JAVA_HOME=${JAVA_HOME-}" "PATH=$PATH"
"""
_ASK_FISH = """
for name in node npm java
    echo $name=(command -v $name; or echo)
end
echo version=(node --version 2>/dev/null; or echo)
echo "JAVA_HOME=$JAVA_HOME"
echo "PATH=$PATH"
"""
_UNIT = """[Service]
Type=oneshot
User=dev
ExecStart=/bin/sh -c '. /var/tmp/ask'
StandardOutput=truncate:/var/tmp/unit.said
"""
# Where no SHELL is named it is sh, which reads nothing; and PATH is cron's own whatever PAM says.
_CRONTAB = """@reboot . /var/tmp/ask >/var/tmp/cron-sh.said
SHELL=/bin/bash
@reboot . /var/tmp/ask >/var/tmp/cron.said
SHELL=/bin/sh
PATH=/usr/local/bin:/usr/bin:/bin
@reboot . /var/tmp/ask >/var/tmp/cron-path.said
"""
_USER_UNIT = """[Service]
Type=oneshot
ExecStart=/bin/sh -c '. /var/tmp/ask'
StandardOutput=truncate:/var/tmp/user-unit.said
"""
# What pam_systemd would say, which the template goes without.
_USER_MANAGER = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
_SAID = ("node", "npm", "java", "version", "JAVA_HOME", "PATH")
KEY = "/home/dev/.ssh/id_ed25519"
# su keeps the environment of its caller, which here is nearly none; what sshd, cron and systemd give is theirs.
_SHELLS: Mapping[str, tuple[str, ...]] = {
    "login": ("su", "-", "dev", "-c", ". /var/tmp/ask"),
    "script": ("su", "dev", "-c", ". /var/tmp/ask"),
    "login interactive": ("su", "-", "dev", "-c", "exec bash -l -i -c '. /var/tmp/ask'"),
    "interactive": ("su", "dev", "-c", "exec bash -i -c '. /var/tmp/ask'"),
    "sh": ("su", "dev", "-s", "/bin/sh", "-c", ". /var/tmp/ask"),
    "sh login": ("su", "-", "dev", "-s", "/bin/sh", "-c", ". /var/tmp/ask"),
    "zsh": ("su", "dev", "-s", "/usr/bin/zsh", "-c", ". /var/tmp/ask"),
    "zsh login": ("su", "-", "dev", "-s", "/usr/bin/zsh", "-c", ". /var/tmp/ask"),
    "zsh interactive": ("su", "dev", "-s", "/usr/bin/zsh", "-c", "exec zsh -i -c '. /var/tmp/ask'"),
    "fish": ("su", "dev", "-s", "/usr/bin/fish", "-c", "source /var/tmp/ask.fish"),
    "fish login": ("su", "-", "dev", "-s", "/usr/bin/fish", "-c", "source /var/tmp/ask.fish"),
    "ssh command": ("su", "dev", "-c", f"ssh -i {KEY} -o BatchMode=yes dev@127.0.0.1 '. /var/tmp/ask'"),
    "ssh login": ("su", "dev", "-c", f"ssh -i {KEY} -o BatchMode=yes dev@127.0.0.1 'bash -l -c \". /var/tmp/ask\"'"),
    # With nothing to begin with.
    "bare bash": ("su", "dev", "-s", "/bin/bash", "-c", "env -i HOME=$HOME bash -l -c '. /var/tmp/ask'"),
    "transient unit": (
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--uid=dev", "/bin/sh", "/var/tmp/ask",
    ),
}  # fmt: skip


async def prepare(guest: Guest) -> None:
    """Put in what is asked, and have the container's own sshd, cron and user manager run."""
    await _write(guest, "/var/tmp/ask", _ASK)
    await _write(guest, "/var/tmp/ask.fish", _ASK_FISH)
    await _write(guest, "/etc/systemd/system/proof.service", _UNIT)
    await _write(guest, "/var/tmp/crontab", _CRONTAB)
    await guest.inside("crontab", "-u", "dev", "/var/tmp/crontab")
    # The hosts of a container are known to nobody but itself.
    await _write(
        guest,
        "/etc/ssh/ssh_config.d/proof.conf",
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
    )
    make_key = (
        f"mkdir -m 700 -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f {KEY} && cp {KEY}.pub ~/.ssh/authorized_keys"
    )
    await guest.inside("su", "dev", "-c", make_key)
    await guest.inside("systemctl", "start", "ssh")
    await guest.inside("mkdir", "-p", "/etc/systemd/system/user@.service.d", "/etc/systemd/user")
    await _write(guest, "/etc/systemd/system/user@.service.d/proof.conf", _USER_MANAGER)
    await _write(guest, "/etc/systemd/user/proof.service", _USER_UNIT)
    await guest.inside("systemctl", "daemon-reload")
    await guest.inside("loginctl", "enable-linger", "dev")
    await _until(guest, "systemctl", "is-active", "--quiet", "user@1000.service")


async def ask_all(guest: Guest) -> dict[str, Found]:
    """Return what each finds."""
    asked: dict[str, Callable[[], Awaitable[str]]] = {
        **{name: (lambda argv=argv: guest.inside(*argv)) for name, argv in _SHELLS.items()},  # type: ignore[misc]
        "unit": lambda: _ask_unit(guest),
        "user unit": lambda: _ask_user_unit(guest),
        "terminal": lambda: _ask_terminal(guest),
    }
    found: dict[str, Found] = {}
    seats = asyncio.Semaphore(4)

    async def ask(name: str, start: Callable[[], Awaitable[str]]) -> None:
        async with seats:
            found[name] = _parse(await start())

    async with asyncio.TaskGroup() as group:
        for name, start in asked.items():
            group.create_task(ask(name, start))
    return {**found, "cron": await ask_cron(guest)}


def process_of_the_agent() -> WantedProcess:
    """Return what stands for code-server: started by the agent, and a shell of its terminals beside it."""
    text = (
        ". /var/tmp/ask >/var/tmp/host.new; bash -i -c '. /var/tmp/ask' >/var/tmp/editor.said 2>/dev/null;"
        "mv /var/tmp/host.new /var/tmp/host.said; exec sleep 100000"
    )
    return WantedProcess(name="editor", argv=("/bin/sh", "-c", text))


async def ask_processes(guest: Guest) -> dict[str, Found]:
    """Return what a process of the agent finds, once it was started anew, and a shell that it starts."""
    await guest.inside("rm", "-f", "/var/tmp/host.said")
    await guest.call("POST", "/processes/editor/restart")
    await _until(guest, "test", "-e", "/var/tmp/host.said")
    return {
        "code-server extension": _parse(await guest.inside("cat", "/var/tmp/host.said")),
        "code-server terminal": _parse(await guest.inside("cat", "/var/tmp/editor.said")),
    }


async def ask_cron(guest: Guest, said: str = "cron") -> Found:
    """Return what jobs find: those of a start are run by a start, so that nobody has to wait for the next minute."""
    old = [f"/var/tmp/{name}.said" for name in ("cron", "cron-sh", "cron-path")]
    await guest.inside("rm", "-f", *old, "/run/crond.reboot")
    await guest.inside("systemctl", "restart", "cron")
    await _until(guest, "grep", "-q", "^PATH=", f"/var/tmp/{said}.said")
    return _parse(await guest.inside("cat", f"/var/tmp/{said}.said"))


async def _ask_unit(guest: Guest) -> str:
    await guest.inside("systemctl", "start", "proof")
    return await guest.inside("cat", "/var/tmp/unit.said")


async def _ask_user_unit(guest: Guest) -> str:
    await guest.inside("su", "dev", "-c", "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user start proof")
    return await guest.inside("cat", "/var/tmp/user-unit.said")


async def _ask_terminal(guest: Guest) -> str:
    opened = json.loads(await guest.call("POST", "/terminals", b"{}"))["id"]
    async with (
        guest.client() as session,
        session.ws_connect(
            f"/terminals/{opened}", ssl=guest.tls, server_hostname=agent_name(guest.owner), protocols=(SUBPROTOCOL,)
        ) as socket,
    ):
        await socket.send_bytes(
            b". /var/tmp/ask >/var/tmp/terminal.new; mv /var/tmp/terminal.new /var/tmp/terminal.said\n"
        )
        await _until(guest, "test", "-e", "/var/tmp/terminal.said")
    said = await guest.inside("cat", "/var/tmp/terminal.said")
    await guest.inside("rm", "/var/tmp/terminal.said")
    await guest.call("DELETE", f"/terminals/{opened}")
    return said


def _parse(text: str) -> Found:
    lines = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: value for name, value in lines if name in _SAID}


async def _write(guest: Guest, path: str, text: str) -> None:
    await guest.inside("/bin/sh", "-c", 'printf %s "$1" >"$2"; chmod 644 "$2"', "sh", text, path)


async def _until(guest: Guest, *argv: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("/bin/sh", "-c", '"$@" && echo yes || :', "sh", *argv) != "yes":
            await asyncio.sleep(0.1)
