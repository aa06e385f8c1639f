"""HTTP of mods."""

from __future__ import annotations

from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.drivers.port import SystemAway
from zlh_api.mods.modrinth import MAX_SEARCH_OFFSET
from zlh_api.mods.refusals import ModProjectUnknown, ModrinthRefused, ModsImpossible, ModsNotConfigured, ModsTooWide
from zlh_api.mods.service import ModService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_part
from zlh_api.web.query import short_text, whole_number
from zlh_common.schema.mod_refusals import (
    GameFilesChanging,
    ModChangeImpossible,
    ModChangeUnknown,
    ModRollbackImpossible,
    ModsBusy,
    ModsChanged,
    ModsNotOffered,
    ModUnknown,
)
from zlh_common.schema.mods import (
    ChangeProgress,
    FoundMods,
    IdentifiedFiles,
    IdentifyMods,
    ModPlan,
    ModsReport,
    ModWish,
    OfferedVersions,
    PlanMods,
    RollBackMods,
    SwitchMod,
    UpdateMod,
)

EVERY = "/api/game/{vmid}/mods"
# What people do to all of them has its own place there.
ONE = f"{EVERY}/{{project:(?!(?:changes|identify|plan|rollback|search|verify)(?:/|$))[^/]+}}"
QUERY = short_text("query", "Words to look for; left out, what is used most.", max_chars=200)
OFFSET = whole_number("after", "What `next` of the page before has said.", low=0, high=MAX_SEARCH_OFFSET, default=0)

_ASKED = (*REFUSED_BY_AGENT, ModsNotOffered)
_LOOKED_UP = (ModsNotOffered, ModsNotConfigured, ModrinthRefused, SystemAway)
_PLANNED = (*REFUSED_BY_AGENT, *_LOOKED_UP, ModsTooWide)
# What an agent may say of any change.
_BEGUN = (ModsBusy, GameFilesChanging, ModChangeImpossible)
_SWITCHED = (*_ASKED, *_BEGUN, ModsChanged, ModUnknown)
_CHANGED = (*_PLANNED, *_BEGUN, ModsImpossible, ModsChanged, ModUnknown)


def endpoints(service: ModService) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [*_looking_endpoints(service), *_changing_endpoints(service), *_one_endpoints(service)]


def _looking_endpoints(service: ModService) -> list[Endpoint]:
    async def report(call: Call) -> ModsReport:
        return await service.report(call.container)

    async def search(call: Call) -> FoundMods:
        return await service.search(call.container, call.asked(QUERY) or "", offset=call.asked(OFFSET))

    async def plan(call: Call) -> ModPlan:
        return await service.plan(call.container, call.body)

    async def find_change(call: Call) -> ChangeProgress:
        return await service.find_change(call.container, read_part("change", call.request.match_info["change"]))

    async def verify(call: Call) -> ModsReport:
        return await service.verify(call.container)

    view, change = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    return [
        Endpoint("GET", EVERY, view, report, "Mods that are there", response=ModsReport, refusals=_ASKED),
        Endpoint(
            "GET", f"{EVERY}/search", view, search, "Mods that fit the server", response=FoundMods,
            query=(QUERY, OFFSET), refusals=_PLANNED,
        ),
        Endpoint(
            "POST", f"{EVERY}/plan", change, plan, "What a change would do, and what is in its way", PlanMods, ModPlan,
            refusals=_PLANNED, name="planMods",
        ),
        Endpoint(
            "GET", f"{EVERY}/changes/{{change}}", view, find_change, "How far a change is", response=ChangeProgress,
            refusals=(*_ASKED, ModChangeUnknown),
        ),
        Endpoint(
            "POST", f"{EVERY}/verify", change, verify, "Compare every file with its hash", response=ModsReport,
            refusals=_ASKED, name="verifyMods", act="mod.verify",
        ),
    ]  # fmt: skip


