"""The whole configuration as a value."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zlh_api.config.driver_tables import DriverSection, LxcDriverSection, ProcessDriverSection, ProxmoxDriverSection
from zlh_api.config.edge_tables import DnsSection, TraefikSection
from zlh_api.config.section import ListenPort, Section
from zlh_api.config.tables import (
    ArtifactsSection,
    DatabaseSection,
    HistorySection,
    ModsSection,
    QuotaSection,
    RateLimitsSection,
    ReconcilerSection,
    ResourcesSection,
)


class ApiConfig(Section, kw_only=True):
    """Everything the API must know before it starts."""

    listen_host: str = "127.0.0.1"
    listen_port: ListenPort = 8400
    # Where browsers find the portal; the exact Origin of its requests.
    portal_url: str
    # Addresses and blocks of the proxies whose X-Forwarded-For is believed; nobody else's is.
    trusted_proxies: tuple[str, ...] = ()
    # Container hosts are `<label>.<domain>`, reached at this scheme and port.
    container_domain: str
    container_scheme: Literal["http", "https"] = "https"
    container_port: ListenPort = 443
    # The two private CAs and the API's own client key; 0700.
    keys_dir: Path
    state_dir: Path
    # Written by each backup once it is whole: `{"finished_at": RFC 3339, "bytes": n}`.
    backup_record: Path = Path("/var/lib/zlh/backup/last.json")
    driver: Literal["process", "lxc", "proxmox"] = "process"
    agent_port: ListenPort = 7443
    channels: tuple[Literal["stable", "candidate"], ...] = ("stable",)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    history: HistorySection = HistorySection()
    resources: ResourcesSection = ResourcesSection()
    quota: QuotaSection = QuotaSection()
    rate_limits: RateLimitsSection = RateLimitsSection()
    reconciler: ReconcilerSection = ReconcilerSection()
    database: DatabaseSection
    artifacts: ArtifactsSection
    process: ProcessDriverSection | None = None
    proxmox: ProxmoxDriverSection | None = None
    lxc: LxcDriverSection | None = None
    traefik: TraefikSection
    mods: ModsSection | None = None
    # Every one of them has a record for each host; none at all where a wildcard is kept by hand.
    dns: tuple[DnsSection, ...] = ()

    @property
    def api_url(self) -> str:
        """Where programs on this machine reach the API."""
        return f"http://{self.listen_host}:{self.listen_port}"

    @property
    def driver_section(self) -> DriverSection:
        """The table of the driver that is used; `find_problems` has seen that it is there."""
        section: DriverSection | None = getattr(self, self.driver)
        assert section is not None
        return section
