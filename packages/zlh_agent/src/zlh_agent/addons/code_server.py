"""What code-server is as a supervised process: pure.

The edge decides who may come in, so it asks for no password; who may come is everybody that reaches its port, and the
container's network rules let nobody but the edge. What it listens on and whom it believes is said on its command line,
which it prefers to any file, and its configuration file is an empty one: one in the customer's home decides nothing.
Settings, extensions and what is open stay in that home, whichever version runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from zlh_common.addons import ADDON_PORTS, CODE_SERVER, HEALTH_PATH
from zlh_common.schema.process import HangPolicy, HttpProbe, ProcessPolicy, ReadyPolicy, RestartPolicy, WantedProcess

NAME, PORT = CODE_SERVER, ADDON_PORTS[CODE_SERVER]
# Read as a configuration without a word in it. One that is not there would be made, with a password of its own.
NO_CONFIG = "/dev/null"
# What is made of this very install is told from what is made of another one; the program never sees it.
MARK = "ZLH_ADDON"
_POLICY = ProcessPolicy(
    # It ends by itself with 0 where its main process is asked to, and nobody wants that.
    restart=RestartPolicy(when="always"),
    ready=ReadyPolicy(probe=HttpProbe(port=PORT, path=HEALTH_PATH)),
    # A machine that is busy or out of memory for a while ends nobody's editor.
    hang=HangPolicy(after_s=180.0, action="restart"),
    ports=(PORT,),
)
# What it obeys before its command line (PORT), instead of it, or hands on to what it starts.
_OBEYED = re.compile(
    r"PORT|PASSWORD|HASHED_PASSWORD|GITHUB_TOKEN|LOG_LEVEL|(CODE_SERVER|CS|VSCODE|ELECTRON|NODE|XDG)_.*|" + MARK
)


def code_server(folder: Path, *, version: str, attempt: int, address: str, origins: Sequence[str]) -> WantedProcess:
    """Return the process of the version that `<folder>/current` leads to.

    Two that differ in version, attempt, address or origins are two commands, so that what runs is known to be outdated.
    """
    host = f"[{address}]" if ":" in address else address
    return WantedProcess(
        name=NAME,
        argv=(
            str(folder / "current/bin/code-server"),
            "--config", NO_CONFIG,
            "--bind-addr", f"{host}:{PORT}",
            "--auth", "none",
            *(word for origin in origins for word in ("--trusted-origins", origin)),
            "--disable-telemetry",
            "--disable-update-check",
            # Its way to other ports of the container would go past whoever decides who may open which.
            "--disable-proxy",
            "--disable-getting-started-override",
            ".",
        ),
        environment={MARK: f"{version} {attempt}"},
        policy=_POLICY,
    )  # fmt: skip


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment it does not obey."""
    return {name: value for name, value in environment.items() if _OBEYED.fullmatch(name) is None}
