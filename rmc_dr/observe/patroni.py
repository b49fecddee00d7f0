"""Looks at the pair through Patroni's REST API on each database host."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from rmc_dr.estate import Estate, Host
from rmc_dr.pair import PatroniView

LEADER_ROLES = ("leader", "standby_leader", "master", "primary")


def observe_patroni(estate: Estate, host: Host, context: ssl.SSLContext) -> PatroniView:
    """What one Patroni says; each request is bounded by the estate's connect and statement timeouts."""
    database = estate.config.database
    timeout = httpx.Timeout(database.statement_timeout_seconds, connect=database.connect_timeout_seconds)
    base = f"https://{host.address}:{database.rest_port}"
    with httpx.Client(base_url=base, verify=context, timeout=timeout, trust_env=False) as client:
        try:
            own = _object(client.get("/patroni"))
        except (httpx.HTTPError, ValueError) as error:
            return PatroniView(host.name, answered=False, error=str(error) or type(error).__name__)
        cluster = _ask(client, "/cluster")
    return _view(host.name, own, cluster)


def _object(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what came over the wire, not a caller's mistake
    return body


def _ask(client: httpx.Client, path: str) -> Any:
    """The answer, or None: Patroni that has lost etcd answers late or not at all."""
    try:
        response = client.get(path)
        return response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None


def _view(name: str, own: dict[str, Any], cluster: Any) -> PatroniView:
    members = cluster.get("members", []) if isinstance(cluster, dict) else []
    leaders = [member["name"] for member in members if member.get("role") in LEADER_ROLES]
    return PatroniView(
        name=name,
        answered=True,
        role=own.get("role"),
        state=own.get("state"),
        cluster_seen=isinstance(cluster, dict),
        leader=leaders[0] if leaders else None,
        paused=bool(own.get("pause")),
        members={member["name"]: f"{member.get('role')}, {member.get('state')}" for member in members},
    )
