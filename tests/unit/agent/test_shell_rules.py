"""What shells should find, and what a look at them says: decisions alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from zlh_agent.shells.command_rules import choose_commands, is_command, plan_links
from zlh_agent.shells.model import RuntimeInUse, Trouble, Wanted
from zlh_agent.shells.notice_rules import find_notices
from zlh_agent.shells.probe_rules import (
    Mode,
    Question,
    Ran,
    check_of_troubles,
    judge,
    list_modes,
    parse_pam_environment,
    render_command,
)
from zlh_agent.shells.system_file_rules import BEGIN, END, PATH, with_block, without_block
from zlh_agent.shells.variable_rules import LIST, choose_variables, render_variables, with_list
from zlh_agent.workspace.login_environment import Account
from zlh_common.schema.shells import ShellReport
from zlh_common.schema.structs import encode

HOME = "/opt/zlh/runtimes"
DEV = Account("dev", 1000, 1000, "/home/dev", "/bin/bash")


def runtime(name: str, *commands: str, version: str = "1.0", **environment: str) -> RuntimeInUse:
    """Return a runtime with these commands."""
    current = f"{HOME}/{name}/current"
    return RuntimeInUse(name, version, current, {each: f"{current}/bin/{each}" for each in commands}, environment)


# Commands


@pytest.mark.parametrize("name", ["node", "python3.11", "2to3", "g++", "a_b", "x@1"])
def test_a_name_that_every_shell_takes_is_one_of_a_command(name: str) -> None:
    assert is_command(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a b", "a/b", "a\nb", "a$b", "ä", "x" * 65, "[", "+x"]
)
def test_any_other_name_is_none(name: str) -> None:
    assert not is_command(name)


def test_a_command_of_two_runtimes_is_its_namesakes_else_the_first_ones() -> None:
    """Whatever the order in which they are found; what was decided is told and no fault."""
    both = [runtime("zeta", "run", "beta"), runtime("beta", "run", "beta")]
    for runtimes in (both, both[::-1]):
        chosen, troubles = choose_commands(runtimes)
        assert chosen == {"run": f"{HOME}/beta/current/bin/run", "beta": f"{HOME}/beta/current/bin/beta"}
        assert [(trouble.kind, trouble.subject) for trouble in troubles] == [
            ("shells.command_twice", "beta"),
            ("shells.command_twice", "run"),
        ]
        assert check_of_troubles(troubles) == []


def test_links_are_made_changed_and_removed_and_nothing_else_is() -> None:
    node = f"{HOME}/node/current"
    found = {
        "npm": f"{node}/bin/npm",
        "go": f"{HOME}/go/current/bin/go",
        "tool": f"{HOME}/old/current/bin/tool",
        "mine": "/home/dev/bin/mine",
        # Another name, a pinned version, a way out: the customer's.
        "nodejs": f"{node}/bin/node",
        "node20": f"{HOME}/node/20.1/bin/node20",
        "out": f"{HOME}/node/current/../../../out",
        ".zlh-x.new": f"{node}/bin/x",
        "taken": None,
        "theirs": "/usr/bin/theirs",
    }
    wanted = {name: f"{node}/bin/{name}" for name in ("node", "npm", "taken", "theirs", "tool")}
    plan = plan_links(wanted, found, runtimes=HOME)
    assert plan.remove == (".zlh-x.new", "go")
    assert plan.make == (("node", f"{node}/bin/node"),)
    assert plan.change == (("tool", f"{node}/bin/tool"),)
    assert plan.foreign == ("taken", "theirs")
    assert plan_links({}, {"go": found["go"]}, runtimes=HOME).remove == ("go",)
    assert plan_links({"npm": found["npm"] or ""}, {"npm": found["npm"]}, runtimes=HOME).is_empty


# Variables


def test_variables_lead_through_current() -> None:
    chosen, troubles = choose_variables([runtime("java", JAVA_HOME="{root}"), runtime("deno", DENO_X="1")])
    assert (chosen, troubles) == ({"JAVA_HOME": f"{HOME}/java/current", "DENO_X": "1"}, [])
    assert render_variables(with_list(chosen)) == (
        f'DENO_X="1"\nJAVA_HOME="{HOME}/java/current"\n{LIST}="DENO_X=1 JAVA_HOME={HOME}/java/current"\n'
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", 'a"b'), ("X", "a b"), ("X", "$(id)"), ("X", "a`b"), ("X", "a\\b"), ("X", "a\nB=1"), ("X", "%h"),
        ("X", "ä"), ("X", "#a"), ("X", "a;b"), ("X", "x" * 513), ("PATH", "/x"), ("LD_PRELOAD", "/x"),
        ("BASH_ENV", "/x"),
        ("ZLH_X", "1"), ("1X", "1"), ("X-Y", "1"), ("_X", "1"), ("", "1"),
    ],
)  # fmt: skip
def test_what_some_shell_reads_otherwise_is_refused_and_told(name: str, value: str) -> None:
    chosen, [trouble] = choose_variables([runtime("tool", **{name: value})])
    assert chosen == {}
    assert (trouble.kind, trouble.subject) == ("shells.variable_refused", "tool")
    assert check_of_troubles([trouble])[0].problem == trouble.message


def test_of_two_values_of_one_variable_the_first_runtimes_holds() -> None:
    chosen, troubles = choose_variables([runtime("b", X="2"), runtime("a", X="1")])
    assert chosen == {"X": "1"}
    assert [trouble.subject for trouble in troubles] == ["b"]


# Blocks in files of others


@pytest.mark.parametrize("theirs", ["", "# mine\n", "A=1\nB=2", "\r\n\n", f"{END}\n", f"{BEGIN}x\n"])
def test_a_block_comes_and_goes_without_a_trace(theirs: str) -> None:
    """A second time nothing changes; an end without its beginning is a leftover of ours."""
    once = with_block(theirs, "X=1\n")
    assert once == f"{BEGIN}\nX=1\n{END}\n{theirs.replace(END, '').lstrip() if theirs.startswith(END) else theirs}"
    assert with_block(once, "X=1\n") == once
    assert with_block(once, "X=2\nY=1\n") == once.replace("X=1\n", "X=2\nY=1\n")
    assert with_block(without_block(once), "X=1\n") == once


def test_what_the_customer_writes_around_a_block_stays() -> None:
    text = f"before\n{BEGIN}\nX=1\n{END}\nafter\n"
    assert with_block(text, "X=2\n") == f"{BEGIN}\nX=2\n{END}\nbefore\nafter\n"


def test_of_a_block_whose_end_is_gone_only_our_lines_go() -> None:
    text = f"{BEGIN}\nX=1\nTHEIRS=1\n"
    assert with_block(text, "X=1\n") == f"{BEGIN}\nX=1\n{END}\nTHEIRS=1\n"
    twice = f"{BEGIN}\n{BEGIN}\nX=1\n{END}\nTHEIRS=1\n"
    assert with_block(twice, "X=1\n") == f"{BEGIN}\nX=1\n{END}\nTHEIRS=1\n"


# Looking


def test_environment_of_pam_is_read_as_pam_does() -> None:
    text = "# no\nA=1\n export B=\"x y\"\nC='z' # said\nbad line\nD=\n=3\nE=a\0b\n"
    assert parse_pam_environment(text) == {"A": "1", "B": "x y", "C": "z", "D": ""}


def test_kinds_that_are_not_installed_are_left_out() -> None:
    everything = list_modes(DEV, terminal=("/bin/bash", "-l"), launched={}, pam={}, is_program=lambda _: True)
    some = list_modes(
        DEV, terminal=("/bin/bash", "-l"), launched={}, pam={}, is_program=lambda path: "fish" not in path
    )
    assert {mode.name for mode in everything} - {mode.name for mode in some} == {"fish", "fish login interactive"}
    assert len({mode.name for mode in everything}) == len(everything) == 17


def test_a_clean_environment_is_the_starters_and_pam_comes_after() -> None:
    modes = {
        mode.name: mode
        for mode in list_modes(DEV, terminal=("/bin/bash", "-l"), launched={"X": "1"}, pam={"PATH": "/p", "X": "2"},
                               is_program=lambda _: True)
    }  # fmt: skip
    assert modes["cron sh"].environment == {
        "HOME": "/home/dev", "USER": "dev", "LOGNAME": "dev", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "X": "2",
    }  # fmt: skip
    assert modes["unit"].environment is None
    assert modes["code-server terminal"].environment == {"X": "1"}
    command = render_command(modes["cron sh"], Question(Wanted()), "t")
    assert command[:2] == ["/usr/bin/env", "-i"]
    assert command[-3:-1] == ["/bin/sh", "-c"]
    assert render_command(modes["unit"], Question(Wanted()), "t")[0] == "/bin/sh"


MODE = Mode("sh", ("/bin/sh",), {})
QUESTION = Question(
    Wanted({"node": f"{HOME}/node/current/bin/node"}, {"JAVA_HOME": f"{HOME}/java/current"}),
    former_commands=frozenset({"go"}),
    former_variables={"GOROOT": f"{HOME}/go/current"},
)


def said(**lines: str) -> str:
    """Return what a shell prints, with noise before it."""
    found = {"v PATH": PATH, "c node": "/usr/local/bin/node", "v JAVA_HOME": f"{HOME}/java/current", **lines}
    return "noise\nt-begin\n" + "".join(f"{name}={value}\n" for name, value in found.items()) + "t-end\n"


def test_a_shell_that_finds_all_of_it_is_right() -> None:
    assert judge(MODE, Ran(said(), 0), QUESTION, "t").ok
    # Their own folders in front, and their own go, are the customer's affair.
    own = {"v PATH": f"/home/dev/bin:{PATH}:/x", "c go": "/usr/bin/go", "v GOROOT": "/usr/lib/go"}
    assert judge(MODE, Ran(said(**own), 0), QUESTION, "t").ok


@pytest.mark.parametrize(
    ("line", "value", "what", "expected", "found"),
    [
        ("c node", "/home/dev/bin/node", "node", "/usr/local/bin/node", "/home/dev/bin/node"),
        ("c node", "alias node='x'", "node", "/usr/local/bin/node", "alias node='x'"),
        ("c node", "", "node", "/usr/local/bin/node", None),
        ("v JAVA_HOME", "", "JAVA_HOME", f"{HOME}/java/current", None),
        ("c go", "/usr/local/bin/go", "go", None, "/usr/local/bin/go"),
        ("v GOROOT", f"{HOME}/go/current", "GOROOT", None, f"{HOME}/go/current"),
        ("v PATH", "/usr/bin:/usr/local/bin", "PATH", PATH, "/usr/bin:/usr/local/bin"),
        ("v PATH", "/usr/bin:/bin", "PATH", PATH, "/usr/bin:/bin"),
        ("v PATH", "", "PATH", PATH, None),
    ],
)
def test_what_differs_is_told(line: str, value: str, what: str, expected: str | None, found: str | None) -> None:
    check = judge(MODE, Ran(said(**{line: value}), 0), QUESTION, "t")
    assert not check.ok
    assert [(each.what, each.expected, each.found) for each in check.differences] == [(what, expected, found)]


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        (Ran("", 0), "ended with 0 before its command"),
        (Ran("t-begin\nv PATH=/", 3), "ended with 3"),
        (Ran("", is_too_slow=True), "in time"),
        (Ran("x" * 100, is_too_loud=True), "without end"),
        (Ran("", failure="no bus"), "could not be started: no bus"),
    ],
)
def test_why_it_cannot_be_told_is_told(ran: Ran, words: str) -> None:
    check = judge(MODE, ran, QUESTION, "t")
    assert not check.ok
    assert words in (check.problem or "")


def test_what_a_shell_says_is_bounded_whatever_it_says() -> None:
    """An agent whose report were too long would not be heard at all."""
    commands = {f"c{number}": "/x" for number in range(200)}
    noise = chr(7) * 10 + chr(0x1F600) * 5000
    modes = list_modes(DEV, terminal=("/bin/bash", "-l"), launched={}, pam={}, is_program=lambda _: True)
    text = "t-begin\n" + "".join(f"c {name}={noise}\n" for name in commands) + "t-end\n"
    checks = [judge(mode, Ran(text, 0), Question(Wanted(commands)), "t") for mode in modes]
    assert not any(check.ok for check in checks if check.mode != "cron sh")
    assert len(encode(ShellReport(checked_at=datetime.now(UTC), checks=tuple(checks)))) < 64 * 1024


def test_where_path_is_the_starters_own_variables_are_looked_at_alone() -> None:
    fixed = Mode("cron sh", ("/bin/sh",), {}, has_fixed_path=True)
    assert judge(fixed, Ran(said(**{"v PATH": "/usr/bin:/bin", "c node": ""}), 0), QUESTION, "t").ok
    assert not judge(fixed, Ran(said(**{"v JAVA_HOME": ""}), 0), QUESTION, "t").ok


def test_lasting_troubles_are_checks_of_their_own() -> None:
    [check] = check_of_troubles([Trouble("shells.command_foreign", "node", "It is theirs.")])
    assert (check.mode, check.ok, check.problem) == ("shells.command_foreign", False, "It is theirs.")


# Telling


def test_people_at_terminals_are_told_what_has_changed() -> None:
    before = Wanted(versions={"node": "22.20.0", "go": "1.27"}, variables={"GOROOT": "/g"})
    after = Wanted(versions={"node": "24.3.0", "java": "21"}, variables={"JAVA_HOME": "/j"})
    switched = "node is 24.3.0 now, after 22.20.0; this terminal uses it at once."
    told = [(notice.code, notice.message) for notice in find_notices(before, after, is_linked=True)]
    assert told == [
        ("runtime_removed", "go 1.27 was removed; its commands are gone, here too."),
        ("runtime_installed", "java 21 is here now; this terminal finds it at once."),
        ("runtime_switched", f"{switched} Programs that run keep what they were started with."),
        ("variables_set", "New terminals have JAVA_HOME, and this one after `exec $SHELL -l`."),
        ("variables_gone", "New terminals do not have GOROOT any more, and this one after `exec $SHELL -l`."),
    ]
    assert find_notices(after, after, is_linked=True) == []


def test_where_nothing_is_linked_a_new_terminal_is_needed() -> None:
    [notice] = find_notices(Wanted(), Wanted(versions={"node": "24"}), is_linked=False)
    assert notice.message == "node 24 is here now; open a new terminal to use it."
