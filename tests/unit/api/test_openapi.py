"""The document that describes the API is the API that is served."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from zlh_api.describe import describe_api, describe_endpoints
from zlh_api.web.docs_page import render_docs
from zlh_api.web.endpoint import Subject
from zlh_api.web.path_parameters import plain
from zlh_api.web.refusals import all_errors
from zlh_common.schema.file_refusals import REFUSALS
from zlh_common.schema.secrets import secret_fields

# What is made anew each time that it is asked for, with the reason.
MADE_AGAIN = {
    # A folder that is there is refused, and an upload that is begun twice is given up.
    "/api/containers/{vmid}/files/mkdir",
    "/api/containers/{vmid}/files/uploads",
    # It opens one socket within 30 s; another one hurts nobody.
    "/api/containers/{vmid}/tickets",
    # An agent holds it, and no transaction of ours can hold it too; one too many is in the list and is closed.
    "/api/containers/{vmid}/terminals",
}
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


async def test_what_programs_call_is_in_it_and_what_browsers_are_shown_is_not(document: dict[str, Any]) -> None:
    """A program that was made of the document reaches everything that is meant for programs."""
    served = {plain(each.path) for each in await describe_endpoints()}
    left_out = served - set(document["paths"])
    assert document["paths"]["/metrics"]["get"]["tags"] == ["platform"]
    assert not [path for path in left_out if path.startswith(("/api", "/artifacts", "/metrics"))]
    assert [path for path in left_out if path.startswith("/.zlh/")]


async def test_operation_ids_are_names_of_their_own(document: dict[str, Any]) -> None:
    """Each becomes the name of a function in a generated client."""
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert not [name for name in ids if re.fullmatch("[a-z][A-Za-z]*", name) is None]


async def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    """What stands in braces is declared, and nothing else is."""
    for _, path, operation in operations(document):
        declared = [entry["name"] for entry in operation["parameters"] if entry["in"] == "path"]
        assert declared == [part[1:-1] for part in path.split("/") if part.startswith("{")]


async def test_every_operation_says_how_it_fails_and_who_may_call(document: dict[str, Any]) -> None:
    """Errors have one shape everywhere, and all but the public calls name how one signs in."""
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400" or "application/json" in answer["content"]:
                continue
            problem = answer["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
            assert answer["x-codes"]
        assert ("security" in operation) == (operation["x-policy"]["name"] != "public")
        assert operation["summary"]


async def test_the_document_is_one(document: dict[str, Any]) -> None:
    """A library that knows OpenAPI 3.1 finds nothing wrong with it."""
    await asyncio.to_thread(validate, document)


async def test_every_example_is_one(document: dict[str, Any]) -> None:
    """What stands there to be copied is what the call takes."""
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if content["schema"].get("format") == "binary":
                continue
            schema = {**content["schema"], "components": document["components"]}
            problems = [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])]
            assert not problems, f"{path}: {problems}"


async def test_every_codes_status_is_its_own(document: dict[str, Any]) -> None:
    """What is said to be refused is refused with this status."""
    status_of = {error.code: error.status for error in all_errors()}
    status_of |= {code: refusal.status for code, refusal in REFUSALS.items()}
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert {status_of[code] for code in answer.get("x-codes", [])} <= {int(status)}


async def test_every_parameter_says_what_it_takes(document: dict[str, Any]) -> None:
    """A text without any bound is no declaration; neither is a number."""
    free = {"Range", "If-None-Match"}
    for method, path, operation in operations(document):
        for parameter in operation["parameters"]:
            schema = parameter["schema"].get("items", parameter["schema"])
            if schema["type"] == "boolean":
                continue
            bounds = {"format", "enum", "pattern", "maxLength"} if schema["type"] == "string" else {"minimum"}
            where = f"{method} {path} {parameter['name']}"
            assert parameter["name"] in free or "{path}" in path or bounds & schema.keys(), where
            assert parameter["description"], where


async def test_what_makes_something_is_made_once() -> None:
    """A POST that is answered with 201 takes an Idempotency-Key, or stands here with a reason."""
    for endpoint in await describe_endpoints():
        if endpoint.method == "POST" and endpoint.status == 201:
            assert endpoint.creates != (endpoint.path in MADE_AGAIN), endpoint.path
        assert not endpoint.creates or endpoint.policy.subject is not Subject.ANYBODY, endpoint.path


async def test_what_is_secret_is_in_no_other_answer() -> None:
    """A text that is shown once stands at the top of an answer, where it is found and left out."""
    for endpoint in await describe_endpoints():
        if endpoint.response is not None:
            schema = json.dumps(msgspec.json.schema(endpoint.response))
            assert schema.count('"x-shown-once"') == len(secret_fields(endpoint.response)), endpoint.path


async def test_the_documents_words_are_camel_case(document: dict[str, Any]) -> None:
    """The wire has one spelling."""
    for name, schema in document["components"]["schemas"].items():
        for key, inner in schema.get("properties", {}).items():
            assert "_" not in key or inner.get("deprecated"), f"{name}.{key}"


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
