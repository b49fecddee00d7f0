"""The certificates that hosts show, and why one of them cannot be trusted."""

from __future__ import annotations

import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cryptography import x509

from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.store import endpoint
from rmc_dr.store.endpoint import Endpoint
from rmc_dr.store.knock import why_untrusted

SECONDS = 3
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL speaks TLS only to who asks for it first


def observe_certificates(estate: Estate) -> dict[str, datetime]:
    """Host -> the end of the certificate that it shows; `control` is this machine's own.

    Nobody is trusted for it. Who shows none within seconds is left out.
    """
    database = {host.name: _of(estate, host) for host in estate.group("dbserver")}
    port = estate.config.applications.port
    applications = {
        host.name: Endpoint(host.name, host.address, port, estate.private_dir)
        for host in estate.group("appserver")
    }
    store = endpoint.of(estate)
    with ThreadPoolExecutor(8) as pool:
        shown = {
            **{name: pool.submit(_shown, where, True) for name, where in database.items()},
            **{name: pool.submit(_shown, where, False) for name, where in applications.items()},
            store.name: pool.submit(_shown, store, False),
        }
        found = {name: asked.result() for name, asked in shown.items()}
    return {name: ends for name, ends in {**found, "control": _own(estate)}.items() if ends}


def distrust(estate: Estate, host: Host) -> str:
    """Why the certificate of a host's PostgreSQL cannot be trusted; "" where it can, or shows none."""
    where = _of(estate, host)
    try:
        with _greeted(where, True) as plain:
            trust = ssl.create_default_context(cafile=str(where.authority))
            trust.wrap_socket(plain, server_hostname=where.name).close()
    except ssl.SSLCertVerificationError as error:
        why = why_untrusted(error.verify_code, error.verify_message, where)
        return _("{why} (`rmc-dr estate init` renews; then converge the host)").format(why=why)
    except (OSError, ValueError):
        pass
    return ""


def _of(estate: Estate, host: Host) -> Endpoint:
    return Endpoint(host.name, host.address, estate.config.database.port, estate.private_dir / "ca.pem")


def _own(estate: Estate) -> datetime | None:
    try:
        pem = (estate.private_dir / "control.pem").read_bytes()
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _shown(where: Endpoint, postgres: bool) -> datetime | None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            _greeted(where, postgres) as plain,
            anybody.wrap_socket(plain, server_hostname=where.name) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).not_valid_after_utc if der else None
    except (OSError, ValueError):
        return None


def _greeted(where: Endpoint, postgres: bool) -> socket.socket:
    """A connection on which TLS may begin. Raises OSError where none comes to be."""
    plain = socket.create_connection((where.address, where.port), timeout=SECONDS)
    if postgres:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            plain.close()
            raise OSError("no TLS")
    return plain
