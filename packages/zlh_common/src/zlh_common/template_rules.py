"""What is wrong with a template of a game server: pure, and all of it at once.

The publisher refuses to sign a template with a problem, so whoever renders one can rely on what stands here: every
placeholder has its value, every port that is named exists, and no secret stands where anybody could read it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zlh_common.line_patterns import find_gaps, find_pattern_problem
from zlh_common.schema.process import (
    MAX_COMMAND_CHARS,
    HttpProbe,
    LineProbe,
    PingProbe,
    TcpProbe,
    find_problem,
)
from zlh_common.schema.template import (
    BooleanVariable,
    ChoiceVariable,
    FileEdit,
    GameTemplate,
    IntegerVariable,
    PinnedFile,
    TemplateVersion,
    TextVariable,
    Variable,
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAMED = re.compile(r"(var|port|fact|secret)\.([a-z][a-z0-9_]*)")
_PLAIN = frozenset({"version", "heap_mb", "address"})
# Filled in for whatever a placeholder stands for, where only the form of a word is looked at.
_SAMPLE = "x"
_ADDRESS = re.compile(r"https?://[^\s/?#]+/[^\s#]*")
_OWN_PATH = re.compile(r"(?!.*(^|/)\.{0,2}(/|$))[A-Za-z0-9][A-Za-z0-9._/+-]*")


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """One thing that is wrong: a code for programs, where it stands, and a sentence."""

    code: str
    field: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.field}: {self.message} [{self.code}]"


def find_template_problems(
    template: GameTemplate, versions: Sequence[TemplateVersion] = (), *, title: str = ""
) -> tuple[TemplateProblem, ...]:
    """Return everything that is wrong with a template, and with its title and its versions where they are given."""
    return tuple(
        problem
        for found in (
            _find_texts(template, title),
            _find_variables(template),
            _find_ports(template),
            _find_placeholders(template, versions),
            _find_start(template, versions),
            _find_edits(template),
            _find_scripts(template),
            _find_policy(template),
            _find_patterns(template),
            _find_rest(template),
            _find_versions(versions),
        )
        for problem in found
    )


def _find_texts(template: GameTemplate, title: str) -> Iterator[TemplateProblem]:
    """Whatever people read is one line of letters that are seen: no database keeps a NUL, no page shows a control."""
    for where, text in _list_texts(template, title):
        if not text.isprintable():
            message = "The text has control characters, or letters that are not seen."
            yield TemplateProblem("text_unseen", where, message)


def _list_texts(template: GameTemplate, title: str) -> Iterator[tuple[str, str]]:
    yield "title", title
    yield "summary", template.summary
    if template.eula:
        yield "eula.title", template.eula.title
    if template.mods:
        yield "mods.title", template.mods.title
    for variable in template.variables:
        yield f"variables.{variable.name}", variable.title + variable.description
    for hint in template.hints:
        yield f"hints.{hint.code}", hint.message
    for command in template.commands:
        yield f"commands.{command.name!r}", command.name + command.usage


def _find_variables(template: GameTemplate) -> Iterator[TemplateProblem]:
    yield from _twice((variable.name for variable in template.variables), "variable_twice", "variables")
    for variable in template.variables:
        if reason := _find_default_problem(variable):
            yield TemplateProblem("variable_default_wrong", f"variables.{variable.name}", f"{reason}.")


def _find_default_problem(variable: Variable) -> str | None:
    match variable:
        case TextVariable():
            return _find_text_problem(variable)
        case IntegerVariable(default=default, minimum=minimum, maximum=maximum):
            return None if minimum <= default <= maximum else f"{default} is not from {minimum} to {maximum}"
        case ChoiceVariable():
            return _find_choice_problem(variable)
        case BooleanVariable():
            return None


def _find_text_problem(variable: TextVariable) -> str | None:
    if len(variable.default) > variable.max_length:
        return f"the default has {len(variable.default)} characters, {variable.max_length} are allowed"
    if not variable.default.isprintable() or variable.default.startswith("-"):
        return "the default has control characters or begins with `-`, which no value may"
    if variable.pattern is None:
        return None
    try:
        matches = re.fullmatch(variable.pattern, variable.default) is not None
    except (re.error, RecursionError) as exc:
        return f"the pattern cannot be read: {exc}"
    return None if matches else f"the default {variable.default!r} does not match the pattern"


def _find_choice_problem(variable: ChoiceVariable) -> str | None:
    if variable.default not in variable.choices:
        return f"the default {variable.default!r} is none of the choices"
    if len(set(variable.choices)) != len(variable.choices):
        return "a choice stands twice"
    odd = [choice for choice in variable.choices if not choice.isprintable() or choice.startswith("-")]
    return f"the choice {odd[0]!r} has control characters or begins with `-`" if odd else None


def _find_ports(template: GameTemplate) -> Iterator[TemplateProblem]:
    yield from _twice((port.name for port in template.ports), "port_twice", "ports")
    yield from _twice((f"{port.protocol} {port.port}" for port in template.ports), "port_twice", "ports")
    yield from _twice((port.service for port in template.ports if port.service), "service_twice", "ports")
    yield from _find_services(template)
    known = {port.name: port for port in template.ports}
    named = [("presence.ping", template.presence.ping, "tcp")] if template.presence else []
    named += [("presence.query", template.presence.query, "udp")] if template.presence else []
    named += [("rcon.port", template.rcon.port, "tcp")] if template.rcon else []
    for where, name, protocol in named:
        if name is None:
            continue
        if name not in known:
            yield TemplateProblem("port_unknown", where, f"There is no port {name}; there are {', '.join(known)}.")
        elif known[name].protocol != protocol:
            yield TemplateProblem(
                "port_protocol_wrong", where, f"{name} is {known[name].protocol}, it needs {protocol}."
            )
    if template.rcon and template.rcon.port in known and known[template.rcon.port].is_public:
        message = "The port of the remote console is public; whoever knows its secret has full power over the server."
        yield TemplateProblem("rcon_public", "rcon.port", message)


def _find_services(template: GameTemplate) -> Iterator[TemplateProblem]:
    for port in template.ports:
        if port.service is None:
            continue
        where = f"ports.{port.name}.service"
        if not port.is_public:
            yield TemplateProblem("service_not_public", where, f"{port.name} is not public, so no name leads there.")
        if not port.service.endswith(f"._{port.protocol}"):
            yield TemplateProblem("service_wrong", where, f"{port.name} is {port.protocol}, {port.service} is not.")


def _find_placeholders(template: GameTemplate, versions: Sequence[TemplateVersion]) -> Iterator[TemplateProblem]:
    names = {
        "var": {variable.name for variable in template.variables},
        "port": {port.name for port in template.ports},
        "fact": _facts_of_all(versions) if versions else None,
    }
    for where, text in _texts(template):
        bare = _PLACEHOLDER.sub("", text)
        if "{" in bare or "}" in bare:
            yield TemplateProblem("brace_alone", where, f"{text[:64]!r} has a brace that belongs to no placeholder.")
        for placeholder in _PLACEHOLDER.findall(text):
            if problem := _find_placeholder(placeholder, where, names):
                yield problem


def _find_placeholder(placeholder: str, where: str, names: dict[str, set[str] | None]) -> TemplateProblem | None:
    if placeholder in _PLAIN:
        return None
    found = _NAMED.fullmatch(placeholder)
    if found is None:
        return TemplateProblem("placeholder_unknown", where, f"{{{placeholder[:64]}}} is none that there is.")
    kind, name = found[1], found[2]
    if kind == "secret":
        if where.startswith("edits"):
            return None
        return TemplateProblem("secret_exposed", where, f"{{{placeholder}}} may stand in values of edits alone.")
    known = names[kind]
    if known is None or name in known:
        return None
    told = ", ".join(sorted(known)) or "none"
    return TemplateProblem("placeholder_unknown", where, f"{{{placeholder}}} has no value; of {kind} there is {told}.")


def _facts_of_all(versions: Sequence[TemplateVersion]) -> set[str]:
    """Return the facts that every version has."""
    return set.intersection(*(set(version.facts) for version in versions))


def _texts(template: GameTemplate) -> Iterator[tuple[str, str]]:
    """Yield every text that is filled in, with where it stands."""
    yield from (("start.argv", word) for word in template.start.argv)
    yield from ((f"start.environment.{name}", text) for name, text in template.start.environment.items())
    for script in template.scripts:
        yield from ((f"scripts.{script.name}", text) for text in (*script.argv, *script.makes))
    for edit in template.edits:
        yield from ((f"edits.{edit.path}.{key}", value) for key, value in edit.set.items() if isinstance(value, str))


def _find_start(template: GameTemplate, versions: Sequence[TemplateVersion]) -> Iterator[TemplateProblem]:
    start = template.start
    filled = tuple(_PLACEHOLDER.sub(_SAMPLE, word) for word in start.argv)
    if reason := find_problem(filled, None, start.environment):
        yield TemplateProblem("start_wrong", "start", f"{reason}.")
    if any(not word for word in start.argv):
        yield TemplateProblem("word_empty", "start.argv", "A word of argv is empty.")
    if _PLACEHOLDER.search(start.argv[0]):
        yield TemplateProblem("program_filled", "start.argv", "The program itself cannot be filled in.")
    for version in versions:
        longest = sum(map(len, start.argv)) + sum(map(len, version.facts.values()))
        if longest > MAX_COMMAND_CHARS // 2:
            message = (
                f"With the facts of {version.version} it has {longest} characters; {MAX_COMMAND_CHARS // 2} are left."
            )
            yield TemplateProblem("start_too_long", "start.argv", message)


def _find_edits(template: GameTemplate) -> Iterator[TemplateProblem]:
    keys = (f"{edit.path} {key}" for edit in template.edits for key in edit.set)
    yield from _twice(keys, "edit_twice", "edits")
    formats: dict[str, str] = {}
    for edit in template.edits:
        if formats.setdefault(edit.path, edit.format) != edit.format:
            message = f"{edit.path} is {formats[edit.path]} and {edit.format}."
            yield TemplateProblem("edit_format_differs", f"edits.{edit.path}", message)
        if any(not key.strip() or not key.isprintable() for key in edit.set):
            yield TemplateProblem("edit_key_empty", f"edits.{edit.path}", "A key is empty or has control characters.")
        yield from _find_edit_lines(edit)


def _find_edit_lines(edit: FileEdit) -> Iterator[TemplateProblem]:
    for key, value in edit.set.items():
        if isinstance(value, str) and not value.isprintable():
            message = "The value has control characters, such as the end of a line."
            yield TemplateProblem("edit_value_wrong", f"edits.{edit.path}.{key}", message)


def _find_scripts(template: GameTemplate) -> Iterator[TemplateProblem]:
    yield from _twice((script.name for script in template.scripts), "script_twice", "scripts")
    for script in template.scripts:
        if any(not word for word in script.argv):
            yield TemplateProblem("word_empty", f"scripts.{script.name}", "A word of argv is empty.")
        if not script.makes:
            message = "It names nothing that it makes; one that says it went well is not believed."
            yield TemplateProblem("script_unproved", f"scripts.{script.name}", message)


def _find_policy(template: GameTemplate) -> Iterator[TemplateProblem]:
    ports = {port.port for port in template.ports}
    tcp = {port.port for port in template.ports if port.protocol == "tcp"}
    if strange := sorted(set(template.policy.ports) - ports):
        yield TemplateProblem("policy_port_unknown", "policy.ports", f"{strange[0]} is no port of the template.")
    probe = template.policy.ready.probe
    match probe:
        case TcpProbe(port=port) | HttpProbe(port=port) | PingProbe(port=port):
            asked: int | None = port
        case LineProbe(ping=ping):
            asked = ping
        case _:
            asked = None
    if asked is not None and asked not in tcp:
        yield TemplateProblem("probe_port_unknown", "policy.ready.probe", f"{asked} is no TCP port of the template.")
    if template.policy.hang is not None and asked is None:
        message = "Nothing here tells whether the server still answers: it needs a probe that asks a port."
        yield TemplateProblem("hang_untold", "policy.hang", message)


def _find_patterns(template: GameTemplate) -> Iterator[TemplateProblem]:
    for where, pattern, needed in _patterns(template):
        if reason := find_pattern_problem(pattern):
            yield TemplateProblem("pattern_wrong", where, f"{reason}: {pattern[:128]!r}.")
            continue
        gaps = find_gaps(pattern)
        if lacks := [gap for gap in needed if gap not in gaps]:
            yield TemplateProblem("pattern_gap_missing", where, f"{pattern!r} needs {{{lacks[0]}}}.")


def _patterns(template: GameTemplate) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield every pattern of lines, where it stands, and the gaps that it must have."""
    probe = template.policy.ready.probe
    if isinstance(probe, LineProbe):
        yield "policy.ready.probe", probe.pattern, ()
    if presence := template.presence:
        yield from (("presence.joined", pattern, ("name",)) for pattern in presence.joined)
        yield from (("presence.left", pattern, ("name",)) for pattern in presence.left)
        yield from (("presence.identified", pattern, ("name", "uuid")) for pattern in presence.identified)
    if template.ticks:
        yield "ticks.answer", template.ticks.answer, ("number",)
    yield from ((f"hints.{hint.code}", hint.line, ()) for hint in template.hints)


