"""Visitors of container hosts: browsers that go to the portal and back, without a proxy or through a real one."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import add_user, browser, by, customer_of, sign_in
from fakes.api_world import NODE, World
from zlh_common.names import Vmid
from zlh_common.schema.permissions import Role

Client = TestClient[Request, Application]
NAVIGATION = {
    "Accept": "text/html",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}
PORT = 3000
# What somebody may be to the container: `former` has published a port of it and was removed since.
PEOPLE = ("publisher", "owner", "member", "viewer", "stranger", "operator")


@dataclass
class Place:
    """A container with one published port, and everybody who might want to open it."""

    world: World
    client: Client
    vmid: Vmid
    users: dict[str, UUID] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Of the port's own host."""
        return f"{PORT}-dev-{self.vmid}"

    async def run(self) -> None:
        """Have its guest be seen to run."""
        await self.world.fetch("update containers set guest = 'running' where vmid = $1 returning 1", self.vmid)

    async def publish(self, visibility: str, by_whom: str = "publisher", **fields: object) -> str:
        """Publish the port; return the exposure's id."""
        headers = browser(self.sessions[by_whom])
        wish = {"port": PORT, "visibility": visibility, **fields}
        answer = await self.client.post(f"/api/containers/{self.vmid}/exposures", json=wish, headers=headers)
        assert answer.status == 201, await answer.text()
        found: str = (await answer.json())["id"]
        return found

    def visitor(self, name: str | None, label: str | None = None) -> Visitor:
        """Return a browser of somebody, or of nobody."""
        return Visitor(self.client, label or self.label, self.sessions.get(name or ""))


@dataclass
class Visitor:
    """One browser at one host."""

    client: Client
    label: str
    session: str | None
    # Of the host alone.
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, headers: dict[str, str] | None = None, *, method: str = "GET", path: str = "/"
    ) -> ClientResponse:
        """Ask as the proxy does before it lets a request through."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        forwarded = {
            "X-Forwarded-Host": f"{self.label}.localhost",
            "X-Forwarded-Method": method,
            "X-Forwarded-Uri": path,
            "X-Zlh-Port": str(PORT),
        }
        sent = {**forwarded, **({"Cookie": cookie} if cookie else {}), **(NAVIGATION if headers is None else headers)}
        return self._take(await self.client.get("/.zlh/access", headers=sent, allow_redirects=False))

    async def authorize(self, location: str) -> ClientResponse:
        """Follow the way to the portal."""
        headers = {} if self.session is None else {"Cookie": f"zlh_session={self.session}"}
        return await self.client.get(relative(location), headers=headers, allow_redirects=False)

    async def enter(self, location: str) -> ClientResponse:
        """Follow the way back."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Host": f"{self.label}.localhost", "Cookie": cookie}
        return self._take(await self.client.get(relative(location), headers=headers, allow_redirects=False))

    async def open(self, path: str = "/") -> int:
        """Open a page as a browser does, there and back; return the status of what is shown in the end."""
        answer = await self.ask(path=path)
        if answer.status != 302:
            return answer.status
        answer = await self.authorize(answer.headers["Location"])
        if answer.status != 302 or "/login" in answer.headers["Location"]:
            return 401 if answer.status == 302 else answer.status
        answer = await self.enter(answer.headers["Location"])
        assert answer.status == 302, await answer.text()
        return (await self.ask(path=relative(answer.headers["Location"]))).status

    def _take(self, answer: ClientResponse) -> ClientResponse:
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer


def relative(location: str) -> str:
    """Return the path and query of a location."""
    parts = urlsplit(location)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def query_of(location: str) -> dict[str, str]:
    """Return what a location asks."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def make_place(world: World, client: Client) -> Place:
    """Make the container and the people."""
    answer = await client.post("/api/containers", json=NODE, headers=by("owner-token"))
    assert answer.status == 202, await answer.text()
    place = Place(world, client, Vmid((await answer.json())["vmid"]))
    mine, other = await customer_of(world), await customer_of(world, "stranger")
    roles = {"publisher": Role.MEMBER, "owner": Role.OWNER, "member": Role.MEMBER, "viewer": Role.VIEWER}
    for name in PEOPLE:
        email = f"{name}@visitors.example"
        customers = [(mine, roles[name])] if name in roles else [(other, Role.OWNER)] if name == "stranger" else []
        place.users[name] = await add_user(world, email, customers=customers, is_operator=name == "operator")
        place.sessions[name] = await sign_in(client, email)
    return place