def _changing_endpoints(service: ModService) -> list[Endpoint]:
    async def begin(call: Call) -> ChangeProgress:
        _note_wish(call, call.body)
        return await service.change(call.container, call.body, actor=call.caller.user_id)

    async def roll_back(call: Call) -> ChangeProgress:
        call.note("change", call.body.change_id)
        return await service.roll_back(call.container, call.body, actor=call.caller.user_id)

    async def identify(call: Call) -> IdentifiedFiles:
        call.note("adopt", call.body.adopt)
        return await service.identify(call.container, adopt=call.body.adopt, actor=call.caller.user_id)

    change, told = Policy.CHANGE_CONTAINER, ChangeProgress
    return [
        Endpoint(
            "POST", EVERY, change, begin, "Install, update and remove mods in one change", PlanMods, told, 202,
            refusals=_CHANGED, name="changeMods", act="mod.change", creates=True,
            example={"install": [{"project": "sodium"}]},
        ),
        Endpoint(
            "POST", f"{EVERY}/rollback", change, roll_back, "Undo the last change", RollBackMods, told, 202,
            is_body_optional=True, refusals=(*_ASKED, *_BEGUN, ModRollbackImpossible), name="rollBackMods",
            act="mod.roll-back", creates=True,
        ),
        Endpoint(
            "POST", f"{EVERY}/identify", change, identify, "Look files up that nobody knows, by their hashes",
            IdentifyMods, IdentifiedFiles, is_body_optional=True, refusals=(*_PLANNED, *_BEGUN, ModsChanged),
            name="identifyMods", act="mod.identify",
        ),
    ]  # fmt: skip


def _one_endpoints(service: ModService) -> list[Endpoint]:
    async def remove(call: Call) -> ChangeProgress:
        project = _project(call)
        asked = PlanMods(remove=(project,))
        return await service.change(call.container, asked, actor=call.caller.user_id, of=project)

    async def versions(call: Call) -> OfferedVersions:
        return await service.find_versions(call.container, _project(call))

    async def update(call: Call) -> ChangeProgress:
        body: UpdateMod = call.body
        call.note("version", body.version)
        project = _project(call)
        wish = ModWish(project=project, version=body.version, channel=body.channel)
        asked = PlanMods(
            install=(wish,) if body.version else (),
            update=() if body.version else (project,),
            channel=body.channel,
            reason=body.reason,
        )
        return await service.change(call.container, asked, actor=call.caller.user_id, of=project)

    async def repair(call: Call) -> ChangeProgress:
        return await service.repair(call.container, _project(call), actor=call.caller.user_id)

    def switch(verb: str, *, is_enabled: bool | None = None, is_pinned: bool | None = None) -> Endpoint:
        async def handle(call: Call) -> ChangeProgress:
            act = SwitchMod(project_id=_project(call), is_enabled=is_enabled, is_pinned=is_pinned)
            return await service.switch(call.container, act, actor=call.caller.user_id)

        return Endpoint(
            "POST", f"{ONE}/{verb}", change, handle, f"{verb.capitalize()} a mod", response=told, status=202,
            refusals=_SWITCHED, name=f"{verb}Mod", act=f"mod.{verb}",
        )  # fmt: skip

    change, told = Policy.CHANGE_CONTAINER, ChangeProgress
    return [
        Endpoint(
            "GET", f"{ONE}/versions", Policy.VIEW_CONTAINER, versions, "Versions of a mod that fit the server",
            response=OfferedVersions, refusals=(*_LOOKED_UP, ModProjectUnknown),
        ),
        Endpoint(
            "DELETE", ONE, change, remove, "Remove a mod, and what it alone has needed", response=told, status=202,
            refusals=_CHANGED, name="removeMod", act="mod.remove",
        ),
        Endpoint(
            "POST", f"{ONE}/update", change, update, "Take the newest version that fits, or one", UpdateMod, told, 202,
            is_body_optional=True, refusals=_CHANGED, name="updateMod", act="mod.update",
        ),
        Endpoint(
            "POST", f"{ONE}/repair", change, repair, "Place the file of a mod again, as it was installed",
            response=told, status=202, refusals=_SWITCHED, name="repairMod", act="mod.repair",
        ),
        switch("enable", is_enabled=True),
        switch("disable", is_enabled=False),
        switch("pin", is_pinned=True),
        switch("unpin", is_pinned=False),
    ]  # fmt: skip


def _project(call: Call) -> str:
    """Return the project in the path; a change leads on only where the server has such a mod."""
    found: str = read_part("project", call.request.match_info["project"])
    return found


def _note_wish(call: Call, asked: PlanMods) -> None:
    for name, projects in (
        ("install", [wish.project for wish in asked.install]),
        ("update", ["all"] if asked.update_all else list(asked.update)),
        ("remove", list(asked.remove)),
    ):
        if projects:
            call.note(name, ", ".join(projects)[:200])
