"""The commands of `zlh-api artifacts` that change what is offered, and by which keys it is believed.

What needs tuf is imported by the command that uses it, since `serve` is a daemon that stays small.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import msgspec

from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactsNotInitialised
from zlh_api.artifacts.model import ROLES, Decided, Listing, Pruned
from zlh_api.artifacts.tree import Tree
from zlh_common.clock import SystemClock
from zlh_common.schema.catalog import Catalog, OfferKind

KINDS = get_args(OfferKind)
DEFAULT_KEEP = 3
MAX_KEYS = 9


def add_parsers(commands: Any, tree: argparse.ArgumentParser, keyed: argparse.ArgumentParser) -> None:
    """Add the parsers; `tree` and `keyed` bring --dir and --keys."""
    for name, about in (
        ("promote", "make a published version stable, and sign that at once"),
        ("demote", "make a published version a candidate, and sign that at once"),
        ("default", "make a stable version the default of its name, and sign that at once"),
    ):
        command = commands.add_parser(name, parents=[tree, keyed], help=about)
        command.add_argument("name", metavar="NAME")
        command.add_argument("version", metavar="VERSION", help="exactly as `list` shows it")
        command.add_argument("--kind", choices=KINDS, help="where a name stands for things of several kinds")
        if name == "promote":
            command.add_argument("--default", action="store_true", help="make it the default as well")
        if name == "demote":
            command.add_argument("--leave-none", action="store_true", help="though no other stable version is left")
    prune = commands.add_parser("prune", parents=[tree, keyed], help="remove archives that nobody can be offered")
    prune.add_argument(
        "--keep", type=_count, default=DEFAULT_KEEP, help="newest of each name and channel (%(default)s)"
    )
    prune.add_argument("--withdraw", action="store_true", help="offer older published versions no more; they go later")
    prune.add_argument("--dry-run", action="store_true", help="tell, and change nothing")
    rotate = commands.add_parser("rotate-keys", parents=[tree, keyed], help="give roles new keys; clients follow")
    rotate.add_argument("roles", nargs="*", metavar="ROLE", help=f"of {', '.join(ROLES)} (default: all)")
    add_root_arguments(rotate)
    listing = commands.add_parser("list", parents=[tree], help="list what is built, and what is decided about it")
    listing.add_argument("--json", action="store_true", help="print the same as JSON")


def add_root_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many root keys there are to be."""
    parser.add_argument("--root-keys", type=_key_count, metavar="N", help="how many root keys there are, up to 9")
    parser.add_argument("--root-threshold", type=_key_count, metavar="M", help="how many of them must sign a root")


def run_promote(args: argparse.Namespace) -> list[str]:
    """Carry out promote, demote or default; return what to say."""
    from zlh_api.artifacts.signing.promote import Publisher  # noqa: PLC0415 - see above

    publisher = Publisher(args.dir, args.keys, now=SystemClock().now(), offline=args.offline_keys)
    match args.artifacts_command:
        case "promote":
            done = publisher.set_channel(args.name, args.version, "stable", kind=args.kind, make_default=args.default)
        case "demote":
            done = publisher.set_channel(
                args.name, args.version, "candidate", kind=args.kind, may_leave_none=args.leave_none
            )
        case _:
            done = publisher.set_default(args.name, args.version, kind=args.kind)
    return _describe_decided(done)


def _describe_decided(done: Decided) -> list[str]:
    how = "signed" if done.published.changed else "so already, signed again"
    lines = [f"{done.name} {done.version} is {done.channel} ({how}; it holds until {done.published.expires})"]
    if done.default != done.default_before:
        lines.append(f"the default of {done.name} is {done.default} now, it was {done.default_before or 'none'}")
    elif done.version == done.default:
        lines.append(f"it is the default of {done.name}")
    return lines


def run_prune(args: argparse.Namespace) -> list[str]:
    """Carry out prune; return what to say."""
    from zlh_api.artifacts.signing.prune import prune_tree  # noqa: PLC0415 - see above

    done = prune_tree(
        args.dir,
        args.keys,
        now=SystemClock().now(),
        keep=args.keep,
        withdraw=args.withdraw,
        dry_run=args.dry_run,
        offline=args.offline_keys,
    )
    return _describe_pruned(done, is_dry=args.dry_run)


