"""Why a certificate is not believed, in words that say what to do: pure but for reading what was shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

# What Traefik makes up for a name that it has no certificate for.
DEFAULT_CERTIFICATE = "TRAEFIK DEFAULT CERT"
MAX_NAMES, MAX_CHARS = 5, 100


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """What somebody shows for a name; nothing of it is believed."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def parse_certificate(der: bytes) -> ShownCertificate | None:
    """Return what a certificate says, each text short and printable; None where it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return ShownCertificate(
            _common_name(certificate.subject),
            _common_name(certificate.issuer),
            _names(certificate),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
    except ValueError:
        return None


def describe_trouble(code: int, message: str, shown: ShownCertificate | None) -> str:
    """Return why it is refused: `shown` is what was found on a second look.

    `code` and `message` are OpenSSL's: X509_V_ERR_… of x509_vfy.h.
    """
    if shown is None:
        return f"its certificate is refused: {message}"
    if shown.subject == DEFAULT_CERTIFICATE:
        return (
            f"the proxy shows its own default certificate ({DEFAULT_CERTIFICATE}), "
            "so it has obtained none for this name; its log says why"
        )
    return f"its certificate {_describe(code, shown) or f'is refused: {message}'}"


def _describe(code: int, shown: ShownCertificate) -> str | None:
    match code:
        case 10:  # CERT_HAS_EXPIRED
            return f"has expired on {shown.not_after:%Y-%m-%d %H:%M} UTC and was not renewed"
        case 9:  # CERT_NOT_YET_VALID
            return f"is valid from {shown.not_before:%Y-%m-%d %H:%M} UTC on; look at the clocks"
        case 62:  # HOSTNAME_MISMATCH
            return f"is for {', '.join(shown.names) or shown.subject or 'no name'} and not for this name"
        case 18 | 19 | 20 | 21:  # self-signed, or by somebody who is not known here
            return (
                f"is signed by {shown.issuer!r}, whom this machine does not trust; "
                "where that is meant, name the CA's certificate in traefik.tls.ca"
            )
        case _:
            return None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return ()
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return tuple(_short(name) for name in extension.value.get_values_for_type(x509.DNSName)[:MAX_NAMES])


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _short(str(found[0].value)) if found else ""


def _short(text: str) -> str:
    return "".join(letter for letter in text[:MAX_CHARS] if letter.isprintable())
