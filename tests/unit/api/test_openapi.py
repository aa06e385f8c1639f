"""The document that describes the API is the API that is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zlh_api.describe import describe_api
from zlh_api.web.openapi import render_docs

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def document() -> dict[str, Any]:
    """The document of this version."""
    return await describe_api()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(part: Any) -> Iterator[str]:
    """Yield every $ref below a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


async def test_every_reference_resolves(document: dict[str, Any]) -> None:
    """A client that is generated from the document finds every shape that it names."""
    found = set(references(document))
    assert found
    for reference in found:
        where: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in where, reference
            where = where[part]


async def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    """Each becomes the name of a function in a generated client."""
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


async def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    """What stands in braces is declared, and nothing else is."""
    for _, path, operation in operations(document):
        declared = [entry["name"] for entry in operation["parameters"] if entry["in"] == "path"]
        assert declared == [part[1:-1] for part in path.split("/") if part.startswith("{")]


async def test_every_operation_says_how_it_fails_and_who_may_call(document: dict[str, Any]) -> None:
    """Errors have one shape everywhere, and all but the public calls name how one signs in."""
    for _, _, operation in operations(document):
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert ("security" in operation) == (operation["x-policy"] != "public")
        assert operation["summary"]


async def test_the_documents_words_are_camel_case(document: dict[str, Any]) -> None:
    """The wire has one spelling."""
    for name, schema in document["components"]["schemas"].items():
        for key in schema.get("properties", {}):
            assert "_" not in key, f"{name}.{key}"


async def test_the_page_lists_every_operation(document: dict[str, Any]) -> None:
    """The page for people is made of the same document, and has no script."""
    page = render_docs(document)
    for _, path, _ in operations(document):
        assert f"<code>{path}</code>" in page
    assert "<script" not in page


async def test_the_portal_is_generated_from_this_very_document(document: dict[str, Any]) -> None:
    """`make client` writes the copy; a portal of other shapes would break where nobody looks."""
    copy = await asyncio.to_thread((ROOT / "packages/zlh_portal/openapi.json").read_bytes)
    assert json.loads(copy) == json.loads(json.dumps(document))
