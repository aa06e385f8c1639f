"""One guest of a fake cluster, what is done to it, and a stranger beside it that must not be touched."""

from __future__ import annotations

import asyncio

import pytest

from component.drivers.proxmox_rig import ProxmoxRig
from fakes.proxmox.world import TEMPLATE, ProxmoxWorld
from fakes.warrant import FakeWarrant
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import Identity
from zlh_common.errors import ZlhError

IDENTITY = Identity(b"certificate", b"the-private-key-of-the-agent", b"ca", b"{}")
TRIES = 60


class Trial:
    """One guest of a cluster, and a stranger beside it."""

    def __init__(self, world: ProxmoxWorld, *, is_patient: bool = False, timeout_s: float = 2.0) -> None:
        self.world, self.cluster, self.orders = world, world.cluster, world.api.orders
        self.rig = ProxmoxRig(world, is_patient=is_patient, timeout_s=timeout_s)
        self.driver = self.rig.driver
        self.warrant = FakeWarrant(self.rig.plan())
        self.cluster.add_stranger(555, node="pve2")
        self.codes: list[str] = []

    async def act(self, name: str) -> None:
        """Do it once."""
        driver, plan, warrant = self.driver, self.warrant.plan, self.warrant
        match name:
            case "create":
                await driver.ensure_created(plan, warrant)
            case "close":
                await driver.ensure_closed(plan, warrant)
            case "size":
                await driver.ensure_sized(plan, warrant)
            case "identity":
                await driver.ensure_identity(plan, IDENTITY, warrant)
            case "start":
                await driver.ensure_started(plan, warrant)
            case "stop" | "stop-in-order":
                await driver.ensure_stopped(plan, warrant, at_once=name == "stop")
            case _:
                await driver.ensure_destroyed(plan, warrant)

    async def persist(self, name: str) -> None:
        """Do it again and again as the reconciler would: what fails is tried again."""
        for _ in range(TRIES):
            try:
                await self.act(name)
            except ZlhError as error:
                self.codes.append(error.code)
                if not error.retryable:
                    raise
                await asyncio.sleep(0.02)
                continue
            return
        pytest.fail(f"{name} never came to its end: {self.codes}")

    async def bring(self, *names: str) -> None:
        """Do these without anything going wrong."""
        for name in names:
            await self.act(name)

    async def state(self) -> Guest:
        """Look."""
        return (await self.driver.observe(self.warrant.plan)).state

    async def finish(self) -> None:
        """Take the guest away, and see that nothing is left and nobody was hurt."""
        self.orders.waiting.clear()
        await self.persist("destroy")
        assert await self.state() is Guest.ABSENT
        kept = {555, TEMPLATE} if TEMPLATE in self.cluster.guests else {555}
        assert set(self.cluster.guests) == kept
        assert self.cluster.is_quiet()
        stranger = self.cluster.guests[555]
        assert not stranger.touched
        assert stranger.config["hostname"] == "precious"
        assert list(self.cluster.guests[555].config) == list(self.cluster.add_stranger(556).config)
