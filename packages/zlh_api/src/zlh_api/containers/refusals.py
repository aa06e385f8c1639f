"""What is refused of a wish for a container, beside what its limits, addons and workspace have of their own."""

from __future__ import annotations

from zlh_common.errors import ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.catalog import CatalogProblem


class CannotInstall(ZlhError):
    """What was asked for is not in the catalog."""

    code, status = "cannot_install", 422

    def __init__(self, problems: tuple[CatalogProblem, ...]) -> None:
        super().__init__(" ".join(problem.message for problem in problems), problems=problems)


class RuntimeMissing(ZlhError):
    """A dev container needs a runtime."""

    code, status = "runtime_missing", 422

    def __init__(self) -> None:
        super().__init__('A dev container needs a runtime, such as {"runtime": "node", "version": "24"}.')


class TemplateNotOffered(ZlhError):
    """The catalog does not have this game template."""

    code, status = "template_not_offered", 422

    def __init__(self, template: str, *, suggestion: str | None = None) -> None:
        super().__init__(
            f"The catalog of this installation has no game template {template}.",
            template=template,
            suggestion=suggestion,
        )


class NameTaken(ZlhError):
    """The customer already has a container of this name."""

    code, status = "name_taken", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"You already have a container called {name}; choose another name.", name=name)


class NameReserved(ZlhError):
    """Only the platform gives names in the form of a container label."""

    code, status = "name_reserved", 422

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has the form of a container label, which only we give out. Choose another.", name=name
        )


class NoCustomer(ZlhError):
    """The caller belongs to no customer that they may act for."""

    code, status = "no_customer", 403

    def __init__(self) -> None:
        super().__init__("You belong to no customer that you may create containers for; ask an owner for a role.")


class BeingDeleted(ZlhError):
    """The container is on its way out."""

    code, status = "being_deleted", 409

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Container {vmid} is being deleted; nothing about it can be changed any more.", vmid=vmid)


class AgentTooOld(ZlhError):
    """The agent of the container is of before it could do what is asked of it."""

    code, status = "agent_too_old", 409

    def __init__(self, what: str) -> None:
        super().__init__(f"The agent of this container cannot {what}; restart the container with a newer one.")


class ContainerOff(ZlhError):
    """The container is off, so nothing in it can be reached."""

    code, status = "container_off", 409

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Container {vmid} is off; start it, and try again.", vmid=vmid)


class ContainerSuspended(ZlhError):
    """The container is off for as long as its customer is suspended."""

    code, status = "container_suspended", 409

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Container {vmid} is off, since its customer is suspended.", vmid=vmid)


class ContainerNotUp(ZlhError):
    """The container is still on its way up, and its agent has said nothing yet."""

    code, status, retryable = "container_not_up", 503, True

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Container {vmid} is being made or is starting; try again once it runs.", vmid=vmid)
