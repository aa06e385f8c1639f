"""The figures of agents and of the newest roll-out in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zlh_common.exposition import render_gauge
from zlh_common.schema.rollouts import AgentVersionCount, MemberState, RolloutState


def render_rollout_metrics(
    versions: Sequence[AgentVersionCount], state: RolloutState | None, members: Mapping[str, int]
) -> str:
    """Return every figure; of roll-outs there are none before the first."""
    lines = [
        render_gauge(
            "zlh_agents",
            "Containers by the version that their agent says to be.",
            [({"version": each.version}, each.containers) for each in versions],
        ),
        render_gauge(
            "zlh_agents_online",
            "Those of them whose agent is heard.",
            [({"version": each.version}, each.online) for each in versions],
        ),
        render_gauge(
            "zlh_rollout_state",
            "Whether the newest roll-out is in this state.",
            [({"state": each.value}, int(each is state)) for each in RolloutState] if state is not None else [],
        ),
        render_gauge(
            "zlh_rollout_containers",
            "Containers of the newest roll-out by where they stand.",
            [({"state": each.value}, members.get(each.value, 0)) for each in MemberState] if state is not None else [],
        ),
    ]
    return "".join(lines)
