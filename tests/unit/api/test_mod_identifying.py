"""Files that an agent tells of, taken into the ledger: only under names that a ledger can hold, each once."""

from __future__ import annotations

import pytest

from fakes.mod_graph import BEGIN, Graph
from zlh_api.mods.identifying_rules import render_adoption
from zlh_common.schema.mods import ModsReport, PutMod, UnknownFile
from zlh_common.schema.structs import decode, encode


def report(graph: Graph, **versions: str) -> ModsReport:
    """Return what an agent tells of files, by their names."""
    unknown = []
    for name, version in versions.items():
        file = graph.versions[version].file
        assert file is not None
        is_enabled = not name.endswith(".disabled")
        unknown.append(UnknownFile(file_name=name, is_enabled=is_enabled, size=file.size, sha512=file.sha512))
    return ModsReport(folder="mods", revision=0, unknown=tuple(unknown))


def adopt(graph: Graph, told: ModsReport) -> list[str]:
    """Return the names under which files would be taken into the ledger."""
    versions = {version.file.sha512: version for version in graph.versions.values() if version.file}
    acts = render_adoption(told, versions, graph.projects, actor="someone", now=BEGIN)
    puts = [act for act in acts if isinstance(act, PutMod)]
    # As its agent reads it.
    assert decode(encode(puts), list[PutMod]) == puts
    return [put.entry.file.file_name for put in puts]


@pytest.mark.parametrize(
    "name", ["../x.jar", ".x.jar", "x.zip", "x.zlh-y.jar", "a/b.jar", f"{'x' * 250}.jar", "x\n.jar"]
)
def test_a_name_that_no_ledger_can_hold_is_left_where_it_is(name: str) -> None:
    """The others are taken; their agent would refuse all of them for the one."""
    graph = Graph()
    a, b = graph.version("a", 1), graph.version("b", 1)
    assert adopt(graph, report(graph, **{name: a, "b.jar": b})) == ["b.jar"]


def test_a_file_and_a_disabled_one_of_its_name_are_not_both_taken() -> None:
    """They lie beside each other in the folder, and a ledger has room for one of that name."""
    graph = Graph()
    a, b = graph.version("a", 1), graph.version("b", 1)
    assert adopt(graph, report(graph, **{"x.jar": a, "x.jar.disabled": b})) == ["x.jar"]
