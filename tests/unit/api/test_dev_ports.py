"""The ports of `make dev`, as the environment moves them."""

from __future__ import annotations

import pytest

from zlh_api.dev.ports import DevPorts, read_ports
from zlh_api.dev.traefik import TraefikSettings
from zlh_api.edge.traefik_static import render_static_file
from zlh_common.errors import ConfigInvalid


def test_there_is_a_pool_for_game_servers() -> None:
    """Of twenty ports, elsewhere or of none where somebody wants that."""
    assert read_ports({}) == DevPorts(8400, 8080, 8401, 8480, range(25500, 25520))
    assert read_ports({"ZLH_GAME_PORTS": "30000-30000"}).games == range(30000, 30001)
    assert read_ports({"ZLH_GAME_PORTS": "none"}).games == range(0)


@pytest.mark.parametrize("text", ["5", "9-1", "0-9", "1-70000", "x-y", "1-2-3", "20000-29999", "8400-8401", "²-³"])
def test_what_is_no_pool_is_refused(text: str) -> None:
    """The variable is named."""
    with pytest.raises(ConfigInvalid, match="ZLH_GAME_PORTS"):
        read_ports({"ZLH_GAME_PORTS": text})


def test_the_proxy_opens_the_pool_on_this_machine_alone(tmp_path: object) -> None:
    """Both protocols of each port."""
    text = render_static_file(TraefikSettings(tmp_path, tmp_path, 1, 2, games=range(25500, 25501)).static)  # type: ignore[arg-type]
    assert '"127.0.0.1:25500/tcp"' in text
    assert '"127.0.0.1:25500/udp"' in text
