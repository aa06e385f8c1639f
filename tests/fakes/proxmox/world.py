"""A fake cluster with its API and its shells, and the settings by which a driver finds them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import asyncssh
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fakes.proxmox.misbehaviour import Killer
from fakes.proxmox.node_shell import FakeNodeShells
from fakes.proxmox.server import FakeProxmox
from fakes.proxmox.state import Cluster
from zlh_api.drivers.proxmox.client import Access
from zlh_api.drivers.proxmox.driver import ProxmoxSettings
from zlh_api.drivers.proxmox.guest_files import ShellAccess
from zlh_api.drivers.proxmox.making import Recipe
from zlh_api.drivers.proxmox.network_rule import Surroundings
from zlh_api.drivers.proxmox.tasks import Polling

NODES = ("pve1", "pve2", "pve3")
ARCHIVE = "local:vztmpl/zlh.tar.zst"
TEMPLATE = 9000
POLLING = Polling(first_s=0.02, most_s=0.1, settle_s=0.6)


class ProxmoxWorld:
    """Cluster, API, shells, and where their keys lie."""

    def __init__(self, folder: Path, *, template: int | str = ARCHIVE) -> None:
        self.folder = folder
        self.cluster = Cluster(*NODES, roots=folder / "roots")
        self.template = template
        if isinstance(template, int):
            self.cluster.add_template(template)
        key, host_key = _make_ssh_key(), _make_ssh_key()
        _write_certificate(folder)
        self.killer = Killer()
        self.api = FakeProxmox(self.cluster, self.killer, certificate=folder / "pve.crt", key=folder / "pve.key")
        self.shells = FakeNodeShells(
            self.cluster, self.killer, mount_root=folder / "mounts", host_key=host_key, user_key=key
        )
        (folder / "token").write_text(f"{self.api.secret}\n")
        (folder / "ssh.key").write_bytes(key.export_private_key())
        for name in ("token", "ssh.key"):
            (folder / name).chmod(0o600)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Answer for the length of the block."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.api.serve())
            await stack.enter_async_context(self.shells.serve())
            await asyncio.to_thread((self.folder / "known_hosts").write_text, self.shells.known_hosts)
            yield

    def access(self, *, timeout_s: float = 2.0) -> Access:
        """Return how the API is reached."""
        return Access(
            self.api.url,
            self.api.token_id,
            self.folder / "token",
            ca=self.folder / "pve.crt",
            change_timeout_s=timeout_s,
            look_timeout_s=timeout_s,
        )

    def settings(self, *, timeout_s: float = 2.0) -> ProxmoxSettings:
        """Return what a driver needs to know."""
        return ProxmoxSettings(
            access=self.access(timeout_s=timeout_s),
            shell=ShellAccess(
                user="zlh",
                key=self.folder / "ssh.key",
                known_hosts=self.folder / "known_hosts",
                port=self.shells.port,
                hosts=self.shells.hosts,
                mount_root=self.shells.mount_root,
            ),
            recipe=Recipe(self.template, self.cluster.storage, pool="zlh"),
            surroundings=surroundings(),
            polling=POLLING,
            switches_good_for_s=0.0,
        )


def surroundings() -> Surroundings:
    """Return the network that guests of tests are in."""
    return Surroundings(
        bridge="vmbr1",
        prefix=16,
        gateway="10.20.0.1",
        allowed_from=("10.20.0.2", "10.20.0.3"),
        artifact_servers=("10.20.0.4",),
        artifact_port=443,
        name_servers=("9.9.9.9",),
    )


@asynccontextmanager
async def open_world(*, template: int | str = ARCHIVE) -> AsyncIterator[ProxmoxWorld]:
    """Lend a cluster in a folder of its own, answering."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="pve-"))
    try:
        world = await asyncio.to_thread(ProxmoxWorld, folder, template=template)
        async with world.serve():
            yield world
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def _make_ssh_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def _write_certificate(folder: Path) -> None:
    """Write a certificate that signs itself, as a fresh Proxmox has one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pve1.example.org")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=2)).add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "pve.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "pve.key").write_bytes(text)
    (folder / "pve.key").chmod(0o600)
