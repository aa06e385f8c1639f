"""From a template, its version and a customer's values to what an agent is told.

Each placeholder is filled once, with one value, and what was filled in is never read again: a value that looks like a
placeholder is text, and a word stays one word. What the agent fills in later, `{secret.NAME}`, stands only where the
template has it, so that no value can ask for a secret.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from zlh_api.games.model import GameWish
from zlh_api.games.refusals import GameUnusable, MemoryTooSmall, VariableInvalid, VariableUnknown
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.template import (
    BooleanVariable,
    ChoiceVariable,
    FileEdit,
    GameTemplate,
    InstallScript,
    IntegerVariable,
    Memory,
    TextVariable,
    Value,
    Variable,
)

_PLACEHOLDER = re.compile(r"\{((?:var|port|fact)\.[a-z0-9_]+|version|heap_mb|address)\}")
_SECRET = re.compile(r"\{secret\.[a-z0-9_]+\}")
# What cannot stand in a line of text: controls, halves of characters, ends of lines and paragraphs.
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
# A heap below this is none.
LEAST_HEAP_MB = 16
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of the container, which only the proxy and the API reach
Facts = Mapping[str, Value]


def render_game(wish: GameWish, *, memory_mib: int, address: str, power: Literal["on", "off"]) -> WantedGame:
    """Return what the agent must make true; raise MemoryTooSmall, GameUnusable."""
    template, version = wish.definition, wish.version
    facts = _collect_facts(wish, memory_mib=memory_mib, address=address)
    return WantedGame(
        template=wish.template,
        title=wish.title,
        version=version.version,
        process=_render_process(wish, facts, power),
        files=version.files,
        edits=tuple(_render_edit(edit, facts) for edit in template.edits),
        scripts=tuple(_render_script(script, facts) for script in template.scripts),
        ports=template.ports,
        presence=template.presence,
        ticks=template.ticks,
        rcon=template.rcon,
        hints=template.hints,
        mods=template.mods,
        backup_without=template.backup_without,
        backs_up=wish.backs_up,
        restore=wish.restore,
        backups_asked=wish.backups_asked,
        attempt=wish.attempt,
    )


def effective_values(template: GameTemplate, chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return the value of every variable: the one that was chosen, else its default."""
    return {variable.name: chosen.get(variable.name, variable.default) for variable in template.variables}


def check_values(template: GameTemplate, chosen: Mapping[str, Value]) -> None:
    """Refuse what is no value of a variable, all of it at once; raise VariableUnknown, VariableInvalid."""
    known = {variable.name: variable for variable in template.variables}
    words = _find_whole_words(template)
    reasons = {
        name: _find_fault(known[name], value, is_word=name in words) for name, value in chosen.items() if name in known
    }
    wrong = {name: reason for name, reason in reasons.items() if reason is not None}
    if strange := tuple(sorted(chosen.keys() - known.keys())):
        raise VariableUnknown(strange, known=tuple(known), invalid=wrong)
    if wrong:
        raise VariableInvalid(wrong)


