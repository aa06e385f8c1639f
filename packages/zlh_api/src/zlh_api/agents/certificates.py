"""How CAs are made and what they sign. All keys are ECDSA P-256: agents of any TLS 1.3 stack can read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CA_LASTS = timedelta(days=3650)
LEAF_LASTS = timedelta(days=365)
# Clocks of containers and of this host may differ by so much.
CLOCK_SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Ca:
    """A CA's certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Ca({self.certificate.subject.rfc4514_string()}, key=***)"

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """Its key."""
        return _key_pem(self.key)

    @property
    def made_at(self) -> datetime:
        """When it was made."""
        return self.certificate.not_valid_before_utc + CLOCK_SKEW

    @property
    def expires_at(self) -> datetime:
        """Until when it is good."""
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, as PEM, and the SHA-256 by which the certificate is known among all of its name."""

    certificate: bytes
    private_key: bytes
    expires_at: datetime
    sha256: bytes = b""

    def __repr__(self) -> str:
        return f"Issued(expires_at={self.expires_at:%Y-%m-%d}, private_key=***)"


def make_ca(title: str, *, now: datetime) -> Ca:
    """Return a new CA that signs leaves alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
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
    return Ca(certificate, key)


def load_ca(certificate: bytes, key: bytes) -> Ca:
    """Return a CA out of two files; raise ValueError where they are none, or do not belong together."""
    loaded = serialization.load_pem_private_key(key, password=None)
    ca = Ca(x509.load_pem_x509_certificate(certificate), _elliptic(loaded))
    if ca.certificate.public_key() != ca.key.public_key():
        raise ValueError("the certificate is that of another key")
    return ca


def issue(ca: Ca, name: str, usage: x509.ObjectIdentifier, *, now: datetime, after: datetime | None = None) -> Issued:
    """Return a fresh certificate and key for `name`, good for a year and in any case longer than `after`."""
    key = ec.generate_private_key(ec.SECP256R1())
    expires_at = (now + LEAF_LASTS).replace(microsecond=0)
    if after is not None and expires_at <= after:
        # Of two identities the one that lasts longer is the newer one, also where they are made in the same second.
        expires_at = after.replace(microsecond=0) + timedelta(seconds=1)
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
    sha256 = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
    return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key), expires_at, sha256)


def _elliptic(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key is of another kind")
    return key


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
