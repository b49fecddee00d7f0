"""The ends of the certificates that hosts show."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cryptography import x509

from rmc_dr.estate import Estate
from rmc_dr.observe.handshake import greeted, of_database
from rmc_dr.store import endpoint
from rmc_dr.store.endpoint import Endpoint


def observe_certificates(estate: Estate) -> dict[str, datetime]:
    """Host -> the end of the certificate that it shows; `control` is this machine's own.

    Nobody is trusted for it. Who shows none within seconds is left out.
    """
    database = {host.name: of_database(estate, host) for host in estate.group("dbserver")}
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


def founded(estate: Estate) -> datetime | None:
    """When the estate's own CA began, which is made once, with its first secrets; None without one."""
    try:
        pem = (estate.private_dir / "ca.pem").read_bytes()
        return x509.load_pem_x509_certificate(pem).not_valid_before_utc
    except (OSError, ValueError):
        return None


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
            greeted(where, postgres=postgres) as plain,
            anybody.wrap_socket(plain, server_hostname=where.name) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).not_valid_after_utc if der else None
    except (OSError, ValueError):
        return None
