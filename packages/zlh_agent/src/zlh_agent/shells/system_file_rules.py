"""The files below /etc by which every kind of shell and program finds the same, as text: decisions without I/O.

    /etc/zlh-environment              the variables, generated; all shells read this one
    /etc/profile.d/zlh.sh             for any sh: PATH, and what is in the file above; BASH_ENV names it
    /etc/fish/conf.d/zlh.fish         the same for fish
    /etc/bash.bashrc, /etc/zsh/zshenv a marked block in front that reads the one for sh
    /etc/environment                  a marked block in front for pam_env: ssh, cron, su, user managers
    /etc/systemd/{system,user}.conf.d what services start with, unless their unit says otherwise

What the customer writes beside the blocks comes after them, and so has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping

from zlh_agent.shells.variable_rules import LIST, render_variables, with_list
from zlh_agent.workspace.login_environment import SYSTEM_PATH

FRONT = "/usr/local/bin"
PATH = ":".join(SYSTEM_PATH)
ENVIRONMENT_FILE = "/etc/zlh-environment"
SH_FILE = "/etc/profile.d/zlh.sh"
BEGIN, END = "# zlh: begin, written by the agent", "# zlh: end"
# What Debian's /etc/profile, sshd and cron have put there by themselves a moment ago.
_DEFAULT_PATHS = (
    "",
    "/usr/bin:/bin",
    "/bin:/usr/bin",
    "/usr/local/bin:/usr/bin:/bin:/usr/games",
    "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games",
)
_NOTE = "# Written by the agent; changes are lost."

_SH = r"""@NOTE@ Any sh reads it, as often as it likes.
{ case $- in *x*) _zlh_x=x; set +x ;; *) _zlh_x= ;; esac; } 2>/dev/null
case ${PATH-} in
  @DEFAULTS@) PATH=@PATH@ ;;
  @FRONT@:* | @FRONT@) ;;
  *)
    # In front of the first folder of the system; what somebody has put before that stays there. Word by word: shells
    # take seconds to cut patterns off a PATH of 100 KB.
    _zlh_ifs=$IFS
    case $- in *f*) _zlh_globs= ;; *) _zlh_globs=x; set -f ;; esac
    case $PATH in *:) _zlh_end=: ;; *) _zlh_end= ;; esac
    IFS=:
    _zlh_new= _zlh_part= _zlh_count=0 _zlh_is_placed=
    for _zlh_dir in $PATH; do
      case $_zlh_is_placed$_zlh_dir in
        x@FRONT@) _zlh_is_placed=xx; continue ;;
        @CASES@) _zlh_is_placed=x; if [ "$_zlh_dir" != @FRONT@ ]; then _zlh_part=$_zlh_part:@FRONT@; fi ;;
      esac
      _zlh_part=$_zlh_part:$_zlh_dir
      _zlh_count=$((_zlh_count + 1))
      if [ $((_zlh_count % 64)) = 0 ]; then _zlh_new=$_zlh_new$_zlh_part _zlh_part=; fi
    done
    _zlh_new=$_zlh_new$_zlh_part
    if [ -z "$_zlh_is_placed" ]; then _zlh_new=$_zlh_new:@FRONT@ _zlh_end=; fi
    IFS=$_zlh_ifs
    case $_zlh_globs in x) set +f ;; esac
    PATH=${_zlh_new#?}$_zlh_end
    unset _zlh_ifs _zlh_globs _zlh_end _zlh_new _zlh_part _zlh_count _zlh_is_placed _zlh_dir
    ;;
esac
export PATH
if [ -z "${BASH_ENV-}" ]; then export BASH_ENV=@SH_FILE@; fi
if [ -r @FILE@ ]; then
  # What was inherited from us and is unchanged goes, and comes back where it still holds.
  for _zlh_pair in ${@LIST@-}; do
    _zlh_name=${_zlh_pair%%=*}
    case $_zlh_name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    eval "_zlh_now=\${$_zlh_name-}"
    if [ "$_zlh_name=$_zlh_now" = "$_zlh_pair" ]; then unset "$_zlh_name"; fi
  done
  while IFS='=' read -r _zlh_name _zlh_now; do
    case $_zlh_name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    _zlh_now=${_zlh_now#\"}
    _zlh_now=${_zlh_now%\"}
    eval "_zlh_pair=\${$_zlh_name+set}"
    if [ "$_zlh_name" = @LIST@ ] || [ -z "$_zlh_pair" ]; then export "$_zlh_name=$_zlh_now"; fi
  done <@FILE@
  unset _zlh_pair _zlh_name _zlh_now
fi
{ case $_zlh_x in x) unset _zlh_x; set -x ;; *) unset _zlh_x ;; esac; } 2>/dev/null
"""

_FISH = r"""@NOTE@
if not set -q PATH[1]; or contains -- "$PATH" @FISH_DEFAULTS@
    set -gx PATH @FISH_PATH@
else if test "$PATH[1]" != @FRONT@
    # In front of the first folder of the system; what somebody has put before that stays there.
    set -l zlh_at (math (count $PATH) + 1)
    for zlh_dir in @FOLDERS@
        if set -l zlh_found (contains -i -- $zlh_dir $PATH); and test $zlh_found -lt $zlh_at
            set zlh_at $zlh_found
        end
    end
    if test "$PATH[$zlh_at]" != @FRONT@
        set -l zlh_before $PATH[1..$zlh_at]
        set -l zlh_after $PATH[$zlh_at..-1]
        test $zlh_at -gt (count $PATH); and set zlh_after; or set -e zlh_before[-1]
        if set -l zlh_found (contains -i -- @FRONT@ $zlh_after)
            set -e zlh_after[$zlh_found]
        end
        set -gx PATH $zlh_before @FRONT@ $zlh_after
    end
end
set -q BASH_ENV; or set -gx BASH_ENV @SH_FILE@
if test -r @FILE@
    # What was inherited from us and is unchanged goes, and comes back where it still holds.
    for zlh_pair in (string split -n ' ' -- "$@LIST@")
        set -l zlh_both (string split -m 1 = -- $zlh_pair)
        if string match -qr '^[A-Za-z][A-Za-z0-9_]*$' -- $zlh_both[1]; and set -q $zlh_both[1]
            test "$$zlh_both[1]" = "$zlh_both[2]"; and set -e $zlh_both[1]
        end
    end
    for zlh_pair in (string match -r '^[A-Za-z][A-Za-z0-9_]*="[^"]*"$' <@FILE@)
        set -l zlh_both (string split -m 1 = -- $zlh_pair)
        if test $zlh_both[1] = @LIST@; or not set -q $zlh_both[1]
            set -gx $zlh_both[1] (string trim -c '"' -- $zlh_both[2])
        end
    end
end
"""


def render_sh() -> str:
    """Return what any sh reads."""
    return _filled(_SH)


def render_fish() -> str:
    """Return what fish reads."""
    return _filled(_FISH)


def render_environment_file(variables: Mapping[str, str]) -> str:
    """Return the one file of the variables."""
    return f"{_NOTE} Variables of the runtimes in use.\n{render_variables(with_list(variables))}"


def session_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return all that somebody who reads no file of a shell must be given."""
    return {**with_list(variables), "PATH": PATH, "BASH_ENV": SH_FILE}


def render_manager(variables: Mapping[str, str]) -> str:
    """Return what systemd starts services with; a unit's own words come after it."""
    pairs = " ".join(f'"{name}={value}"' for name, value in sorted(session_variables(variables).items()))
    return f"{_NOTE}\n[Manager]\nDefaultEnvironment={pairs}\n"


def render_pam_block(variables: Mapping[str, str]) -> str:
    """Return what stands in /etc/environment."""
    return render_variables(session_variables(variables))


def render_bash_block() -> str:
    """Return what stands in /etc/bash.bashrc, before anything there can return."""
    return f"if [ -r {SH_FILE} ]; then . {SH_FILE}; fi\n"


def render_zsh_block() -> str:
    """Return what stands in /etc/zsh/zshenv, which every zsh reads."""
    return f"if [[ -r {SH_FILE} ]]; then emulate sh -c '. {SH_FILE}'; fi\n"


def with_block(text: str, block: str) -> str:
    """Return somebody's file with our block in front, in the place of whatever was left of it before.

    A block without its end is one that somebody has edited: only lines of its own are taken for ours.
    """
    return f"{BEGIN}\n{block}{END}\n{without_block(text, block)}"


def without_block(text: str, block: str = "") -> str:
    """Return somebody's file without what is ours."""
    ours = set(block.splitlines())
    kept: list[str] = []
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        if lines[at].rstrip("\r\n") == BEGIN:
            at = _end_of_block(lines, at + 1, ours)
        elif lines[at].rstrip("\r\n") == END:
            at += 1
        else:
            kept.append(lines[at])
            at += 1
    return "".join(kept)


def _end_of_block(lines: list[str], start: int, ours: set[str]) -> int:
    for at in range(start, len(lines)):
        line = lines[at].rstrip("\r\n")
        if line == END:
            return at + 1
        if line == BEGIN:
            break
    at = start
    while at < len(lines) and lines[at].rstrip("\r\n") in ours:
        at += 1
    return at


def _filled(template: str) -> str:
    words = {
        "@NOTE@": _NOTE,
        "@DEFAULTS@": " | ".join(f'"{path}"' for path in _DEFAULT_PATHS),
        "@FISH_DEFAULTS@": " ".join(f'"{path}"' for path in _DEFAULT_PATHS),
        "@FISH_PATH@": " ".join(SYSTEM_PATH),
        "@PATH@": PATH,
        "@CASES@": " | ".join(SYSTEM_PATH),
        "@FOLDERS@": " ".join(SYSTEM_PATH),
        "@FRONT@": FRONT,
        "@SH_FILE@": SH_FILE,
        "@FILE@": ENVIRONMENT_FILE,
        "@LIST@": LIST,
    }
    for word, text in words.items():
        template = template.replace(word, text)
    return template
