"""Processes: what the agent keeps running, how it knows that one is ready, and what it does when one ends.

The policies are part of what a customer asks for and of what the API tells the agent, so they stand here once; who
receives a request looks for unknown fields by itself (`structs.unknown_fields`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from zlh_common.schema.structs import Report

# The name is part of the names of files, sockets and systemd units.
ProcessName = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
MAX_PROCESSES = 32
MAX_COMMAND_CHARS = 8192


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


Probe = TcpProbe | HttpProbe | LogProbe | PingProbe


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


ProcessState = Literal["stopped", "starting", "running", "stopping", "backoff", "error"]


class ProcessReason(Report):
    """Why a process is in its state: a code for programs, a sentence for people."""

    code: str
    message: str
