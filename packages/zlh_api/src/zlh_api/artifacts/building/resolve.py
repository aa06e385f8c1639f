"""Resolving templates: each source is asked which versions there are, and what it says is kept as a record.

A template is asked for when it is first built, when its file has changed, and when `refresh` says so. A source that is
away, or says what cannot be used, loses nothing: what was resolved before stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import version as version_of_package
from pathlib import Path

import msgspec

from zlh_api.artifacts.building.sources.workbench import PLAIN, Means
from zlh_api.artifacts.building.upstreams.client import Asking, Upstream
from zlh_api.artifacts.building.upstreams.sources import source_of
from zlh_api.artifacts.errors import SourceUnsafe, TemplateInvalid
from zlh_api.artifacts.template_model import (
    ArchiveSource,
    Resolved,
    TemplateFile,
    TemplateRecord,
    Unresolved,
)
from zlh_api.artifacts.template_offers import with_default
from zlh_api.artifacts.tree import Tree
from zlh_common.errors import ZlhError
from zlh_common.schema.template import TemplateVersion
from zlh_common.template_rules import find_template_problems

UPSTREAMS = Path(__file__).parent / "upstreams.toml"


def resolve_templates(
    folder: Path,
    templates: Iterable[TemplateFile],
    *,
    now: datetime,
    on_unresolved: Callable[[Unresolved], None],
    means: Means = PLAIN,
    refresh: bool = False,
) -> list[Resolved]:
    """Bring the records of `templates` up to date below `folder`, and return one outcome for each that has one.

    `on_unresolved` hears of each whose source could not be used. Blocks, for minutes where upstreams are slow.
    """
    tree, asking = Tree(folder), _asking(means)
    outcomes = []
    for template in templates:
        held = tree.find_template(template.name)
        if held is not None and held.digest == template.digest and not refresh:
            outcomes.append(Resolved(held, reused=True))
            continue
        try:
            record = _resolve(template, asking, held, now)
        except ZlhError as error:
            on_unresolved(Unresolved(template.name, error, is_kept=held is not None))
            continue
        # Nobody waits for the tree while an upstream is asked.
        with tree.changing():
            tree.write_template(record)
        outcomes.append(Resolved(record, reused=False))
    return outcomes


def _resolve(template: TemplateFile, asking: Asking, held: TemplateRecord | None, now: datetime) -> TemplateRecord:
    versions: list[TemplateVersion] = []
    if not isinstance(template.source, ArchiveSource):
        source = source_of(template.source, asking, held.versions if held is not None else ())
        versions = source.fetch(template.keep)
        if not versions:
            raise SourceUnsafe(source=template.name, reason="its source offers none of the versions that are kept")
    marked = with_default(versions)
    if problems := find_template_problems(template.template, marked, title=template.title):
        raise TemplateInvalid(template=template.name, problems=[str(problem) for problem in problems])
    return TemplateRecord(
        name=template.name,
        title=template.title,
        source=template.source,
        template=template.template,
        versions=marked,
        digest=template.digest,
        resolved_at=now,
    )


def _asking(means: Means) -> Asking:
    upstreams = msgspec.toml.decode(UPSTREAMS.read_bytes(), type=dict[str, Upstream])
    return Asking(
        upstreams, means.mirrors, contact=means.contact, version=version_of_package("zlh-api"), pause=means.pause
    )
