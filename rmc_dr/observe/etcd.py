"""Asks each etcd voter whether a quorum answers through it."""

from __future__ import annotations

import ssl

import httpx

from rmc_dr.estate import Estate, Host
from rmc_dr.pair import EtcdMember, Health

# etcd itself waits up to five seconds and two election timeouts before it says that a quorum is gone.
ANSWER_SECONDS = 12


def observe_etcd(estate: Estate, host: Host, context: ssl.SSLContext) -> EtcdMember:
    """One voter's health: a read that the quorum has to confirm."""
    url = f"https://{host.address}:{estate.config.etcd.client_port}/health"
    connect = estate.config.database.connect_timeout_seconds
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=connect)
    try:
        with httpx.Client(verify=context, timeout=timeout, trust_env=False) as client:
            said = client.get(url).json()
    except httpx.ConnectError as error:
        refused = "refused" in str(error)
        return EtcdMember(host.name, Health.DOWN if refused else Health.UNKNOWN, str(error))
    except (httpx.HTTPError, ValueError) as error:
        return EtcdMember(host.name, Health.UNKNOWN, str(error) or type(error).__name__)
    match said:
        case {"health": "true"}:
            return EtcdMember(host.name, Health.HEALTHY)
        case {"health": "false"}:
            return EtcdMember(host.name, Health.UNHEALTHY, str(said.get("reason", "")))
    return EtcdMember(host.name, Health.UNKNOWN, "no answer that can be read")
