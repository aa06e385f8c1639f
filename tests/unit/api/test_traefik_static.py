"""Traefik's static file: values are quoted, uploads last, and what is not wanted is not there."""

from __future__ import annotations

import yaml

from zlh_api.edge.traefik_static import Acme, StaticSetting, WebEntry, render_static_file

PLAIN = StaticSetting("/routes", "127.0.0.1:8401", (WebEntry("web", "127.0.0.1:8080"),))
WHOLE = StaticSetting(
    "/routes",
    "127.0.0.1:8401",
    (
        WebEntry("web", ":80", redirects_to="websecure"),
        WebEntry("websecure", ":443", trusted=("192.0.2.0/24",)),
    ),
    (("tcp", 25565), ("udp", 25565)),
    acme=Acme("acme", "ops@example.org", "/var/lib/traefik/acme.json", "rfc2136", ask=("192.0.2.53:53",)),
)


def test_a_folders_name_cannot_become_yaml() -> None:
    """Whatever stands in a path is one value."""
    folder = '/a: "b"\n#c {x}'
    read = yaml.safe_load(render_static_file(StaticSetting(folder, "127.0.0.1:1", ())))
    assert read["providers"]["file"] == {"directory": folder, "watch": True}


def test_uploads_are_not_cut_and_nobody_is_believed() -> None:
    """Neither a minute's limit on requests, nor headers of strangers, nor certificates that nobody asked for."""
    read = yaml.safe_load(render_static_file(PLAIN))
    web = read["entryPoints"]["web"]
    assert web["transport"]["respondingTimeouts"]["readTimeout"] == "0s"
    assert web["http"] == {"aliasHeadersStrategy": "delete"}
    assert "forwardedHeaders" not in web
    assert "certificatesResolvers" not in read
    assert set(read["entryPoints"]) == {"web", "traefik"}


def test_the_whole_edge_of_a_production() -> None:
    """Plain HTTP is sent on, the proxy in front is believed, games have their pool, certificates come by DNS-01."""
    read = yaml.safe_load(render_static_file(WHOLE))
    entries = read["entryPoints"]
    assert entries["web"]["http"]["redirections"]["entryPoint"]["to"] == "websecure"
    assert entries["websecure"]["forwardedHeaders"] == {"trustedIPs": ["192.0.2.0/24"]}
    assert entries["game-tcp-25565"]["address"] == ":25565/tcp"
    assert entries["game-udp-25565"]["address"] == ":25565/udp"
    assert read["certificatesResolvers"]["acme"]["acme"] == {
        "email": "ops@example.org",
        "storage": "/var/lib/traefik/acme.json",
        "dnsChallenge": {
            "provider": "rfc2136",
            "resolvers": ["192.0.2.53:53"],
            "propagation": {"disableANSChecks": True, "requireAllRNS": True},
        },
    }
