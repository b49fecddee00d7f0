"""Host checks run by `rmc-dr verify` and by CI: the same files, the same estate."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def estate() -> dict[str, Any]:
    """What the checks need to know of the estate; no secret is in it."""
    facts: dict[str, Any] = json.loads(Path(os.environ["RMC_DR_HOST_FACTS"]).read_text())
    return facts


@pytest.fixture
def name(host) -> str:
    """The host's name in the inventory."""
    inventory_name: str = host.backend.get_pytest_id().removeprefix("ansible://")
    return inventory_name


@pytest.fixture
def described(estate, name) -> dict[str, Any]:
    """The host as the estate describes it: address, ports, data partition."""
    facts: dict[str, Any] = estate["hosts"][name]
    return facts


@pytest.fixture
def etcd_voters(host, estate) -> list[dict[str, Any]]:
    """What etcd on this host says of each voter; empty where one does not answer."""
    tls = "/etc/rmc-dr/tls"
    answer = host.run(
        "ETCDCTL_API=3 etcdctl --endpoints %s --cacert %s --cert %s --key %s --command-timeout 5s "
        "endpoint status --cluster -w json",
        f"https://{host.check_output('hostname')}:{estate['etcd_port']}",
        f"{tls}/ca.pem",
        f"{tls}/host.pem",
        f"{tls}/host.key",
    )
    voters: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
    return voters
