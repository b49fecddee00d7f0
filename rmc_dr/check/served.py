"""One visit to a port from this machine: does it answer, and how long is its certificate good for?"""

from __future__ import annotations

import socket
import ssl
import time

from rmc_dr.check.probe import why
from rmc_dr.check.roads import Road
from rmc_dr.check.seen import Certificate, Reached, Way
from rmc_dr.i18n import _
from rmc_dr.observe.handshake import SECONDS, speaks_tls

DAY = 86400


def visit(road: Road, trust: ssl.SSLContext) -> tuple[Reached, Certificate | None]:
    """Costs at most a few seconds. Without a connection there is no certificate to speak of."""
    began = time.monotonic()
    try:
        plain = socket.create_connection((road.address, road.port), timeout=SECONDS)
    except OSError as error:
        return Reached(Way(why(error)), _ms(began)), None
    with plain:
        reached = Reached(Way.OPEN, _ms(began))
        try:
            if road.service == "postgresql" and not speaks_tls(plain):
                return reached, Certificate(road.to, road.service, None, _("no TLS is spoken"))
            with trust.wrap_socket(plain, server_hostname=road.to) as secure:
                return reached, Certificate(road.to, road.service, _days(secure))
        except ssl.SSLCertVerificationError as error:
            return reached, Certificate(road.to, road.service, None, error.verify_message)
        except OSError as error:
            return Reached(Way.OPEN, reached.ms, str(error)[:200] or type(error).__name__), None


def _days(secure: ssl.SSLSocket) -> float:
    ends = str((secure.getpeercert() or {})["notAfter"])
    return round((ssl.cert_time_to_seconds(ends) - time.time()) / DAY, 1)


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)
