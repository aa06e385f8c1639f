"""How each kind of shell is started for a look at what it finds, and what differs: decisions without I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zlh_agent.shells.model import Trouble, Wanted
from zlh_agent.shells.system_file_rules import FRONT, PATH
from zlh_agent.workspace.login_environment import LANG, SYSTEM_PATH, TERM, Account
from zlh_common.schema.shells import ShellCheck, ShellDifference

# What login(1) and sshd give by themselves; PAM comes after.
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
SSH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/games"
CRON_PATH = "/usr/bin:/bin"
# All checks together, in whatever letters, must fit a message of the event stream many times over.
MAX_DIFFERENCES, MAX_TEXT = 6, 160
_PAM_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


@dataclass(frozen=True, slots=True)
class Mode:
    """One kind of shell or program; without an environment it has that of a service."""

    name: str
    # The shell and its options; what it is to say comes after.
    argv: tuple[str, ...]
    environment: Mapping[str, str] | None
    is_fish: bool = False
    # Its PATH is what its starter says, whatever anybody has configured: commands are not expected there.
    has_fixed_path: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of starting one: the end of what it printed, and how it ended."""

    output: str
    exit_code: int | None = None
    # It was ended, since it took too long or printed too much.
    is_too_slow: bool = False
    is_too_loud: bool = False
    # It was never started.
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: everything that is wanted, and what was there before and should be gone."""

    wanted: Wanted
    former_commands: frozenset[str] = frozenset()
    # Name → the value that we gave it.
    former_variables: Mapping[str, str] = field(default_factory=dict)


def parse_pam_environment(text: str) -> dict[str, str]:
    """Return what pam_env makes of /etc/environment."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _PAM_LINE.fullmatch(line.split("#", 1)[0].rstrip())
        # No environment holds a NUL.
        if match is not None and "\0" not in line:
            value = match[2]
            if value[:1] in {'"', "'"}:
                value = value[1:].removesuffix(value[0])
            found[match[1]] = value
    return found


def list_modes(
    account: Account,
    *,
    terminal: Sequence[str],
    launched: Mapping[str, str],
    pam: Mapping[str, str],
    is_program: Callable[[str], bool],
) -> list[Mode]:
    """Return every kind that is installed; `launched` is what the agent starts programs with, `terminal` its shell."""
    who = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": account.shell or "/bin/bash"}
    login = {**who, "TERM": TERM, "LANG": LANG, "PATH": LOGIN_PATH, **pam}
    at = "127.0.0.1 50000"
    ssh = {**who, "PATH": SSH_PATH, **pam, "SSH_CLIENT": f"{at} 22", "SSH_CONNECTION": f"{at} 127.0.0.1 22"}
    # Debian's cron puts its own PATH over that of PAM; a job of bash reads ours by BASH_ENV.
    cron = {**who, **pam, "PATH": CRON_PATH}
    modes = [
        _shell("terminal", (terminal[0], "-l", "-i"), launched),
        _shell("login", ("/bin/bash", "-l"), login),
        _shell("login interactive", ("/bin/bash", "-l", "-i"), login),
        _shell("interactive", ("/bin/bash", "-i"), login),
        _shell("script", ("/bin/bash",), login),
        _shell("sh", ("/bin/sh",), login),
        _shell("sh login", ("/bin/sh", "-l"), login),
        _shell("ssh", ("/bin/bash",), ssh),
        _shell("cron", ("/bin/bash",), {**cron, "SHELL": "/bin/bash"}),
        Mode("cron sh", ("/bin/sh",), {**cron, "SHELL": "/bin/sh"}, has_fixed_path=True),
        _shell("unit", ("/bin/sh",), None),
        # Its terminal is no login; its extension host starts programs with what it has itself.
        _shell("code-server terminal", ("/bin/bash", "-i"), launched),
        _shell("code-server extension", ("/bin/sh",), launched),
        _shell("zsh", ("/usr/bin/zsh",), login),
        _shell("zsh login interactive", ("/usr/bin/zsh", "-l", "-i"), login),
        _shell("fish", ("/usr/bin/fish",), login),
        _shell("fish login interactive", ("/usr/bin/fish", "-l", "-i"), login),
    ]
    return [mode for mode in modes if is_program(mode.argv[0])]


def _shell(name: str, argv: tuple[str, ...], environment: Mapping[str, str] | None) -> Mode:
    return Mode(name, argv, environment, is_fish=argv[0].endswith("/fish"))


