"""One handshake with the store: does it answer, is it the right one, and what does its clock say?"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _
from rmc_dr.store.endpoint import Endpoint

TIMEOUT_SECONDS = 5
EXPIRED, NOT_YET = 10, 9
OTHER_NAME = (62, 64)  # by name, by address
OTHER_AUTHORITY = (18, 19, 20, 21)


@dataclass(frozen=True)
class Knock:
    """``silent`` and ``untrusted`` say why, or are empty; ``ahead``: seconds that its clock is before ours.

    ``ahead`` is None where the store did not say.
    """

    silent: str = ""
    untrusted: str = ""
    ahead: float | None = None


def knock(where: Endpoint) -> Knock:
    """Costs at most a few seconds. Raises BadInput where the CA's certificate cannot be read."""
    try:
        trust = ssl.create_default_context(cafile=str(where.authority))
    except OSError:
        raise BadInput(
            "no-ca",
            _("The certificate of the estate's CA cannot be read: {path}.").format(path=where.authority),
            _("Run `rmc-dr estate init`; for the lab, run `rmc-dr lab up`."),
        ) from None
    try:
        plain = socket.create_connection((where.address, where.port), timeout=TIMEOUT_SECONDS)
    except OSError as error:
        return Knock(silent=why_silent(error))
    with plain:
        try:
            with trust.wrap_socket(plain, server_hostname=where.name) as secure:
                return Knock(ahead=_ahead(secure, where.name))
        except ssl.SSLCertVerificationError as error:
            return Knock(untrusted=why_untrusted(error.verify_code, error.verify_message, where))
        except ssl.SSLError as error:
            return Knock(untrusted=_("it speaks no TLS that can be used ({said})").format(said=error.reason))
        except OSError as error:
            return Knock(silent=why_silent(error))


def why_silent(error: OSError) -> str:
    """In an operator's words why nothing answers."""
    if isinstance(error, ConnectionRefusedError):
        return _("the host refuses: it is up, but its S3 service is not")
    if isinstance(error, TimeoutError):
        return _("no answer within {seconds} s: the host is off, cut off, or hangs").format(
            seconds=TIMEOUT_SECONDS
        )
    if isinstance(error, socket.gaierror):
        return _("its name cannot be resolved")
    return error.strerror or str(error) or type(error).__name__


def why_untrusted(code: int, said: str, where: Endpoint) -> str:
    """What OpenSSL's verdict means. ``code`` is X509_V_ERR_*."""
    if code == EXPIRED:
        return _("its certificate has expired")
    if code == NOT_YET:
        return _("its certificate is not valid yet: one of the clocks is wrong")
    if code in OTHER_NAME:
        return _("its certificate is for another name than {name}").format(name=where.name)
    if code in OTHER_AUTHORITY:
        return _("its certificate does not come from a CA in {path}").format(path=where.authority)
    return said


def _ahead(secure: ssl.SSLSocket, name: str) -> float | None:
    """The store's clock against ours; a Date is cut down to whole seconds."""
    before = time.time()
    secure.sendall(f"HEAD / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    answer = HTTPResponse(secure, method="HEAD")
    try:
        answer.begin()
        said = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (HTTPException, ValueError):
        return None
    return round(said.timestamp() + 0.5 - (before + time.time()) / 2, 1)
