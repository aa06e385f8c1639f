"""Processes: what the agent keeps running, how it knows that one is ready, and what it does when one ends.

The policies are part of what a customer asks for and of what the API tells the agent, so they stand here once; who
receives a request looks for unknown fields by itself (`structs.unknown_fields`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, field

from zlh_common.errors import ZlhError
from zlh_common.line_patterns import find_pattern_problem
from zlh_common.schema.structs import Report, Request

# The name is part of the names of files, sockets and systemd units.
ProcessName = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
MAX_PROCESSES = 32
MAX_COMMAND_CHARS = 8192
MAX_VARIABLES = 256
# All definitions of a container together, as JSON: room for 32 long ones, and half of what an agent takes as its spec.
MAX_DEFINITIONS_BYTES = 512 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


class TcpProbe(Report, tag_field="kind", tag="tcp"):
    """A connection to the port is accepted."""

    port: Port


class HttpProbe(Report, tag_field="kind", tag="http"):
    """A GET is answered with a status below 400; redirects are an answer and are not followed."""

    port: Port
    path: Annotated[str, Meta(pattern=r"^/[!-~]*$(?!\n)", max_length=1024)] = "/"


class LogProbe(Report, tag_field="kind", tag="log"):
    """A line of the output matches: literal text, `*` for anything; colours and control sequences are left out."""

    pattern: Annotated[str, Meta(min_length=1, max_length=256)]


class PingProbe(Report, tag_field="kind", tag="minecraft"):
    """A Minecraft server answers a status ping."""

    port: Port


class LineProbe(Report, tag_field="kind", tag="line"):
    """A whole line of the output is as a pattern of `zlh_common.line_patterns` says; then a status ping is answered.

    Nobody who plays can have such a line written. With `ping` it also tells whether the server is still alive; from
    protocol 9 on.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=256)]
    ping: Port | None = None


Probe = TcpProbe | HttpProbe | LogProbe | PingProbe | LineProbe


class ReadyPolicy(Report):
    """When a process counts as ready. Without a probe it is ready as soon as it runs."""

    probe: Probe | None = None
    # So long may the start take before it is reported as slow, or given up.
    grace_s: Seconds = 120.0
    on_slow: Literal["report", "restart"] = "report"


class HangPolicy(Report):
    """What a process that was ready and no longer answers its probe means. A log probe cannot tell this."""

    after_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    action: Literal["report", "restart"] = "report"


class RestartPolicy(Report):
    """What happens after an end that nobody asked for."""

    # failure: after any end but one with a code of `success_codes`; always: after those too.
    when: Literal["always", "failure", "never"] = "failure"
    # The wait before each restart in a row; after the last one comes `error`.
    delays_s: Annotated[tuple[Seconds, ...], Meta(max_length=16)] = (30.0, 60.0, 120.0)
    # A process that ran this long begins with the first delay again.
    stable_s: Seconds = 300.0
    success_codes: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(max_length=16)] = (0,)


class StopPolicy(Report):
    """How a process is asked to end: the command, then the signal, then SIGKILL to all that it has started."""

    # Typed into its console, with a line feed; None where it has no such command.
    command: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    command_grace_s: Seconds = 30.0
    signal: Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] = "SIGTERM"
    grace_s: Seconds = 10.0


class ProcessPolicy(Report):
    """Everything about how one process is kept."""

    restart: RestartPolicy = RestartPolicy()
    stop: StopPolicy = StopPolicy()
    ready: ReadyPolicy = ReadyPolicy()
    hang: HangPolicy | None = None
    # Ports that it listens on: it is not started while another program holds one of them.
    ports: Annotated[tuple[Port, ...], Meta(max_length=16)] = ()


class ProcessSwitchedOff(ZlhError):
    """The process is switched off."""

    code, status = "process_switched_off", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is switched off; start it first.", name=name)


class ProcessNotRunning(ZlhError):
    """The process does not run, so there is nothing to kill."""

    code, status = "process_not_running", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not run.", name=name)


class NothingToRetry(ZlhError):
    """The process does not wait for a restart."""

    code, status = "nothing_to_retry", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not wait for a restart.", name=name)


class WantedProcess(Report):
    """One process in the agent's spec."""

    name: ProcessName
    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]
    # Relative to the workspace; None is the workspace itself.
    folder: Annotated[str, Meta(max_length=1024)] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    power: Literal["on", "off"] = "on"
    # Grows with each start that somebody asked for, so that one in `error` is started again by a spec alone.
    attempt: Annotated[int, Meta(ge=0, le=2**53)] = 0
    policy: ProcessPolicy = ProcessPolicy()

    def __post_init__(self) -> None:
        """Refuse what no program can be started with, or what leads out of the workspace."""
        if problem := find_problem(self.argv, self.folder, self.environment) or _find_policy_problem(self.policy):
            raise ValueError(problem)


def find_problem(argv: tuple[str, ...], folder: str | None, environment: Mapping[str, str]) -> str | None:
    """Return why nothing can be started like this, or None."""
    if not argv[0]:
        return "the first of argv is the program, and it is empty"
    if sum(len(word) + 1 for word in argv) > MAX_COMMAND_CHARS:
        return f"argv has more than {MAX_COMMAND_CHARS} characters"
    if any("\0" in text for text in (*argv, *environment.values(), folder or "")):
        return "a NUL character cannot be part of argv, folder or environment"
    if folder is not None and (folder.startswith("/") or ".." in folder.split("/")):
        return "folder is relative to the workspace and does not lead out of it"
    return _find_variable_problem(environment)


def _find_policy_problem(policy: ProcessPolicy) -> str | None:
    probe = policy.ready.probe
    texts = (policy.stop.command or "", probe.pattern if isinstance(probe, LogProbe) else "")
    if isinstance(probe, LineProbe) and (problem := find_pattern_problem(probe.pattern)):
        return f"the pattern of the probe: {problem}"
    return "a NUL character cannot be part of policy" if any("\0" in text for text in texts) else None


def _find_variable_problem(environment: Mapping[str, str]) -> str | None:
    if len(environment) > MAX_VARIABLES or sum(map(len, environment.values())) > MAX_COMMAND_CHARS:
        return f"environment has more than {MAX_VARIABLES} variables or {MAX_COMMAND_CHARS} characters"
    if wrong := [name for name in environment if _VARIABLE.fullmatch(name) is None]:
        return f"{wrong[0][:64]!r} is no name of a variable"
    return None


class PutProcess(Request):
    """`PUT …/processes/{name}`: the whole definition."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]
    folder: Annotated[str, Meta(max_length=1024)] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    # Left out: on for a new process, as it is for one that exists.
    power: Literal["on", "off"] | None = None
    policy: ProcessPolicy = ProcessPolicy()


ProcessState = Literal["stopped", "starting", "running", "stopping", "backoff", "error"]


class ProcessReason(Report):
    """Why a process is in its state: a code for programs, a sentence for people."""

    code: str
    message: str
