"""What was last seen of a container: the agent's own report, and the API's document that is built from it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from zlh_common.schema.agent_update import AgentSoftware
from zlh_common.schema.game import GameReport, GameSummary
from zlh_common.schema.ports import ListeningPort
from zlh_common.schema.process import ProcessPolicy, ProcessReason, ProcessState
from zlh_common.schema.resources import Resources
from zlh_common.schema.shells import ShellReport
from zlh_common.schema.spec import Repository
from zlh_common.schema.structs import Report
from zlh_common.schema.terminal import Terminal

# What this version of the agent and the API say to each other.
PROTOCOL_VERSION = 10


class Connection(StrEnum):
    """Whether the API hears the agent."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"


class Lifecycle(StrEnum):
    """The position of a container as a whole."""

    PROVISIONING = "provisioning"
    STARTING = "starting"
    INSTALLING = "installing"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKOFF = "backoff"
    ERROR = "error"
    DELETING = "deleting"


class StepState(StrEnum):
    """The position of one named step."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Transfer(Report):
    """How far a step is that moves bytes; rate and time left are null until they can be told."""

    # What is being done with them: "download", "unpack", "verify" …
    stage: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: float | None = None
    left_s: float | None = None


class Step(Report):
    """One named step of provisioning, installing or deleting; `output` is the last 4 KiB of what it printed."""

    name: str
    state: StepState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    # 0.0 to 1.0 where the work can be measured, else null.
    progress: float | None = None
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None
    transfer: Transfer | None = None
    # Failures in a row, and when it is tried again, after one or while it waits: of the API's own steps alone.
    attempts: int = 0
    next_try_at: datetime | None = None


class ProcessStatus(Report):
    """One supervised process."""

    name: str
    state: ProcessState
    pid: int | None = None
    started_at: datetime | None = None
    # Restarts in a row, since it last ran for its stable time.
    restarts: int = 0
    next_restart_at: datetime | None = None
    # While it is stopping: when it is killed if it has not ended by then.
    kill_at: datetime | None = None
    # How it last ended, told through what follows: one of code and signal, neither where nobody saw it.
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: bool = False
    exited_at: datetime | None = None
    ready: bool = False
    # Why it is in its state, where that is not what was asked for.
    reason: ProcessReason | None = None
    # It runs, and what it was started from differs from what the spec says now; a restart brings it.
    outdated: bool = False


class Process(Report):
    """One process as people see it: what is wanted, and what its agent reports; null while nobody hears the agent."""

    name: str
    argv: tuple[str, ...]
    folder: str | None
    # Values are for who may change processes, since people put passwords there; others read null beside each name.
    environment: dict[str, str | None]
    power: Literal["on", "off"]
    policy: ProcessPolicy
    status: ProcessStatus | None


class InstalledRuntime(Report):
    """One toolchain version on disk, as the install record keeps it."""

    name: str
    version: str
    default: bool
    # False once a check has found that files differ from what was installed; the next whole check makes it true again.
    verified: bool
    # Bytes of the unpacked tree.
    size: int
    # Of the archive it was unpacked from, lower-case hex.
    sha256: str
    # Where the archive came from.
    source: str
    installed_at: datetime
    # Was the default before, and is kept to go back to.
    previous: bool = False
    # When all of its files were last compared with their hashes, and how many of them were found wrong.
    checked_at: datetime | None = None
    faults: int = 0


class AddonState(StrEnum):
    """The position of one addon."""

    # No version of it runs yet: it is downloaded, unpacked and tried, or waits for that.
    INSTALLING = "installing"
    STARTING = "starting"
    # It runs and answers.
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKOFF = "backoff"
    ERROR = "error"


class AddonStatus(Report):
    """One addon of a dev container."""

    name: str
    state: AddonState
    # The one that runs, or would.
    version: str | None = None
    # Of the API: where it opens in a browser, once it really does.
    url: str | None = None
    # Why it is in its state, for people; null where that is what was asked for.
    message: str | None = None
    # Of its process: since when it runs, and when somebody last used it; null where that cannot be told.
    started_at: datetime | None = None
    last_used_at: datetime | None = None
    # What is installed of it.
    versions: tuple[InstalledRuntime, ...] = ()


class AgentStatus(Report):
    """Everything an agent reports. The API treats each field as the word of a stranger."""

    protocol_version: int
    agent_version: str
    # The owner mark of the container that the agent believes to be in.
    owner: str
    boot_id: str
    started_at: datetime
    observed_at: datetime
    # The newest spec generation that was accepted, and the newest that was reached or has failed for good.
    spec_generation: int
    observed_generation: int
    steps: tuple[Step, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    terminals: tuple[Terminal, ...] = ()
    ports: tuple[ListeningPort, ...] = ()
    addons: tuple[AddonStatus, ...] = ()
    runtimes: tuple[InstalledRuntime, ...] = ()
    # What was found in every kind of shell; null until that was looked at.
    shells: ShellReport | None = None
    # Of a game container, once its agent has heard of its game.
    game: GameReport | None = None
    # From protocol 10 on.
    agent: AgentSoftware | None = None
    unknown_fields: tuple[str, ...] = ()


class ProvisioningError(Report):
    """Why a container is not becoming ready, and at which step."""

    code: str
    message: str
    step: str


class WorkspaceReport(Report):
    """What was asked for of a container's workspace; the text of the script is told to nobody, it may hold secrets."""

    # Whether `dev` becomes root of the container by `sudo`.
    sudo: bool
    repository: Repository | None
    has_start_script: bool


class AgentSummary(Report):
    """Which agent a container has, by its own word."""

    version: str
    protocol_version: int
    # Whether operators can bring it to another version while it runs, and why it is fixed where it is.
    can_be_updated: bool
    fixed_because: str | None


class ContainerStatus(Report):
    """The whole report of one container, as customers, the portal and scripts read it."""

    vmid: int
    kind: Literal["dev", "game"]
    name: str
    customer_id: str
    connection: Connection
    lifecycle: Lifecycle
    ready: bool
    provisioning_complete: bool
    provisioning_error: ProvisioningError | None
    power: Literal["on", "off"]
    # The limits that are wanted.
    resources: Resources
    # Those that were last seen in force, all of them; null while there is no guest, or while that cannot be told.
    resources_in_force: Resources | None
    degraded: tuple[str, ...]
    suspended: bool
    steps: tuple[Step, ...]
    processes: tuple[ProcessStatus, ...]
    terminals: tuple[Terminal, ...]
    # What its programs listen on; empty while nobody hears the agent.
    ports: tuple[ListeningPort, ...]
    addons: tuple[AddonStatus, ...]
    runtimes: tuple[InstalledRuntime, ...]
    shells: ShellReport | None
    workspace: WorkspaceReport
    hostname: str
    # Where the container's host opens in a browser, once its route is loaded.
    url: str | None
    created_at: datetime
    observed_at: datetime | None
    spec_generation: int
    observed_generation: int
    # Of a game container.
    game: GameSummary | None = None
    # Null until it was heard of.
    agent: AgentSummary | None = None


class RightsChanged(Report):
    """`rights` on `GET /api/events`: what the caller may do or know is more or less than before."""


class StillHere(Report):
    """`still-here` on `GET /api/events`: nothing else was to be told for a while, and the stream is alive."""


class ContainerDeleted(Report):
    """`container-deleted` on `GET /api/events`: a container that was shown there is gone."""

    vmid: int
