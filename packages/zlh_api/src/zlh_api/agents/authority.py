"""The two private CAs: one signs agents, the other signs the API, so that no agent's key passes as the API.

    keys/agents-ca.{crt,key}   signs <owner mark>.agent.zlh.internal, serverAuth
    keys/api-ca.{crt,key}      signs api.zlh.internal, clientAuth
    keys/api.{crt,key}         the API's own certificate

All keys are ECDSA P-256: agents of any TLS 1.3 stack can read them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zlh_common.clock import Clock
from zlh_common.durable_files import lock_folder, write_durably
from zlh_common.names import API_NAME, OwnerMark, agent_name

CA_LASTS = timedelta(days=3650)
LEAF_LASTS = timedelta(days=365)
# Clocks of containers and of this host may differ by so much.
CLOCK_SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, as PEM."""

    certificate: bytes
    private_key: bytes
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued(expires_at={self.expires_at:%Y-%m-%d}, private_key=***)"


class Authority:
    """Signs agents and the API. The keys are made once and stay in `folder`, which must be ours alone.

    Any number of API processes may share the folder, and start at once: each key has its own certificate, always.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._clock = clock
        with lock_folder(folder):
            self._agents = self._load_or_make_ca("agents-ca", "ZLH agents")
            self._api = self._load_or_make_ca("api-ca", "ZLH API")

    @property
    def api_ca(self) -> bytes:
        """What agents trust, as PEM."""
        return self._api.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_agent(self, owner: OwnerMark) -> Issued:
        """Return a fresh certificate and key for the agent of one container."""
        return self._issue(self._agents, agent_name(owner), ExtendedKeyUsageOID.SERVER_AUTH)

    def client_context(self) -> ssl.SSLContext:
        """Return the context by which the API dials agents; each dial names the agent that it wants to meet."""
        issued = self._issue(self._api, API_NAME, ExtendedKeyUsageOID.CLIENT_AUTH)
        certificate, key = self._folder / "api.crt", self._folder / "api.key"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self._agents.certificate.public_bytes(serialization.Encoding.PEM).decode())
        with lock_folder(self._folder):
            write_durably(key, issued.private_key)
            write_durably(certificate, issued.certificate)
            context.load_cert_chain(certificate, key)
        return context

    def _load_or_make_ca(self, name: str, title: str) -> _Pair:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        if not certificate.exists():
            made = self._make_ca(title)
            write_durably(key, _key_pem(made.key))
            # The certificate comes last: where it is, its key is.
            write_durably(certificate, made.certificate.public_bytes(serialization.Encoding.PEM))
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return _Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)

    def _make_ca(self, title: str) -> _Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        now = self._clock.now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + CA_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return _Pair(certificate, key)

    def _issue(self, ca: _Pair, name: str, usage: x509.ObjectIdentifier) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        expires_at = (now + LEAF_LASTS).replace(microsecond=0)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(ca.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(expires_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
            .sign(ca.key, hashes.SHA256())
        )
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key), expires_at)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
