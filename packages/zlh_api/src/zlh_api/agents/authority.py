"""The two private CAs: one signs agents, the other signs the API, so that no agent's key passes as the API.

    agents' CA   signs <owner mark>.agent.zlh.internal, serverAuth
    API CA       signs api.zlh.internal, clientAuth

There is one generation of both, or while they change there are two; the database says how far that is
(`zlh_api.authority`), and this does what it says with the keys.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from zlh_api.agents.certificates import LEAF_LASTS, Issued, issue
from zlh_api.agents.key_folder import Generation, KeyFolder
from zlh_api.agents.standing import Standing
from zlh_common.clock import Clock
from zlh_common.identity_memory import load_identity
from zlh_common.names import API_NAME, OwnerMark, agent_name


@dataclass(frozen=True, slots=True)
class Grant:
    """What one agent is given: its identity, and whom it believes."""

    issued: Issued
    client_ca: bytes
    generation: int
    trusts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _View:
    """What is used at this moment, replaced as a whole."""

    held: Mapping[int, Generation]
    standing: Standing


class Authority:
    """Signs agents and the API. The keys are made once and stay in `folder`, which must be ours alone.

    Any number of API processes may share the folder, and start at once: each key has its own certificate, always.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.keys = KeyFolder(folder, clock)
        self._clock = clock
        held = self.keys.open()
        newest = max(held)
        self._view = _View(held, Standing(newest, newest, min(held)))

    @property
    def standing(self) -> Standing:
        """What this process goes by."""
        return self._view.standing

    @property
    def held(self) -> Mapping[int, Generation]:
        """The generations whose keys this process has and uses."""
        return self._view.held

    @property
    def api_ca(self) -> bytes:
        """What agents trust, as PEM."""
        return self._bundle(self._view)

    def follow(self, held: Mapping[int, Generation], standing: Standing) -> bool:
        """Go by another standing from now on, with these keys; tell whether contexts must be made anew."""
        before, self._view = self._view, _View(dict(held), standing)
        return (_seen_by_agents(before), set(before.held)) != (_seen_by_agents(self._view), set(held))

    def issue_agent(self, owner: OwnerMark, *, after: datetime | None = None) -> Issued:
        """Return a fresh certificate and key for the agent of one container, which last longer than `after`."""
        return self.grant(owner, after=after).issued

    def grant(self, owner: OwnerMark, *, after: datetime | None = None) -> Grant:
        """Return all that an agent is given, of one moment."""
        view = self._view
        ca = view.held[view.standing.issuing].agents
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        issued = issue(ca, agent_name(owner), usage, now=self._clock.now(), after=after)
        return Grant(issued, self._bundle(view), view.standing.issuing, view.standing.trusts)

    def client_context(self) -> ssl.SSLContext:
        """Return the context by which the API dials agents; each dial names the agent that it wants to meet.

        Its certificate is good for a year: make another in time.
        """
        view = self._view
        ca = view.held[view.standing.presented].api
        issued = issue(ca, API_NAME, ExtendedKeyUsageOID.CLIENT_AUTH, now=self._clock.now())
        context = make_client_context(each.agents.pem for each in view.held.values())
        load_identity(context, issued.certificate + issued.private_key)
        return context

    def needs_context(self, made_at: datetime) -> bool:
        """Tell whether what a context shows that was made then has come half of its way."""
        return self._clock.now() - made_at > LEAF_LASTS / 2

    def _bundle(self, view: _View) -> bytes:
        first, last = view.standing.trusts
        return b"".join(each.api.pem for number, each in sorted(view.held.items()) if first <= number <= last)


def make_client_context(trusted: Iterable[bytes]) -> ssl.SSLContext:
    """Return a context that believes servers whom these CAs have signed, by the name that is dialled, over TLS 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=b"".join(trusted).decode("ascii"))
    return context


def _seen_by_agents(view: _View) -> tuple[int, int]:
    return view.standing.presented, view.standing.oldest
