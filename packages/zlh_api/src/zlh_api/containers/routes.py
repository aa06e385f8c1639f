"""HTTP of containers: wishes in, reports out, and the live stream beside them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.containers.addon_rules import AddonNameTaken, AddonNeedsDev, AddonNotOffered, AddonPortTaken
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.model import Power
from zlh_api.containers.refusals import (
    AgentTooOld,
    BeingDeleted,
    CannotInstall,
    NameReserved,
    NameTaken,
    NoCustomer,
    RuntimeMissing,
    TemplateNotOffered,
)
from zlh_api.containers.rules import DiskCannotShrink, ResourcesEmpty, ResourcesTooLarge
from zlh_api.containers.service import PAGE_LIMIT, ContainerService
from zlh_api.containers.workspace_rules import (
    BranchInvalid,
    RepositoryHasCredentials,
    RepositoryInvalid,
    WorkspaceHasNothing,
    WorkspaceOfGame,
    hide_secrets,
)
from zlh_api.customers.refusals import CustomerSuspended
from zlh_api.games.refusals import (
    EulaNotAccepted,
    FieldsOfOtherKind,
    GameUnusable,
    MemoryTooSmall,
    TemplateMissing,
    VariableInvalid,
    VariableUnknown,
)
from zlh_api.games.service import GameService
from zlh_api.processes.rules import ProcessPending
from zlh_api.quotas.rules import QuotaExceeded
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import identifier, page_limit, whole_number
from zlh_common.errors import NotFound
from zlh_common.schema.catalog import CatalogEvent
from zlh_common.schema.history import ContainerEvent
from zlh_common.schema.lists import Items
from zlh_common.schema.process import ProcessNotRunning, ProcessSwitchedOff
from zlh_common.schema.resources import Limits
from zlh_common.schema.rollouts import RolloutEvent
from zlh_common.schema.spec import CreateContainer, PatchContainer
from zlh_common.schema.status import ContainerDeleted, ContainerStatus, RightsChanged, StillHere

_ALIASES = {"enable_code_server": "enableCodeServer"}
_CREATE_ALIASES = {**_ALIASES, "accept_eula": "acceptEula"}
ALL = "/api/containers"
ONE = f"{ALL}/{{vmid}}"
LIMITS = "/api/limits"
AFTER = whole_number("after", "The VMID behind which the page begins.", low=0, high=2**31 - 1, default=0)
LIMIT = page_limit(default=100, high=PAGE_LIMIT)
CUSTOMER = identifier("customer", "The customer whose containers are listed; left out for all.")


# What the stream tells, and what stands behind `data:` then.
EVENTS = {
    "container": ContainerStatus,
    "container-deleted": ContainerDeleted,
    "container-event": ContainerEvent,
    "catalog": CatalogEvent,
    "rollout": RolloutEvent,
    "rights": RightsChanged,
    "still-here": StillHere,
}
_ABOUT_EVENTS = (
    "Server-sent events, one JSON document behind `data:` in each: `container` with a report that has changed, "
    "`container-deleted`, `container-event` with an entry of a container's history, `catalog` when what can be "
    "installed has changed, to operators `rollout` when something about one has, `rights` when what you may do or "
    "know has changed (read the lists anew), and `still-here` when nothing else was told for a while. It begins with "
    "what changes from now on, so read the lists once it is open; it ends with the session or token that it was "
    "opened with."
)
_ABOUT_POWER = "Of a game container it is about its server; the guest stays up, so that files and history can be read."
_EXAMPLE = {"kind": "dev", "name": "my-shop", "runtime": "node", "version": "24"}
_REFUSE_CREATE = (
    NoCustomer, CustomerSuspended, QuotaExceeded, NotFound, NameTaken, NameReserved, RuntimeMissing, CannotInstall,
    CatalogNotLoaded, AddonNotOffered, AddonNeedsDev, TemplateNotOffered, TemplateMissing, FieldsOfOtherKind,
    VariableUnknown, VariableInvalid, MemoryTooSmall, GameUnusable, EulaNotAccepted, ResourcesEmpty, ResourcesTooLarge,
    WorkspaceOfGame, RepositoryInvalid, RepositoryHasCredentials, BranchInvalid,
)  # fmt: skip
_REFUSE_PATCH = (
    BeingDeleted, NameTaken, NameReserved, AddonNotOffered, AddonNeedsDev, AddonNameTaken, AddonPortTaken,
    CannotInstall, CatalogNotLoaded, ResourcesEmpty, ResourcesTooLarge, DiskCannotShrink, QuotaExceeded,
    WorkspaceOfGame, MemoryTooSmall, GameUnusable,
)  # fmt: skip


def endpoints(service: ContainerService, live: LiveContainers, games: GameService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def events(call: Call) -> web.StreamResponse:
        return await live.stream(call)

    async def limits(_call: Call) -> Limits:
        return service.limits

    return [
        *_list_endpoints(service),
        *_one_endpoints(service),
        *_power_endpoints(service, games),
        *_workspace_endpoints(service),
        Endpoint("GET", LIMITS, Policy.SIGNED_IN, limits, "How much a container may use", response=Limits),
        Endpoint(
            "GET",
            "/api/events",
            Policy.LIST_CONTAINERS,
            events,
            "Changes of containers as they happen",
            media_type="text/event-stream",
            about=_ABOUT_EVENTS,
            events=EVENTS,
            is_stream=True,
            name="streamEvents",
        ),
    ]


def _list_endpoints(service: ContainerService) -> list[Endpoint]:
    async def index(call: Call) -> Items[msgspec.Raw]:
        after, limit, customer = call.asked(AFTER), call.asked(LIMIT), call.asked(CUSTOMER)
        items, following = await service.fetch_page(call.caller, after=after, limit=limit, customer=customer)
        return Items(items=tuple(items), next=following or msgspec.UNSET)

    async def create(call: Call) -> ContainerStatus:
        customer = await service.choose_customer(call.caller, call.body.customer_id)
        await call.record.charge_to(customer)
        _note_wish(call, call.body)
        made = await service.create(customer, call.body, created_by=call.caller.user_id)
        call.record.acts_on(f"container {made.vmid}")
        return made

    status, page = ContainerStatus, Items[ContainerStatus]
    return [
        Endpoint(
            "GET",
            ALL,
            Policy.LIST_CONTAINERS,
            index,
            "List containers",
            response=page,
            query=(AFTER, LIMIT, CUSTOMER),
            refusals=(NotFound,),
        ),
        Endpoint(
            "POST",
            ALL,
            Policy.CREATE_CONTAINER,
            create,
            "Create a container",
            CreateContainer,
            status,
            202,
            _CREATE_ALIASES,
            creates=True,
            refusals=_REFUSE_CREATE,
            example=_EXAMPLE,
            about="The wish is written and answered at once; poll its `status`, or listen to `/api/events`, until it "
            "is `ready`.",
            act="container.create",
        ),
    ]


def _one_endpoints(service: ContainerService) -> list[Endpoint]:
    async def show(call: Call) -> ContainerStatus:
        return service.report(call.container)

    async def patch(call: Call) -> ContainerStatus:
        _note_wish(call, call.body)
        return await service.patch(call.container, call.body, changed_by=call.caller.user_id)

    async def delete(call: Call) -> ContainerStatus:
        call.note("kind", call.container.kind)
        call.note("name", call.container.name)
        return await service.delete(call.container)

    async def renew_identity(call: Call) -> ContainerStatus:
        return await service.renew_identity(call.container)

    view, change, status = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER, ContainerStatus
    return [
        Endpoint("GET", ONE, view, show, "One container", response=status),
        Endpoint(
            "PATCH",
            ONE,
            change,
            patch,
            "Rename, resize or switch",
            PatchContainer,
            status,
            aliases=_ALIASES,
            refusals=_REFUSE_PATCH,
            example={"power": "off"},
            act="container.change",
        ),
        Endpoint(
            "DELETE",
            ONE,
            change,
            delete,
            "Delete a container and all it has",
            response=status,
            status=202,
            act="container.delete",
        ),
        Endpoint(
            "POST",
            f"{ONE}/identity",
            Policy.GOVERN_CONTAINER,
            renew_identity,
            "Give the agent another key; the one before opens nothing any more",
            response=status,
            status=202,
            refusals=(BeingDeleted,),
            name="renewIdentity",
            act="identity.renew",
        ),
        Endpoint("GET", f"{ONE}/status", view, show, "The whole report of one container", response=status),
    ]


def _workspace_endpoints(service: ContainerService) -> list[Endpoint]:
    async def retry(call: Call) -> ContainerStatus:
        return await service.retry_workspace(call.container)

    return [
        Endpoint(
            "POST",
            f"{ONE}/workspace/retry",
            Policy.CHANGE_CONTAINER,
            retry,
            "Clone again what could not be cloned, and run the start script once more",
            response=ContainerStatus,
            status=202,
            refusals=(BeingDeleted, WorkspaceHasNothing),
            name="retryWorkspace",
            act="workspace.retry",
        ),
    ]


def _power_endpoints(service: ContainerService, games: GameService) -> list[Endpoint]:
    async def start(call: Call) -> ContainerStatus:
        return await service.set_power(call.container, Power.ON)

    async def stop(call: Call) -> ContainerStatus:
        return await service.set_power(call.container, Power.OFF)

    async def kill(call: Call) -> ContainerStatus:
        return await (games if call.container.game is not None else service).kill(call.container)

    async def restart(call: Call) -> ContainerStatus:
        return await (games if call.container.game is not None else service).restart(call.container)

    power, status, wish = Policy.POWER_CONTAINER, ContainerStatus, (BeingDeleted,)
    # Of a game server an agent is asked, whose guest stays up.
    order = (*wish, *REFUSED_BY_AGENT, AgentTooOld, ProcessPending, ProcessNotRunning, ProcessSwitchedOff)
    verbs = (
        ("start", start, "Switch a container on", wish),
        ("stop", stop, "Switch a container off", wish),
        ("kill", kill, "Switch a container off at once", order),
        ("restart", restart, "Stop and start a container", order),
    )
    return [
        Endpoint(
            "POST",
            f"{ONE}/{verb}",
            power,
            handler,
            say,
            response=status,
            status=202,
            refusals=refusals,
            about=_ABOUT_POWER,
            act=f"container.{verb}",
        )
        for verb, handler, say, refusals in verbs
    ]


def _note_wish(call: Call, wish: CreateContainer | PatchContainer) -> None:
    """Note what is named in a wish, such as the name or a size; never the text of a script, which may hold secrets."""
    named = msgspec.to_builtins(wish)
    sizes = named.pop("resources") or {}
    repository = named.pop("repository", None) or {}
    # Names alone: a value may be a password.
    if variables := named.pop("variables", None):
        named["variables"] = ", ".join(sorted(variables))
    if not named.get("acceptEula"):
        named.pop("acceptEula", None)
    if named.pop("startScript", None) is not None:
        named["hasStartScript"] = True
    if repository:
        named["repository"], named["branch"] = hide_secrets(repository["url"]), repository["branch"]
    for key, value in {**named, **sizes}.items():
        call.note(key, value)