def _describe_pruned(done: Pruned, *, is_dry: bool) -> list[str]:
    would = "would be " if is_dry else ""
    freed = sum(removal.size for removal in done.removed)
    return [
        *(f"{version}: {would}offered no more" for version in done.withdrawn),
        *(f"{removal.path}: {would}removed, {removal.size / 1e6:.1f} MB" for removal in done.removed),
        *(f"{waiting.path}: stays until {waiting.until:%Y-%m-%d}, clients may know of it" for waiting in done.waiting),
        f"{len(done.removed)} archives, {freed / 1e6:.1f} MB {would}removed",
    ]


def run_rotate(args: argparse.Namespace) -> list[str]:
    """Carry out rotate-keys; return what to say."""
    from zlh_api.artifacts.signing.rotate import rotate_keys  # noqa: PLC0415 - see above

    shape = root_shape(args)
    roles = _chosen_roles(args.roles) if args.roles or shape is None else ("root",)
    done = rotate_keys(args.dir, args.keys, roles, now=SystemClock().now(), offline=args.offline_keys, shape=shape)
    return [
        f"root {done.root_version} names new keys for {', '.join(done.roles)}; clients with any older root follow",
        f"new clients are given {args.keys / 'root.json'}; the old keys are in retired/",
    ]


def _chosen_roles(asked: list[str]) -> tuple[str, ...]:
    wrong = [role for role in asked if role not in ROLES]
    if wrong:
        raise SystemExit(f"zlh-api artifacts rotate-keys: {wrong[0]!r} is no role; there are {', '.join(ROLES)}")
    return tuple(asked) or ROLES


def root_shape(args: argparse.Namespace) -> Any:
    """Return how many root keys were asked for, or None where nothing was said of it."""
    from zlh_api.artifacts.signing.keys import RootShape  # noqa: PLC0415 - see above

    if args.root_keys is None and args.root_threshold is None:
        return None
    keys = args.root_keys or args.root_threshold
    threshold = args.root_threshold or keys
    if threshold > keys:
        raise SystemExit(f"zlh-api artifacts: of {keys} root keys no {threshold} can sign")
    return RootShape(keys, threshold)


def run_list(args: argparse.Namespace) -> list[str]:
    """Carry out list; return what to say."""
    from zlh_api.artifacts.signing.decisions import render_listing  # noqa: PLC0415 - see above

    tree = Tree(args.dir)
    if not tree.archives.is_dir():
        raise ArtifactsNotInitialised(folder=args.dir, missing="archives")
    rows = render_listing(tree.records(), tree.read_decisions(), _read_published(args.dir))
    if args.json:
        return [msgspec.json.encode(rows).decode()]
    return [_describe_row(row) for row in rows]


def _read_published(folder: Path) -> Catalog | None:
    from zlh_api.artifacts.signing.publish import read_catalog  # noqa: PLC0415 - see above

    try:
        return read_catalog(folder, now=SystemClock().now())
    except (ArtifactsNotInitialised, ArtifactDamaged):
        # What is built is told all the same; `verify` says what is wrong.
        return None


def _describe_row(row: Listing) -> str:
    version = f"{row.version} {row.edition}" if row.edition else row.version
    marks = [row.channel, *(["default"] if row.default else []), *([] if row.state == "published" else [row.state])]
    size = f"{row.size / 1e6:7.1f} MB"
    return (
        f"{row.kind:<9}{row.name:<12} {version:<18} {row.platform:<14} {size}  {' '.join(marks):<18} "
        f"{row.licence}  {row.source}"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= 1000:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number from 1 to 1000")
    return int(text)


def _key_count(text: str) -> int:
    if text not in {str(number) for number in range(1, MAX_KEYS + 1)}:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number from 1 to {MAX_KEYS}")
    return int(text)


def tree_arguments(folder: Path | None) -> argparse.ArgumentParser:
    """Return the parent parser with --dir."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--dir", type=Path, default=folder, required=folder is None, help="the tree that is served")
    return parser


def key_arguments(keys: Path | None) -> argparse.ArgumentParser:
    """Return the parent parser with --keys and --offline-keys."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--keys", type=Path, default=keys, required=keys is None, help="folder of the signing keys")
    parser.add_argument(
        "--offline-keys", type=Path, help="folder of the keys of root and targets, where they are kept apart"
    )
    return parser
