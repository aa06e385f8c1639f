"""What the configuration tells the parts that are no drivers."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from zlh_api.access.question_limits import QuestionRates
from zlh_api.audit.service import AuditSetting
from zlh_api.config.edge_tables import GamePortsSection, parse_ports
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import RateLimitsSection, RateSection, ReconcilerSection
from zlh_api.containers.rules import spell
from zlh_api.containers.service import AGENT, Hosting
from zlh_api.database.pool import Database
from zlh_api.drivers.port import ContainerDriver
from zlh_api.edge.model import PLATFORM_OWNER, ProxySetting, TlsSetting
from zlh_api.edge.platform_routes import FILE_NAMES
from zlh_api.edge.traefik_static import PRIVATE_API_FILE
from zlh_api.games.model import GamePool
from zlh_api.history.service import Keeping
from zlh_api.proof.patrol_facts import ConfiguredProvider, PatrolFacts
from zlh_api.proof.service import ProofSetting
from zlh_api.reconcile.pace import SEATS_PER_WORKER, Pace
from zlh_api.reconcile.steps import Settings
from zlh_api.web.open_calls import OpenSettings
from zlh_api.web.rate_limits import Rates, RateSettings
from zlh_api.web.token_buckets import Rate
from zlh_common.addons import ADDON_PORTS
from zlh_common.schema.resources import Limits, Resources


def state_limits(config: ApiConfig, driver: ContainerDriver) -> Limits:
    """Return what sizes there are, and which of them the driver holds containers to."""
    sizes = config.resources
    enforced = tuple(spell(name) for name in Resources.__struct_fields__ if name in driver.enforced_limits)
    return Limits(default=sizes.default.limits, maximum=sizes.maximum.limits, enforced=enforced, driver=config.driver)


def proxy_setting(config: ApiConfig) -> ProxySetting:
    """Return what route files say of the proxy and of us."""
    traefik = config.traefik
    tls = TlsSetting(traefik.tls.resolver, is_wildcard=traefik.tls.wildcard) if traefik.tls is not None else None
    return ProxySetting(config.container_domain, traefik.entry_point, traefik.backend_url or config.api_url, tls)


def hosting(config: ApiConfig) -> Hosting:
    """Return how container hosts look from outside."""
    return Hosting(
        config.container_domain,
        config.container_scheme,
        config.container_port,
        has_dns=bool(config.dns),
        has_services=bool(config.dns) and has_services(config),
        game_pool=game_pool(config),
        reserved_ports={config.agent_port: AGENT, **{port: name for name, port in ADDON_PORTS.items()}},
    )


def game_pool(config: ApiConfig) -> GamePool:
    """Return the ports that the proxy has for game servers."""
    games = config.traefik.games or GamePortsSection()
    return GamePool(tcp=parse_ports(games.tcp), udp=parse_ports(games.udp))


def has_services(config: ApiConfig) -> bool:
    """Tell whether DNS is to tell the public ports of game servers."""
    return (config.traefik.games or GamePortsSection()).service_records


def audit_setting(config: ApiConfig) -> AuditSetting:
    """Return what the audit takes for ours."""
    return AuditSetting(
        address_block=config.driver_section.address_block,
        proxy=proxy_setting(config),
        platform_files=FILE_NAMES | {PRIVATE_API_FILE},
        platform_owner=PLATFORM_OWNER,
    )


def proof_setting(config: ApiConfig) -> ProofSetting:
    """Return what the prober must know."""
    return ProofSetting(domain=config.container_domain, portal_host=urlsplit(config.portal_url).hostname or "")


def patrol_facts(config: ApiConfig, database: Database) -> PatrolFacts:
    """Return what the page of the edge shows of directory and providers."""
    traefik = config.traefik
    return PatrolFacts(
        database,
        tuple(ConfiguredProvider(each.name, str(each.__struct_config__.tag), each.zone) for each in config.dns),
        str(traefik.quarantine_folder),
    )


def step_settings(config: ApiConfig) -> Settings:
    """Return what the steps of the reconciler must know."""
    return Settings(
        address_block=config.driver_section.address_block,
        installation=config.driver_section.installation,
        agent_port=config.agent_port,
        trusted_root=config.artifacts.trusted_root,
        proxy=proxy_setting(config),
        browser_host=hosting(config).browser_host,
        game_pool=game_pool(config),
    )


def rate_settings(section: RateLimitsSection) -> RateSettings:
    """Return how often anybody may call."""
    return RateSettings(
        credential=Rates(_rate(section.reads), _rate(section.changes)),
        customer=Rates(_rate(section.customer_reads), _rate(section.customer_changes)),
        address=Rates(_rate(section.address_reads), _rate(section.address_changes)),
    )


def question_rates(section: RateLimitsSection) -> QuestionRates:
    """Return how often the proxy may ask who may open what."""
    return QuestionRates(
        sign_in=_rate(section.access_sign_in),
        container=_rate(section.access_container),
        strangers=_rate(section.access_strangers),
        address=_rate(section.address_reads),
    )


def _rate(section: RateSection) -> Rate:
    return Rate(section.per_s, section.burst)


def open_settings(section: RateLimitsSection) -> OpenSettings:
    """Return how many calls may stay open."""
    return OpenSettings(
        event_streams_per_user=section.event_streams_per_user,
        event_streams=section.event_streams,
        sockets_per_user=section.sockets_per_user,
        sockets=section.sockets,
        transfers_per_user=section.transfers_per_user,
        transfers_per_customer=section.transfers_per_customer,
        transfers=section.transfers,
    )


def make_pace(section: ReconcilerSection) -> Pace:
    """Return how fast the reconciler goes."""
    return Pace(
        workers=section.workers,
        most_workers=section.workers * SEATS_PER_WORKER,
        drift_s=section.drift_s,
        lease_s=section.lease_s,
        margin_s=section.lease_s / 10,
    )


def keeping(config: ApiConfig) -> Keeping:
    """Return how much history is kept."""
    kept = config.history
    return Keeping(kept.entries, timedelta(hours=kept.samples_h))
