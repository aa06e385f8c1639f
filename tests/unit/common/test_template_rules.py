"""What is wrong with a template is told, all of it at once, and what is sound is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.game_offers import make_template, make_version
from zlh_common.schema.process import HangPolicy, LineProbe, LogProbe, ProcessPolicy, ReadyPolicy, TcpProbe
from zlh_common.schema.template import (
    BooleanVariable,
    ChoiceVariable,
    ConsoleCommand,
    Eula,
    FileEdit,
    GameTemplate,
    Hint,
    InstallScript,
    IntegerVariable,
    Memory,
    ModSupport,
    PinnedFile,
    Presence,
    Rcon,
    Requirement,
    Start,
    TemplatePort,
    TemplateVersion,
    TextVariable,
    Ticks,
)
from zlh_common.template_rules import find_template_problems

SOUND = make_template()
FILE = PinnedFile(path="a.jar", urls=("https://x.example/a.jar",), size=1, hash="sha256:" + "0" * 64)
RCON_PORT = TemplatePort(name="rcon", protocol="tcp", port=25575, is_public=False)


def changed(**fields: Any) -> GameTemplate:
    """Return the sound template with something else in it."""
    return msgspec.structs.replace(SOUND, **fields)


def codes(template: GameTemplate, *versions: TemplateVersion) -> set[str]:
    """Return the codes of all problems; each names where it stands and fits a line."""
    problems = find_template_problems(template, versions)
    assert all(problem.field and problem.message.isprintable() and len(str(problem)) < 600 for problem in problems)
    return {problem.code for problem in problems}


def test_nothing_is_said_of_a_sound_template() -> None:
    """With its versions and without."""
    assert codes(SOUND) == set()
    assert codes(SOUND, make_version("2.0"), make_version("1.0")) == set()


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("placeholder_unknown", {"start": Start(argv=("x", "{var.nobody}"))}),
    ("placeholder_unknown", {"start": Start(argv=("x", "{port.nobody}"))}),
    ("placeholder_unknown", {"start": Start(argv=("x", "{0.__class__}"))}),
    ("placeholder_unknown", {"start": Start(argv=("x", "{}"))}),
    ("placeholder_unknown", {"start": Start(argv=("x",), environment={"A": "{env.HOME}"})}),
    ("placeholder_unknown", {"edits": (FileEdit(path="a", format="plain", set={"k": "{var.nobody}"}),)}),
    ("placeholder_unknown", {"scripts": (InstallScript(name="i", argv=("x", "{var.nobody}"), makes=("a",)),)}),
    ("secret_exposed", {"start": Start(argv=("x", "{secret.rcon}"))}),
    ("secret_exposed", {"start": Start(argv=("x",), environment={"A": "{secret.rcon}"})}),
    ("secret_exposed", {"scripts": (InstallScript(name="i", argv=("x", "{secret.rcon}"), makes=("a",)),)}),
    ("brace_alone", {"start": Start(argv=("x", "{{var.motd}"))}),
    ("brace_alone", {"start": Start(argv=("x", "a}b"))}),
    ("word_empty", {"start": Start(argv=("x", ""))}),
    ("start_wrong", {"start": Start(argv=("",))}),
    ("start_wrong", {"start": Start(argv=("x",), environment={"A B": "c"})}),
    ("program_filled", {"start": Start(argv=("{var.motd}",))}),
    ("variable_twice", {"variables": (*SOUND.variables, SOUND.variables[0])}),
    ("variable_default_wrong", {"variables": (TextVariable(name="motd", title="M", default="x" * 9, max_length=8),)}),
    ("variable_default_wrong", {"variables": (TextVariable(name="motd", title="M", default="a\nb"),)}),
    ("variable_default_wrong", {"variables": (TextVariable(name="motd", title="M", default="-x"),)}),
    ("variable_default_wrong", {"variables": (TextVariable(name="motd", title="M", default="A", pattern="[a-z]"),)}),
    ("variable_default_wrong", {"variables": (TextVariable(name="motd", title="M", pattern="("),)}),
    (
        "variable_default_wrong",
        {"variables": (IntegerVariable(name="motd", title="M", default=0, minimum=1, maximum=2),)},
    ),
    ("variable_default_wrong", {"variables": (ChoiceVariable(name="motd", title="M", default="c", choices=("a",)),)}),
    (
        "variable_default_wrong",
        {"variables": (ChoiceVariable(name="motd", title="M", default="a", choices=("a", "a")),)},
    ),
    ("port_twice", {"ports": (*SOUND.ports, TemplatePort(name="other", protocol="tcp", port=25565))}),
    ("port_twice", {"ports": (*SOUND.ports, TemplatePort(name="game", protocol="udp", port=1))}),
    ("port_unknown", {"presence": Presence(ping="nobody")}),
    ("port_protocol_wrong", {"presence": Presence(query="game")}),
    ("presence_half", {"presence": Presence(joined=("{name} joined",))}),
    ("service_wrong", {"ports": (TemplatePort(name="game", protocol="tcp", port=1, service="_game._udp"),)}),
    (
        "service_not_public",
        {"ports": (TemplatePort(name="game", protocol="tcp", port=1, is_public=False, service="_game._tcp"),)},
    ),
    (
        "service_twice",
        {
            "ports": (
                TemplatePort(name="game", protocol="tcp", port=1, service="_game._tcp"),
                TemplatePort(name="other", protocol="tcp", port=2, service="_game._tcp"),
            )
        },
    ),
    ("rcon_public", {"rcon": Rcon(port="game", secret="rcon")}),
    ("rcon_secret_unset", {"ports": (*SOUND.ports, RCON_PORT), "rcon": Rcon(port="rcon", secret="rcon")}),
    ("probe_port_unknown", {"policy": ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=1)))}),
    ("probe_port_unknown", {"policy": ProcessPolicy(ready=ReadyPolicy(probe=LineProbe(pattern="Done", ping=1)))}),
    ("policy_port_unknown", {"policy": ProcessPolicy(ports=(1,))}),
    ("hang_untold", {"policy": ProcessPolicy(hang=HangPolicy())}),
    ("hang_untold", {"policy": ProcessPolicy(hang=HangPolicy(), ready=ReadyPolicy(probe=LogProbe(pattern="Done")))}),
    ("pattern_wrong", {"policy": ProcessPolicy(ready=ReadyPolicy(probe=LineProbe(pattern="{rest} Done")))}),
    ("pattern_wrong", {"hints": (Hint(line="{nothing}", code="a", message="b"),)}),
    ("pattern_gap_missing", {"presence": Presence(joined=("joined",), left=("{name} left",))}),
    ("pattern_gap_missing", {"presence": Presence(identified=("{name} is known",))}),
    ("pattern_gap_missing", {"ticks": Ticks(command="tps", answer="TPS")}),
    ("text_unseen", {"summary": "a\x00b"}),
    ("text_unseen", {"eula": Eula(title="a\nb", url="https://example.org/")}),
    ("text_unseen", {"mods": ModSupport(folder="mods", loaders=("a",), title="\u202esdom")}),
    ("text_unseen", {"variables": (BooleanVariable(name="a", title="A", description="\x1b[31m", default=True),)}),
    ("text_unseen", {"hints": (Hint(line="a", code="a", message="b\x00"),)}),
    ("text_unseen", {"commands": (ConsoleCommand(name="stop", usage="stop\t"),)}),
    ("edit_twice", {"edits": (*SOUND.edits, *SOUND.edits)}),
    ("edit_format_differs", {"edits": (*SOUND.edits, FileEdit(path="server.properties", format="ini", set={"a": 1}))}),
    ("edit_key_empty", {"edits": (FileEdit(path="a", format="plain", set={" ": "v"}),)}),
    ("edit_value_wrong", {"edits": (FileEdit(path="a", format="plain", set={"k": "v\nother = 1"}),)}),
    ("script_unproved", {"scripts": (InstallScript(name="i", argv=("x",)),)}),
    ("script_twice", {"scripts": (InstallScript(name="i", argv=("x",), makes=("a",)),) * 2}),
    ("memory_too_small", {"memory": Memory(minimum_mb=384, reserve_mb=384)}),
    ("command_twice", {"commands": (ConsoleCommand(name="stop"), ConsoleCommand(name="stop"))}),
    ("loader_twice", {"mods": ModSupport(folder="mods", loaders=("a", "a"))}),
    ("hint_twice", {"hints": (Hint(line="a", code="a", message="b"),) * 2}),
]


@pytest.mark.parametrize(("code", "fields"), WRONG, ids=[f"{place}-{code}" for place, (code, _) in enumerate(WRONG)])
def test_each_fault_is_told_by_its_code(code: str, fields: dict[str, Any]) -> None:
    """One thing wrong is that one thing, or a few that come with it."""
    assert code in codes(changed(**fields))


def test_a_title_that_is_not_seen_is_told() -> None:
    """A NUL in the title would be refused by the database, once somebody creates a server of it."""
    assert "text_unseen" in {problem.code for problem in find_template_problems(SOUND, title="a\x00b")}


def of_version(**fields: Any) -> TemplateVersion:
    """Return a version with something else in it."""
    return msgspec.structs.replace(make_version(), **fields)


@pytest.mark.parametrize(
    ("code", "versions"),
    [
        ("version_twice", (make_version(), make_version())),
        ("default_twice", (of_version(default=True), of_version(version="2", default=True))),
        ("default_unstable", (of_version(default=True, channel="candidate"), make_version("2"))),
        ("file_twice", (of_version(files=(FILE, FILE)),)),
        ("file_in_file", (of_version(files=(FILE, msgspec.structs.replace(FILE, path="a.jar/b"))),)),
        ("requirement_twice", (of_version(requires=(Requirement(name="java", version="21"),) * 2),)),
        ("address_wrong", (of_version(files=(msgspec.structs.replace(FILE, urls=("file:///etc/passwd",)),)),)),
        ("address_wrong", (of_version(files=(msgspec.structs.replace(FILE, urls=("../keys/root",)),)),)),
        ("address_wrong", (of_version(files=(msgspec.structs.replace(FILE, urls=("https://",)),)),)),
        ("fact_wrong", (of_version(facts={"a": "x\ny"}),)),
        ("fact_wrong", (of_version(facts={"a": ""}),)),
        ("start_too_long", (of_version(facts={"a": "x" * 5000}),)),
    ],
)
def test_each_fault_of_versions_is_told_by_its_code(code: str, versions: tuple[TemplateVersion, ...]) -> None:
    """What was resolved is looked at as closely as what was written."""
    assert code in codes(SOUND, *versions)


def test_a_fact_must_be_there_in_every_version() -> None:
    """One version without it could not be started."""
    template = changed(start=Start(argv=("java", "@{fact.args_file}")))
    whole = of_version(version="1", facts={"args_file": "a.txt"})
    assert codes(template) == codes(template, whole) == set()
    assert codes(template, whole, make_version("2")) == {"placeholder_unknown"}


def test_all_problems_are_told_at_once() -> None:
    """Whoever corrects a file wants the whole list."""
    template = changed(
        start=Start(argv=("x", "{secret.a}", "{var.b}", "")),
        ports=(*SOUND.ports, *SOUND.ports),
        memory=Memory(minimum_mb=16, reserve_mb=384),
    )
    assert codes(template) >= {"secret_exposed", "placeholder_unknown", "word_empty", "port_twice", "memory_too_small"}


def test_a_remote_console_of_its_own_is_sound() -> None:
    """Inside the container, with a secret that an edit sets."""
    edit = FileEdit(path="server.properties", format="properties", set={"rcon.password": "{secret.rcon}"})
    template = changed(
        ports=(*SOUND.ports, RCON_PORT), rcon=Rcon(port="rcon", secret="rcon"), edits=(*SOUND.edits, edit)
    )
    assert codes(template) == set()


places: list[Callable[[str], dict[str, Any]]] = [
    lambda text: {"start": Start(argv=("x", text))},
    lambda text: {"start": Start(argv=("x",), environment={"A": text})},
    lambda text: {"edits": (FileEdit(path="a", format="plain", set={"k": text}),)},
    lambda text: {"scripts": (InstallScript(name="i", argv=("x", text), makes=("a",)),)},
    lambda text: {"hints": (Hint(line=text or "a", code="a", message="b"),)},
    lambda text: {"variables": (TextVariable(name="motd", title="M", default=text),)},
]
texts = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["{var.motd}", "{secret.a}", "{", "}", "{rest}", "{name}", "{version}", "x", " ", "\n", "{{", "%s", "${a}"]
    ),
    max_size=6,
).map("".join)


@given(place=st.sampled_from(places), text=texts)
def test_any_text_is_judged_and_what_passes_holds_no_other_brace(
    place: Callable[[str], dict[str, Any]], text: str
) -> None:
    """Never an exception; and a text that nothing is said of has placeholders that there are, and nothing half."""
    fields = place(text)
    problems = find_template_problems(changed(**fields))
    if problems or not ({"start", "edits", "scripts"} & fields.keys()):
        return
    bare = text.replace("{var.motd}", "").replace("{version}", "").replace("{secret.a}", "")
    assert "{" not in bare
    assert "}" not in bare
    assert "{secret.a}" not in text or "edits" in fields
