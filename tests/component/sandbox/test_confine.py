"""A confined child: who it is, what it may reach, and what others of its own user can do to it."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.sandbox.probe import NOBODY, run, start, the_user
from guards.leaks import is_gone
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import Confinement
from zlh_agent.sandbox.landlock import NETWORK_ABI, SCOPE_ABI, find_abi

needs_landlock = pytest.mark.real("landlock")
needs_root = pytest.mark.real("root")
CALLS = {
    "x86_64": {"ptrace": 101, "capset": 126, "prctl": 157},
    "aarch64": {"ptrace": 117, "capset": 91, "prctl": 167},
}[platform.machine()]


@pytest.fixture
def tree() -> Iterator[Path]:
    """A folder that the child's user may pass, with a file in it, and a secret beside."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-sandbox-"))
    (folder / "in").mkdir()
    (folder / "in/file").write_text("inside")
    (folder / "secret").write_text("outside")
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        path.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_the_child_is_its_user_and_nothing_more() -> None:
    """No identity is left to go back to, no capability in any set, and none to be had from a program."""
    told = run(
        Confinement(user=the_user(), readable=["/proc"]),
        "told.update(status_of()); told['back'] = tried(os.setresuid, 0, 0, 0); told['groups'] = os.getgroups()\n"
        "told['left out'] = confined.left_out; told['again'] = tried(syscalls.prctl, 38, 0)",
        before="if os.getuid() == 0: os.setgroups([4, 27])",
    )
    assert told["NoNewPrivs"].strip() == "1"
    assert told["again"] == "EINVAL"
    assert [int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
    if os.geteuid() == 0:
        assert told["Uid"].split() == told["Gid"].split() == ["65534"] * 4
        assert (told["groups"], told["left out"], told["back"]) == ([], [], "EPERM")
        assert int(told["CapBnd"], 16) == 0
    else:
        assert told["left out"] == (["bounding set"] if int(told["CapBnd"], 16) else [])


@needs_root
def test_a_setuid_program_gives_nothing(tree: Path) -> None:
    """Not even one of root that the user may run."""
    program = tree / "in/who"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    told = run(
        Confinement(user=(NOBODY, NOBODY, ()), executable=["/usr", "/lib", "/lib64", str(tree)]),
        f"told['id'] = subprocess.run([{str(program)!r}, '-u'], capture_output=True, text=True).stdout",
    )
    assert told["id"].strip() == str(NOBODY)


@needs_root
@needs_landlock
def test_root_without_a_user_to_become_is_held_too(tree: Path) -> None:
    """A child of uid 0 reads its tree, and neither the shadow file nor a link to it."""
    (tree / "in/link").symlink_to("/etc/shadow")
    told = run(
        Confinement(user=None, readable=[str(tree / "in")]),
        f"os.chdir({str(tree)!r})\n"
        "for path in ('in/file', '/etc/shadow', 'in/link', 'secret'): told[path] = tried(read, path)\n"
        "told['write'] = tried(write, 'in/new'); told['uid'] = os.getuid(); told['dumpable'] = syscalls.prctl(3)",
    )
    assert told == {
        "in/file": "inside", "/etc/shadow": "EACCES", "in/link": "EACCES", "secret": "EACCES", "write": "EACCES",
        "uid": 0, "dumpable": 0,
    }  # fmt: skip


@needs_landlock
def test_each_kind_of_path_allows_its_own(tree: Path) -> None:
    """Readable is not writable, writable is not executable; folders outside cannot even be listed."""
    (tree / "both").mkdir()
    (tree / "both").chmod(0o777)
    shutil.copy("/usr/bin/true", tree / "in/true")
    told = run(
        Confinement(user=the_user(), readable=[str(tree / "in")], writable=[str(tree / "both")]),
        f"os.chdir({str(tree)!r})\n"
        "told['read'] = tried(read, 'in/file'); told['create'] = tried(write, 'in/new')\n"
        "told['delete'] = tried(os.unlink, 'in/file'); told['truncate'] = tried(os.truncate, 'in/file', 0)\n"
        "told['written'] = tried(write, 'both/new'); told['folder'] = tried(os.mkdir, 'both/folder')\n"
        "told['moved'] = tried(os.rename, 'both/new', 'both/folder/new')\n"
        "told['stolen'] = tried(os.rename, 'in/file', 'both/file')\n"
        "told['run'] = tried(os.execv, 'in/true', ['true']); told['list'] = tried(os.listdir, '.')",
    )
    assert told == {
        "read": "inside", "create": "EACCES", "delete": "EACCES", "truncate": "EACCES", "written": "ok", "folder": "ok",
        "moved": "ok", "stolen": "EACCES", "run": "EACCES", "list": "EACCES",
    }  # fmt: skip


@needs_landlock
def test_what_the_user_cannot_open_is_told_and_not_allowed(tree: Path) -> None:
    """A path that is missing ends nothing."""
    told = run(
        Confinement(user=the_user(), readable=[str(tree / "in"), str(tree / "none")]),
        "told['unreachable'] = confined.unreachable",
    )
    assert told["unreachable"] == [str(tree / "none")]


def test_tcp_is_closed_but_for_the_ports_named() -> None:
    """Neither to connect to nor to listen on, from the ABI on that knows TCP."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = [server.getsockname()[1] for server in (first, second)]
        told = run(
            Confinement(user=the_user(), connect_ports=[ports[0]]),
            "def connect(port):\n"
            "    with socket.socket() as sock: sock.connect(('127.0.0.1', port))\n"
            "def listen():\n"
            "    with socket.socket() as sock: sock.bind(('127.0.0.1', 0))\n"
            f"told.update(named=tried(connect, {ports[0]}), other=tried(connect, {ports[1]}), bind=tried(listen))",
        )
    refused = "EACCES" if find_abi() >= NETWORK_ABI else "ok"
    assert told == {"named": "ok", "other": refused, "bind": refused}


def test_neither_signals_nor_abstract_sockets_lead_out() -> None:
    """Although others run as the same user, from the ABI on that knows scopes; its own children it may still end."""
    name = f"\0zlh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        told = run(
            Confinement(user=None),
            "def connect():\n"
            f"    with socket.socket(socket.AF_UNIX) as sock: sock.connect({name!r})\n"
            "told['connect'] = tried(connect); told['signal'] = tried(os.kill, os.getppid(), 0)\n"
            "child = os.fork()\n"
            "if child == 0: time.sleep(60); os._exit(0)\n"
            "told['own'] = tried(os.kill, child, signal.SIGKILL); os.waitpid(child, 0)",
        )
    refused = "EPERM" if find_abi() >= SCOPE_ABI else "ok"
    assert told == {"connect": refused, "signal": refused, "own": "ok"}


@needs_root
def test_who_runs_as_the_same_user_cannot_look_into_it() -> None:
    """Neither trace it, read its memory or environment, nor take its descriptors: without Yama's help."""
    user = Confinement(user=(NOBODY, NOBODY, ()))
    child = start(user, "told['waits'] = True; print(json.dumps(told), flush=True); sys.stdin.read()")
    try:
        assert child.stdout is not None
        child.stdout.readline()
        # Not confined, but of the same user: what a customer's program is.
        told = run(
            Confinement(user=None),
            f"pid = {child.pid}\n"
            f"told['ptrace'] = tried(syscalls.syscall, {CALLS['ptrace']}, 16, pid, 0, 0)\n"
            "for name in ('environ', 'maps', 'mem', 'syscall'): told[name] = tried(read, f'/proc/{pid}/{name}')\n"
            "for name in ('exe', 'cwd', 'root', 'fd/0'): told[name] = tried(os.readlink, f'/proc/{pid}/{name}')\n"
            "told['take'] = tried(syscalls.syscall, 438, os.pidfd_open(pid), 0, 0)",
            before="os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
            "enter = lambda confinement, parent: None",
        )
    finally:
        child.communicate()
    assert set(told.values()) <= {"EPERM", "EACCES"}, told


def test_it_is_tied_to_its_parent_after_it_became_its_user() -> None:
    """The kernel forgets the tie when the user changes, so it is made again."""
    between = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            # The shell is the parent, and ends without a word to its child.
            '"$@" & echo $!; read line; kill -KILL $$',
            "sh",
            *_waiting_child(),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert between.stdout is not None
    pid = int(between.stdout.readline())
    between.stdout.readline()
    assert not is_gone(pid)
    between.communicate("end\n")
    for _ in range(100):
        if is_gone(pid):
            return
        threading.Event().wait(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it outlived its parent")


def _waiting_child() -> list[str]:
    child = start(
        Confinement(user=the_user()), "told['ready'] = 1; print(json.dumps(told), flush=True); time.sleep(60)"
    )
    child.kill()
    child.communicate()
    assert isinstance(child.args, list)
    return [str(word) for word in child.args]


def test_limits_and_descriptors(tree: Path) -> None:
    """Only what is named stays open, and what is begun cannot grow beyond its limits."""
    confinement = Confinement(
        user=the_user(), writable=[str(tree), "/proc"], open_files=64, file_bytes=1000, umask=0o027, oom_score_adj=700
    )
    with (tree / "in/file").open() as kept, (tree / "secret").open() as closed:
        told = run(
            confinement,
            "told['descriptors'] = sorted(fd for fd in range(64) if tried(os.fstat, fd) == 'ok')\n"
            "told['files'] = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
            "told['core'] = resource.getrlimit(resource.RLIMIT_CORE)\n"
            f"told['large'] = tried(write, {str(tree / 'in/large')!r}, 'x' * 1001); told['folder'] = os.getcwd()\n"
            "told['score'] = int(read('/proc/self/oom_score_adj'))",
            before="enter_ = enter\n"
            f"enter = lambda given, parent: enter_(given, parent=parent, keep=(0, 1, 2, {kept.fileno()}))",
            keep=[kept.fileno(), closed.fileno()],
        )
        assert told["descriptors"] == [0, 1, 2, kept.fileno()]
    assert (told["files"], told["core"], told["large"], told["folder"]) == ([64, 64], [0, 0], "EFBIG", "/")
    assert told["score"] >= 700
    assert (tree / "in/large").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", ["ENOSYS", "EOPNOTSUPP", "EPERM"])
def test_without_landlock_the_rest_holds(tree: Path, error: str) -> None:
    """Whether it was not built, is switched off, or hidden by a filter; and the child says so."""
    told = run(
        Confinement(user=the_user(), readable=[str(tree / "in")]),
        f"told['abi'] = confined.landlock_abi; told['uid'] = os.getuid(); told['read'] = tried(read, '{tree}/secret')",
        before=f"take_away({{444: errno.{error}}})",
    )
    assert told == {"abi": 0, "uid": NOBODY if os.geteuid() == 0 else os.getuid(), "read": "outside"}


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ("threading.Thread(target=time.sleep, args=(5,), daemon=True).start()", "threads"),
        ("take_away({446: errno.EPERM})", "landlock"),
        (f"take_away({{{CALLS['prctl']}: errno.EPERM}})", "parent"),
        (f"take_away({{{CALLS['capset']}: errno.EPERM}})", "capabilities"),
        ("confinement.user = (4711, 4711, ())\nif os.getuid() == 0: os.setresuid(1, 1, 1)", "user"),
    ],
)
def test_a_step_that_fails_is_the_end(before: str, step: str) -> None:
    """Nothing goes on half confined."""
    if step == "landlock" and not find_abi():
        pytest.skip("needs a kernel with Landlock")
    told = run(
        Confinement(user=the_user()),
        "",
        before=f"{before}\nenter_ = enter\n"
        "def enter(*given, **named):\n"
        "    try: enter_(*given, **named)\n"
        "    except NotConfined as error: told['step'] = error.step",
    )
    assert told == {"step": step}


def test_a_wrong_parent_means_that_the_right_one_is_gone() -> None:
    """It dies at once instead of working on for nobody."""
    child = start(
        Confinement(user=None),
        "",
        before="enter_ = enter\nenter = lambda c, parent: enter_(c, parent=parent + 1)",
    )
    assert child.communicate()[0] == ""
    assert child.returncode == -signal.SIGKILL


def test_a_confinement_is_entered_by_a_single_thread_alone() -> None:
    """This very process has more: the refusal comes before anything was given up."""
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        with pytest.raises(NotConfined, match="threads"):
            enter(Confinement(user=None), parent=os.getppid())
    finally:
        waiting.set()
        thread.join()