def keep_values(template: GameTemplate, chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return what of a customer's values is still one of this template, as after a change of its version."""
    known = {variable.name: variable for variable in template.variables}
    words = _find_whole_words(template)
    return {
        name: value
        for name, value in chosen.items()
        if name in known and _find_fault(known[name], value, is_word=name in words) is None
    }


def least_memory(memory: Memory) -> int:
    """Return the MiB that a container needs for this game server."""
    return max(memory.minimum_mb, memory.reserve_mb + LEAST_HEAP_MB)


def compute_heap(memory: Memory, memory_mib: int) -> int:
    """Return the MiB of the server's own heap: its share, with the reserve kept; raise MemoryTooSmall."""
    if memory_mib < (least_mib := least_memory(memory)):
        raise MemoryTooSmall(memory_mib=memory_mib, least_mib=least_mib)
    return max(LEAST_HEAP_MB, min(int(memory_mib * memory.heap_share), memory_mib - memory.reserve_mb))


def _collect_facts(wish: GameWish, *, memory_mib: int, address: str) -> Facts:
    template, version = wish.definition, wish.version
    return {
        **{f"var.{name}": value for name, value in effective_values(template, wish.values).items()},
        **{f"port.{port.name}": port.port for port in template.ports},
        **{f"fact.{name}": text for name, text in version.facts.items()},
        "version": version.version,
        "heap_mb": compute_heap(template.memory, memory_mib),
        "address": choose_listen_address(address),
    }


def choose_listen_address(address: str) -> str:
    """Return where a server listens: at its container's address where that is one of a machine that others share.

    In a container with a network of its own it is everywhere, since its agent asks it by loopback.
    """
    try:
        return address if ipaddress.ip_address(address).is_loopback else EVERYWHERE
    except ValueError:
        return EVERYWHERE


def _render_process(wish: GameWish, facts: Facts, power: Literal["on", "off"]) -> WantedProcess:
    start = wish.definition.start
    argv = tuple(_fill_plain(word, facts) for word in start.argv)
    environment = {name: _fill_plain(text, facts) for name, text in start.environment.items()}
    try:
        return WantedProcess(
            name=SERVER,
            argv=argv,
            environment=environment,
            power=power,
            attempt=wish.starts,
            policy=wish.definition.policy,
        )
    except ValueError as exc:
        raise GameUnusable(str(exc)) from exc


def _render_script(script: InstallScript, facts: Facts) -> InstallScript:
    argv = tuple(_fill_plain(word, facts) for word in script.argv)
    makes = tuple(_fill_plain(path, facts) for path in script.makes)
    return msgspec.structs.replace(script, argv=argv, makes=makes)


def _render_edit(edit: FileEdit, facts: Facts) -> FileEdit:
    return msgspec.structs.replace(edit, set={key: _fill_value(value, facts) for key, value in edit.set.items()})


def _fill_value(value: Value, facts: Facts) -> Value:
    """Return a value of an edit; a placeholder that stands alone keeps its kind, so that a number stays one."""
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    filled = _find_fact(whole[1], facts) if whole else _fill(value, facts)
    if isinstance(filled, str) and _SECRET.findall(filled) != _SECRET.findall(value):
        raise GameUnusable("a value would read as a secret")
    return filled


def _fill_plain(text: str, facts: Facts) -> str:
    if _SECRET.search(text):
        raise GameUnusable("a secret stands in a command, where others could see it")
    return _fill(text, facts)


def _fill(text: str, facts: Facts) -> str:
    return _PLACEHOLDER.sub(lambda found: _spell(_find_fact(found[1], facts)), text)


def _find_fact(name: str, facts: Facts) -> Value:
    if name not in facts:
        raise GameUnusable(f"there is nothing to fill in for {{{name}}}")
    return facts[name]


def _spell(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find_whole_words(template: GameTemplate) -> frozenset[str]:
    """Return the variables that are a whole word of a command, where a program could take a `-` for an option."""
    return frozenset(
        variable.name for variable in template.variables if f"{{var.{variable.name}}}" in set(_all_words(template))
    )


def _all_words(template: GameTemplate) -> Iterator[str]:
    yield from template.start.argv
    for script in template.scripts:
        yield from script.argv


def _find_fault(variable: Variable, value: Value, *, is_word: bool) -> str | None:
    """Return what is wrong with a value, to be read behind the variable's name."""
    match variable:
        case TextVariable():
            return _find_text_fault(variable, value, is_word=is_word)
        case IntegerVariable(minimum=low, maximum=high):
            is_right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            return None if is_right else f"is a whole number from {low} to {high}"
        case BooleanVariable():
            return None if isinstance(value, bool) else "is true or false"
        case ChoiceVariable(choices=choices):
            return None if isinstance(value, str) and value in choices else f"is one of {', '.join(choices)}"


def _find_text_fault(variable: TextVariable, value: Value, *, is_word: bool) -> str | None:
    if not isinstance(value, str):
        return "is a text"
    if variable.pattern is not None and re.fullmatch(variable.pattern, value[: variable.max_length]) is None:
        return f"must have the form {variable.pattern}"
    faults = {
        f"has {variable.max_length} characters at most, and this has {len(value)}": len(value) > variable.max_length,
        "is one line of text without control characters": _has_any(value, _NO_TEXT),
        "cannot begin with -, which a program would take for an option": is_word and value.startswith("-"),
        "cannot hold {secret.…}, which stands for a password": "{secret." in value,
    }
    return next((reason for reason, is_so in faults.items() if is_so), None)


def _has_any(text: str, categories: Iterable[str]) -> bool:
    return any(unicodedata.category(character) in categories for character in text)
