"""HTTP of the audit, for operators."""

from __future__ import annotations

from zlh_api.audit.service import Auditor
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_common.schema.audit import AuditStatus


def endpoints(auditor: Auditor) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def show(_call: Call) -> Answer:
        return Answer(await auditor.fetch_status(), headers={"Cache-Control": "no-store"})

    async def look(_call: Call) -> AuditStatus:
        await auditor.ask_look()
        return await auditor.fetch_status()

    view, manage, status = Policy.VIEW_PLATFORM, Policy.MANAGE_PLATFORM, AuditStatus
    return [
        Endpoint(
            "GET", "/api/audit", view, show, "What the last look at everything found", response=status, is_stable=False
        ),
        Endpoint(
            "POST",
            "/api/audit",
            manage,
            look,
            "Look at everything now",
            response=status,
            status=202,
            name="askForAudit",
            act="audit.look",
        ),
    ]
