"""`zlh-api artifacts …`: makes, signs, checks and serves the artifacts.

Everything that needs tuf or zstandard is imported by the command that uses it: `serve` is a daemon and stays small.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zlh_api.artifacts.building.recipes import SHIPPED, RecipeBook
from zlh_api.artifacts.errors import RecipeInvalid
from zlh_api.artifacts.model import Built, Missing, Progress, Recipe
from zlh_api.artifacts.publisher_commands import (
    add_parsers,
    add_root_arguments,
    key_arguments,
    root_shape,
    run_list,
    run_promote,
    run_prune,
    run_rotate,
    tree_arguments,
)
from zlh_api.artifacts.serving.server import FROM_ONE_ADDRESS, ServerSettings, serve
from zlh_api.artifacts.template_model import TemplateFile, Unresolved
from zlh_common.clock import SystemClock
from zlh_common.runtime_choice import this_platform

if TYPE_CHECKING:
    from zlh_api.artifacts.building.sources.workbench import Means

DEFAULT_PORT = 8480
# A build that made all but some of what it was asked for.
INCOMPLETE = 3


def add_parser(subparsers: Any, *, folder: Path | None = None, keys: Path | None = None) -> argparse.ArgumentParser:
    """Add `artifacts` with its own sub-commands; `folder` and `keys` are what --dir and --keys default to."""
    parser: argparse.ArgumentParser = subparsers.add_parser("artifacts", help="make, sign, check and serve artifacts")
    commands = parser.add_subparsers(dest="artifacts_command", required=True, metavar="COMMAND")
    common, keyed = tree_arguments(folder), key_arguments(keys)
    init = commands.add_parser("init", parents=[common, keyed], help="make keys and an empty tree; harmless to repeat")
    add_root_arguments(init)
    _add_build(commands, common)
    taken = commands.add_parser("import", parents=[common], help="take in the archives of a release; then `publish`")
    taken.add_argument("release", type=Path, metavar="FOLDER", help="the folder of the release")
    commands.add_parser("publish", parents=[common, keyed], help="sign the catalog of everything that is built")
    verify = commands.add_parser("verify", parents=[common], help="compare every file with what is signed")
    verify.add_argument("--keys", type=Path, default=keys, help="trust the root in this folder, not the tree's own")
    add_parsers(commands, common, keyed)
    server = commands.add_parser("serve", parents=[common, keyed], help="serve the tree and renew its signatures")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    server.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    server.add_argument(
        "--from-one-address", type=int, default=FROM_ONE_ADDRESS, metavar="N",
        help="connections at once, but from this host; 0, behind a proxy elsewhere, for any (default: %(default)s)",
    )  # fmt: skip
    return parser


def _add_build(commands: Any, common: argparse.ArgumentParser) -> None:
    build = commands.add_parser(
        "build",
        parents=[common],
        help="make archives, and ask for versions of game servers; skips what is there",
    )
    build.add_argument("names", nargs="*", metavar="NAME", help="node, node-24.19.0, minecraft-paper, … (default: all)")
    build.add_argument("--platform", action="append", metavar="PLATFORM", help="default: the one of this machine")
    build.add_argument("--recipes", type=Path, default=SHIPPED, help="folder of recipes (default: the shipped ones)")
    build.add_argument("--refresh", action="store_true", help="ask again for the newest version of each line")
    build.add_argument("--where-possible", action="store_true", help="succeed without what cannot be made here")
    build.add_argument("--templates", type=Path, help="folder of templates (default: the shipped ones)")
    build.add_argument("--contact", metavar="ADDRESS", help="whom the operators of download services can write to")
    build.add_argument(
        "--mirror",
        action="append",
        default=[],
        type=_mirror,
        metavar="NAME=URL",
        help="in place of an address",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out one sub-command; return the exit code. Raises ZlhError, which the caller prints."""
    commands = {
        "init": _init,
        "build": _build,
        "import": _import,
        "publish": _publish,
        "verify": _verify,
        "serve": _serve,
    }
    if args.artifacts_command in commands:
        return commands[args.artifacts_command](args)
    for line in _PUBLISHER[args.artifacts_command](args):
        _say(line)
    return 0


_PUBLISHER: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "promote": run_promote,
    "demote": run_promote,
    "default": run_promote,
    "prune": run_prune,
    "rotate-keys": run_rotate,
    "list": run_list,
}


def _init(args: argparse.Namespace) -> int:
    from zlh_api.artifacts.signing.publish import initialise  # noqa: PLC0415 - see above

    initialise(args.dir, args.keys, now=SystemClock().now(), offline=args.offline_keys, shape=root_shape(args))
    _say(f"{args.dir} is ready; the root that clients trust is {args.keys / 'root.json'}")
    return 0


