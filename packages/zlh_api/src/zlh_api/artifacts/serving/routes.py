"""HTTP of the tree, below the API's own address: the very files that any web server could serve."""

from __future__ import annotations

from aiohttp import web

from zlh_api.artifacts.errors import FileUnknown
from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.errors import RangeUnsatisfiable

PATH = "/artifacts/{path:.*}"


def endpoints(tree: ServedTree) -> list[Endpoint]:
    """Return the endpoints of the tree; all of it is signed or hashed and says nothing about anybody."""

    async def file(call: Call) -> web.StreamResponse:
        return await tree.answer(call.request, call.request.match_info["path"])

    refused = (FileUnknown, RangeUnsatisfiable)
    about = "A file of the signed tree: archive, its record, SHA256SUMS, or TUF metadata"
    return [
        Endpoint("GET", PATH, Policy.PUBLIC, file, about, is_file=True, refusals=refused, name="getArtifact"),
        Endpoint(
            "HEAD",
            PATH,
            Policy.PUBLIC,
            file,
            "Size and validators of such a file",
            refusals=refused,
            name="lookAtArtifact",
        ),
    ]