def render_command(mode: Mode, question: Question, token: str) -> list[str]:
    """Return the whole command that has a shell say what it finds, between two lines that nothing else prints."""
    variables = sorted({*question.wanted.variables, *question.former_variables, "PATH"})
    commands = sorted({*question.wanted.commands, *question.former_commands})
    say = "command printf '%s\\n'"
    lines = [f"{say} {token}-begin"]
    for name in variables:
        value = f'"v {name}=${name}"' if mode.is_fish else f'"v {name}=${{{name}-}}"'
        lines.append(f"{say} {value}")
    for name in commands:
        found = f'"c {name}="(command -v {name})' if mode.is_fish else f'"c {name}=$(command -v {name} || :)"'
        lines.append(f"{say} {found}")
    lines.append(f"{say} {token}-end")
    start = [] if mode.environment is None else ["/usr/bin/env", "-i"]
    start += [f"{name}={value}" for name, value in sorted((mode.environment or {}).items())]
    return [*start, *mode.argv, "-c", "; ".join(lines)]


def judge(mode: Mode, ran: Ran, question: Question, token: str) -> ShellCheck:
    """Return what came of one mode: what differs, or why it cannot be told."""
    said = _between(ran.output, token)
    if said is None:
        return ShellCheck(mode=mode.name, ok=False, problem=_name_problem(mode, ran))
    found = dict(line.split("=", 1) for line in said if "=" in line)
    differences = _of_variables(found, question)
    if not mode.has_fixed_path:
        differences = [*_of_path(found), *differences, *_of_commands(found, question)]
    return ShellCheck(mode=mode.name, ok=not differences, differences=tuple(differences[:MAX_DIFFERENCES]))


def check_of_troubles(troubles: Sequence[Trouble]) -> list[ShellCheck]:
    """Return what keeps all shells from finding something, as checks of their own."""
    lasting = [trouble for trouble in troubles if trouble.is_lasting]
    return [ShellCheck(mode=trouble.kind, ok=False, problem=trouble.message) for trouble in lasting[:8]]


def _between(output: str, token: str) -> list[str] | None:
    _, begin, rest = output.rpartition(f"{token}-begin\n")
    said, end, _ = rest.partition(f"{token}-end")
    return said.splitlines() if begin and end else None


def _name_problem(mode: Mode, ran: Ran) -> str:
    if ran.failure is not None:
        return f"It could not be started: {ran.failure[:MAX_TEXT]}"
    files = "its configuration" if mode.is_fish or "zsh" in mode.argv[0] else "~/.profile and ~/.bashrc"
    if ran.is_too_slow:
        return f"It did not come to its command in time. Look for what waits in {files}."
    if ran.is_too_loud:
        return f"It printed without end. Look for what prints in {files}."
    how = "" if ran.exit_code is None else f" with {ran.exit_code}"
    return f"It ended{how} before its command. Look for exit and exec in {files}."


def _of_path(found: Mapping[str, str]) -> list[ShellDifference]:
    text = found.get("v PATH", "")
    folders = list(dict.fromkeys(text.split(":")))
    of_system = [folder for folder in folders if folder in SYSTEM_PATH]
    if FRONT in of_system and of_system == [folder for folder in SYSTEM_PATH if folder in of_system]:
        return []
    return [ShellDifference(what="PATH", expected=PATH, found=_cut(text))]


def _of_variables(found: Mapping[str, str], question: Question) -> list[ShellDifference]:
    wanted = question.wanted.variables
    differing: list[tuple[str, str | None, str | None]] = [
        (name, value, found.get(f"v {name}") or None)
        for name, value in sorted(wanted.items())
        if found.get(f"v {name}", "") != value
    ]
    # Gone is what we have set; who sets it himself may.
    differing += [
        (name, None, value)
        for name, value in sorted(question.former_variables.items())
        if name not in wanted and found.get(f"v {name}") == value
    ]
    return [ShellDifference(what=what, expected=expected, found=_cut(is_now)) for what, expected, is_now in differing]


def _of_commands(found: Mapping[str, str], question: Question) -> list[ShellDifference]:
    differing: list[tuple[str, str | None, str | None]] = [
        (name, f"{FRONT}/{name}", found.get(f"c {name}") or None)
        for name in sorted(question.wanted.commands)
        if found.get(f"c {name}", "") != f"{FRONT}/{name}"
    ]
    differing += [
        (name, None, f"{FRONT}/{name}")
        for name in sorted(question.former_commands - question.wanted.commands.keys())
        if found.get(f"c {name}") == f"{FRONT}/{name}"
    ]
    return [ShellDifference(what=what, expected=expected, found=_cut(is_now)) for what, expected, is_now in differing]


def _cut(text: str | None) -> str | None:
    return None if not text else "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_TEXT])
