"""The tables of the file that say how names lead to containers: the proxy and the DNS providers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from zlh_api.config.section import ListenPort, Section

# A range such as "25500-25599".
PortRange = Annotated[str, Meta(pattern=r"^[0-9]{1,5}-[0-9]{1,5}$(?!\n)")]
# In seconds, as every provider takes it.
Ttl = Annotated[int, Meta(ge=60, le=86_400)]


class SftpSection(Section, kw_only=True):
    """The machine of the proxy, where its directory is written over SFTP."""

    host: str
    port: ListenPort = 22
    user: str = "zlh"
    key: Path
    # The keys by which the machine is known; any other one is refused.
    known_hosts: Path


class TlsSection(Section, kw_only=True):
    """By which certificates the proxy speaks for container hosts."""

    # A certificate resolver of the proxy's static file; None where its default certificate serves every host.
    resolver: str | None = None
    # One certificate for `*.<domain>` in place of one for each host.
    wildcard: bool = True
    # What the public certificates are checked by in the readiness proof, where that is not what this system trusts.
    ca: Path | None = None


class GamePortsSection(Section, kw_only=True):
    """The ports that the proxy's static file declares for game servers; each is one entry point there."""

    tcp: PortRange | None = None
    udp: PortRange | None = None
    # Whether each DNS provider has an SRV record where players' programs ask for one, so that people type no port.
    service_records: bool = True


class TraefikSection(Section, kw_only=True):
    """The proxy: the directory that only we write, its private API, and where its public side answers."""

    # On the proxy's own machine, where `sftp` says how to reach that.
    directory: Path
    # Foreign files that stop the proxy from loading any are moved here; beside the directory, never within.
    quarantine: Path | None = None
    sftp: SftpSection | None = None
    # Of the entry point that speaks to browsers.
    entry_point: str = "web"
    api_url: str
    # What the certificate of its API is checked by, and the credentials of that API: a file with `user:password`.
    api_ca: Path | None = None
    api_credentials: Path | None = None
    web_url: str
    # Where the proxy reaches the API, if that is not where this process listens; all processes must name the same.
    backend_url: str | None = None
    tls: TlsSection | None = None
    games: GamePortsSection | None = None

    @property
    def quarantine_folder(self) -> Path:
        """Where files go that stop the proxy: beside the directory, unless it is said."""
        return self.quarantine or self.directory.with_name("quarantine")


class ProviderSection(Section, kw_only=True):
    """What every DNS provider has."""

    # As people call it; no two may have the same.
    name: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
    # The container domain, or one above it.
    zone: str
    # Where hosts lead: addresses, or one host name for CNAME records. Game hosts have their own where they differ.
    target: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    game_target: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    ttl: Ttl = 300
    # Name servers that are asked for the proof, as `address` or `address:port`; without any the proof is the
    # provider's own word.
    ask: Annotated[tuple[str, ...], Meta(max_length=4)] = ()


class CloudflareSection(ProviderSection, kw_only=True, tag_field="kind", tag="cloudflare"):
    """Cloudflare: each record carries our mark in its comment."""

    # A file with an API token that may read the zone and edit its records.
    token: Path
    url: str = "https://api.cloudflare.com/client/v4"
    # Whether dev hosts are proxied; game hosts never are.
    proxied: bool = True


class TechnitiumSection(ProviderSection, kw_only=True, tag_field="kind", tag="technitium"):
    """Technitium: each record carries our mark in its comments."""

    url: str
    token: Path


class Rfc2136Section(ProviderSection, kw_only=True, tag_field="kind", tag="rfc2136"):
    """Any server that takes dynamic updates and zone transfers with a TSIG key: our mark is a TXT record beside."""

    server: str
    port: ListenPort = 53
    key_name: str
    # A file with the secret in base64.
    key: Path
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"


DnsSection = CloudflareSection | TechnitiumSection | Rfc2136Section


def parse_ports(text: str | None) -> range:
    """Return the ports of a range; none for what is no range."""
    low, _, high = (text or "0-0").partition("-")
    return range(int(low), int(high) + 1) if 1 <= int(low) <= int(high) <= 65535 else range(0)