def _build(args: argparse.Namespace) -> int:
    from zlh_api.artifacts.building.sources.workbench import Means  # noqa: PLC0415 - see above
    from zlh_api.artifacts.building.template_book import SHIPPED as SHIPPED_TEMPLATES  # noqa: PLC0415 - see above
    from zlh_api.artifacts.building.template_book import TemplateBook  # noqa: PLC0415 - see above

    if not args.recipes.is_dir():
        raise RecipeInvalid(recipe=str(args.recipes), reason="there is no such folder")
    # Recipes of one's own are for one's own templates.
    folder = args.templates or (SHIPPED_TEMPLATES if args.recipes == SHIPPED else None)
    book, templates = RecipeBook(args.recipes), TemplateBook(folder)
    means = Means(mirrors=dict(args.mirror), contact=args.contact)
    recipes = book.choose(args.names, besides=templates.names)
    is_built = _build_recipes(args, book, recipes, means) if recipes else True
    chosen = templates.choose(args.names)
    is_resolved = _resolve_templates(args, chosen, means) if chosen else True
    return 0 if (is_built and is_resolved) or args.where_possible else INCOMPLETE


def _build_recipes(args: argparse.Namespace, book: RecipeBook, recipes: list[Recipe], means: Means) -> bool:
    """Make the archives, and say what came of it; tell whether all is there that was asked for."""
    from zlh_api.artifacts.building.build import build_artifacts  # noqa: PLC0415 - see above

    missing: list[Missing] = []
    made = build_artifacts(
        args.dir,
        book,
        recipes,
        platforms=args.platform or [this_platform()],
        on_progress=_ProgressPrinter().show,
        on_missing=missing.append,
        means=means,
        refresh=args.refresh,
    )
    if missing and not made and not args.where_possible:
        raise missing[0].error
    for built in made:
        _say(_describe(built))
    for one in missing:
        _say(f"left out: {one.label} for {one.platform}: {one.error.detail} [{one.error.code}]")
    # What nobody asked for by name may be absent; where something is wrong, somebody has to look.
    return all(one.is_absent and not args.names for one in missing)


def _resolve_templates(args: argparse.Namespace, templates: list[TemplateFile], means: Means) -> bool:
    """Ask the sources of templates for their versions, and say what came of it."""
    from zlh_api.artifacts.building.build import ABSENT  # noqa: PLC0415 - see above
    from zlh_api.artifacts.building.resolve import resolve_templates  # noqa: PLC0415 - see above

    unresolved: list[Unresolved] = []
    resolved = resolve_templates(
        args.dir,
        templates,
        now=SystemClock().now(),
        on_unresolved=unresolved.append,
        means=means,
        refresh=args.refresh,
    )
    for outcome in resolved:
        record, how = outcome.record, "kept" if outcome.reused else "resolved"
        versions = f"{len(record.versions)} versions" if record.versions else "versions of its archive"
        _say(f"template {record.name}  {versions}  {how}")
    for one in unresolved:
        what = "kept as it was" if one.is_kept else "left out"
        _say(f"{what}: template {one.name}: {one.error.detail} [{one.error.code}]")
    return all(isinstance(one.error, ABSENT) and not args.names for one in unresolved)


def _import(args: argparse.Namespace) -> int:
    from zlh_api.artifacts.importing import import_archives  # noqa: PLC0415 - see above

    for taken in import_archives(args.dir, args.release):
        record, how = taken.record, "there already" if taken.reused else "taken in"
        _say(f"{record.path}  {record.size / 1e6:.1f} MB  {how}")
    return 0


def _publish(args: argparse.Namespace) -> int:
    from zlh_api.artifacts.signing.publish import publish_catalog  # noqa: PLC0415 - see above

    done = publish_catalog(args.dir, args.keys, now=SystemClock().now(), offline=args.offline_keys)
    verb = "published" if done.changed else "unchanged, signed again"
    _say(f"catalog {done.catalog_sha256[:12]} {verb}; it holds until {done.expires}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from zlh_api.artifacts.signing.publish import verify_tree  # noqa: PLC0415 - see above

    found = verify_tree(args.dir, args.keys, now=SystemClock().now())
    for fault in found.faults:
        _say(f"{fault.file}: {fault.reason}")
    if found.ok:
        _say(f"{found.files} files, {found.bytes / 1e6:.0f} MB of archives: everything is as signed")
    return 0 if found.ok else 1


def _serve(args: argparse.Namespace) -> int:
    most = args.from_one_address if args.from_one_address > 0 else None
    settings = ServerSettings(args.dir, args.keys, args.host, args.port, from_one_address=most)
    asyncio.run(serve(settings))
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _mirror(text: str) -> tuple[str, str]:
    name, sign, url = text.partition("=")
    if not (name and sign and url.startswith(("https://", "http://"))):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=URL with an http or https address")
    return name, url


def _describe(built: Built) -> str:
    record = built.record
    how = "kept" if built.reused else f"built in {built.took_s:.1f} s"
    return f"{record.path}  {record.size / 1e6:.1f} MB  {how}"


class _ProgressPrinter:
    """Shows progress on a terminal in one line, and elsewhere with a line for each phase of an archive."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, progress: Progress) -> None:
        if not sys.stderr.isatty():
            self._show_phase(f"{progress.archive}: {progress.phase}\n")
            return
        share = f" {100 * progress.done // progress.total:3d} %" if progress.total else ""
        line = f"{progress.archive}: {progress.phase}{share}"
        if line != self._shown:
            end = "\r" if progress.phase in {"built", "kept"} else ""
            sys.stderr.write("\r\x1b[2K" + ("" if end else line))
            sys.stderr.flush()
            self._shown = line

    def _show_phase(self, line: str) -> None:
        if line != self._shown:
            sys.stderr.write(line)
            sys.stderr.flush()
            self._shown = line


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
