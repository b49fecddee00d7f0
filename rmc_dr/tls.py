"""The estate's own certificate authority. Pure apart from the clock: PEM text in, PEM text out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_VALID = timedelta(days=20 * 365)
CERTIFICATE_VALID = timedelta(days=5 * 365)
RENEW_BEFORE = timedelta(days=180)
CLOCK_DOUBT = timedelta(days=1)  # a rescued machine's clock may be off


def completed(before: Mapping[str, Any], centre: str, hosts: Mapping[str, str]) -> dict[str, Any]:
    """The vault's `tls` with a CA, and for every host (name -> address) a certificate that still serves."""
    authority = dict(before)
    if not authority.get("ca_certificate") or not authority.get("ca_key"):
        authority.update(_new_authority(centre))
    kept = before.get("hosts", {})
    authority["hosts"] = {
        name: kept[name]
        if name in kept
        and usable(kept[name].get("certificate", ""), kept[name].get("key", ""), authority, name, address)
        else issue(authority, name, address)
        for name, address in hosts.items()
    }
    return authority


def issue(authority: Mapping[str, Any], name: str, address: str | None = None) -> dict[str, str]:
    """A new key and certificate. With an address it serves as that host; without, only as a client."""
    ca = x509.load_pem_x509_certificate(authority["ca_certificate"].encode())
    key = ec.generate_private_key(ec.SECP256R1())
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if address is not None:
        usage.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(_name(name), ca.subject, key.public_key(), CERTIFICATE_VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(_alternative_names(name, address), critical=False)
        .add_extension(_authority_key(ca), critical=False)
    )
    return {"certificate": _signed(builder, _private_key(authority["ca_key"])), "key": _pem(key)}


def usable(
    certificate: str,
    key: str,
    authority: Mapping[str, Any],
    name: str = "control",
    address: str | None = None,
) -> bool:
    """Whether the pair belongs together, names the host, comes from this CA and is not near its end."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority["ca_certificate"].encode()))
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same_key = _private_key(key).public_key() == found.public_key()
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lasts = found.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE
    return same_key and lasts and names == _alternative_names(name, address)


def _new_authority(centre: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"rmc-dr CA {datetime.now(UTC):%Y-%m-%d}", centre)
    builder = (
        _builder(name, name, key.public_key(), CA_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    return {"ca_certificate": _signed(builder, key), "ca_key": _pem(key)}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_DOUBT)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> str:
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _name(common: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common[:64])]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]))
    return x509.Name(parts)


def _alternative_names(name: str, address: str | None) -> x509.SubjectAlternativeName:
    if address is None:
        return x509.SubjectAlternativeName([x509.DNSName(name)])
    return x509.SubjectAlternativeName(
        [
            x509.DNSName(name),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address(address)),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    )


def _authority_key(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    key = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic-curve key")
    return key