def _find_rest(template: GameTemplate) -> Iterator[TemplateProblem]:
    yield from _twice((command.name for command in template.commands), "command_twice", "commands")
    yield from _twice(template.mods.loaders if template.mods else (), "loader_twice", "mods.loaders")
    yield from _twice((hint.line for hint in template.hints), "hint_twice", "hints")
    if template.memory.minimum_mb <= template.memory.reserve_mb:
        message = (
            f"Of {template.memory.minimum_mb} MB, which are enough for a container, "
            f"{template.memory.reserve_mb} MB are reserved, so nothing is left for the server."
        )
        yield TemplateProblem("memory_too_small", "memory", message)
    if template.presence and bool(template.presence.joined) != bool(template.presence.left):
        yield TemplateProblem("presence_half", "presence", "Lines say who comes or who goes, and not both.")
    if template.rcon and not any(
        value == f"{{secret.{template.rcon.secret}}}" for edit in template.edits for value in edit.set.values()
    ):
        message = f"No edit sets {{secret.{template.rcon.secret}}}, so the server does not know it."
        yield TemplateProblem("rcon_secret_unset", "rcon.secret", message)


def _find_versions(versions: Sequence[TemplateVersion]) -> Iterator[TemplateProblem]:
    yield from _twice((version.version for version in versions), "version_twice", "versions")
    defaults = [version for version in versions if version.default]
    if len(defaults) > 1:
        yield TemplateProblem("default_twice", "versions", f"{len(defaults)} versions are the default.")
    if any(version.channel == "candidate" for version in defaults) and any(v.channel == "stable" for v in versions):
        yield TemplateProblem(
            "default_unstable", "versions", "A candidate is the default, and there are stable versions."
        )
    for version in versions:
        where = f"versions.{version.version}"
        yield from _twice((file.path for file in version.files), "file_twice", where)
        yield from _twice((need.name for need in version.requires), "requirement_twice", where)
        yield from _find_files(version.files, where)
        if odd := [name for name, text in version.facts.items() if not text or not text.isprintable()]:
            yield TemplateProblem("fact_wrong", where, f"The fact {odd[0]} is empty or has control characters.")


def _find_files(files: Iterable[PinnedFile], where: str) -> Iterator[TemplateProblem]:
    paths = {file.path for file in files}
    for file in files:
        for url in file.urls:
            if not (_ADDRESS.fullmatch(url) if "://" in url else _OWN_PATH.fullmatch(url)):
                message = (
                    f"{file.path} comes from {url[:128]!r}, which is no address and no path of the artifact server."
                )
                yield TemplateProblem("address_wrong", where, message)
        if any(str(parent) in paths for parent in _parents(file.path)):
            yield TemplateProblem("file_in_file", where, f"{file.path} lies below another file.")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _twice(names: Iterable[str], code: str, where: str) -> Iterator[TemplateProblem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield TemplateProblem(code, where, f"{name!r} stands {count} times.")
