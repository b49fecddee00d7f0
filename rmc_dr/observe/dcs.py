"""Reads what Patroni keeps in etcd, confirmed by a quorum. Changes nothing."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import httpx

from rmc_dr.estate import Estate
from rmc_dr.observe.etcd import ANSWER_SECONDS
from rmc_dr.pair import ClusterKeys

NAMESPACE = "/rmc-dr"


def observe_keys(estate: Estate, context: ssl.SSLContext) -> ClusterKeys:
    """Ask one voter after another until a quorum answers through it; each is bounded by its timeouts."""
    prefix = f"{NAMESPACE}/{estate.config.database.cluster}/"
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    question = {"key": _base64(prefix), "range_end": _base64(beyond)}
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=estate.config.database.connect_timeout_seconds)
    errors = []
    with httpx.Client(verify=context, timeout=timeout, trust_env=False) as client:
        for host in [*estate.group("store"), *estate.group("dbserver")]:
            url = f"https://{host.address}:{estate.config.etcd.client_port}/v3/kv/range"
            try:
                answer = client.post(url, json=question)
                answer.raise_for_status()
                return ClusterKeys.of(_values(answer.json(), prefix))
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                errors.append(f"{host.name}: {str(error) or type(error).__name__}")
    return ClusterKeys(seen=False, error="; ".join(errors))


def _values(answer: dict[str, Any], prefix: str) -> dict[str, str]:
    pairs = ((_text(found["key"]), _text(found.get("value", ""))) for found in answer.get("kvs", ()))
    return {key.removeprefix(prefix): value for key, value in pairs}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")
