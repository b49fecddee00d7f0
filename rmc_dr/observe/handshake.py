"""The first words with a port that speaks TLS, PostgreSQL's included, and why its certificate is refused."""

from __future__ import annotations

import socket
import ssl
import struct

from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.store.endpoint import Endpoint
from rmc_dr.store.knock import why_untrusted

SECONDS = 3
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL speaks TLS only to who asks for it first


def distrust(estate: Estate, host: Host) -> str:
    """Why the certificate of a host's PostgreSQL cannot be trusted; "" where it can, or shows none."""
    where = of_database(estate, host)
    try:
        with greeted(where, postgres=True) as plain:
            trust = ssl.create_default_context(cafile=str(where.authority))
            trust.wrap_socket(plain, server_hostname=where.name).close()
    except ssl.SSLCertVerificationError as error:
        why = why_untrusted(error.verify_code, error.verify_message, where)
        return _("{why} (`rmc-dr estate init` renews; then converge the host)").format(why=why)
    except (OSError, ValueError):
        pass
    return ""


def of_database(estate: Estate, host: Host) -> Endpoint:
    return Endpoint(host.name, host.address, estate.config.database.port, estate.private_dir / "ca.pem")


def greeted(where: Endpoint, *, postgres: bool) -> socket.socket:
    """A connection on which TLS may begin. Raises OSError where none comes to be."""
    plain = socket.create_connection((where.address, where.port), timeout=SECONDS)
    if postgres and not speaks_tls(plain):
        plain.close()
        raise OSError("no TLS")
    return plain


def speaks_tls(plain: socket.socket) -> bool:
    """Ask PostgreSQL for TLS; whether it says yes. Raises OSError."""
    plain.sendall(SSL_REQUEST)
    return plain.recv(1) == b"S"
