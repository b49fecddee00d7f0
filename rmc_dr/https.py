"""HTTPS to a host of the estate: at its address, proven by its name against the estate's own CA."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _


class Https:
    """One host's HTTPS port. Every request ends within about ``timeout_seconds`` for each of its phases."""

    def __init__(
        self, estate: Estate, host: Host, port: int, timeout_seconds: float, through: Path | None = None
    ) -> None:
        """``through`` is a socket of this machine that leads to the port, where no network does.

        Raises BadInput where the CA's certificate cannot be read.
        """
        authority = estate.private_dir / "ca.pem"
        try:
            trust = ssl.create_default_context(cafile=str(authority))
        except OSError:
            raise BadInput(
                "no-ca",
                _("The certificate of the estate's CA cannot be read: {path}.").format(path=authority),
                _("Run `rmc-dr estate init`; for the lab, run `rmc-dr lab up`."),
            ) from None
        self._host = host
        self._client = httpx.Client(
            base_url=f"https://{host.address}:{port}",
            transport=httpx.HTTPTransport(
                verify=trust, trust_env=False, uds=str(through) if through else None
            ),
            timeout=timeout_seconds,
            trust_env=False,
        )

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> httpx.Response:
        """Raises httpx.HTTPError where no answer came."""
        return self._client.request(
            method,
            path,
            headers={**(headers or {}), "Host": self._host.name},
            json=json,
            extensions={"sni_hostname": self._host.name},
        )

    def __enter__(self) -> Https:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.close()


def refused(error: BaseException | None) -> bool:
    """Whether the host itself said that nothing listens there; every other failure leaves that unknown."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False
