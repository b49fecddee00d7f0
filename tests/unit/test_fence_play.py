"""By hand nothing but the playbook itself keeps a server that may serve from being powered off."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rmc_dr import content
from rmc_dr.estate import Estate, ansible_environment
from rmc_dr.tls import completed

HERE = "127.0.0.1"
REFUSED = "It cannot be told whether app1 serves its applications"
WENT_ON = "The power must have been switched"


@contextmanager
def port(*, listens: bool) -> Iterator[int]:
    """A port of this machine that takes connections and never answers, or one where nothing listens."""
    with socket.create_server((HERE, 0)) as server:
        number = server.getsockname()[1]
        if listens:
            yield number
            return
    yield number


def fence(estate: Estate, folder: Path, number: int, connection: str, *words: str) -> str:
    """Play the stage on a host at this machine, its power switched by a program that only fails."""
    estate.private_dir.mkdir()
    (estate.private_dir / "ca.pem").write_text(completed({}, "A centre", {})["ca_certificate"])
    raw = estate.config.model_dump(mode="json", by_alias=True)
    raw["applications"]["port"] = number
    host = {"ansible_host": HERE, "ansible_connection": connection, "ansible_port": 1, "estate": raw}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"children": {"appserver": {"hosts": {"app1": host}}}}}))
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "playbooks/stages/fence.yml", *words],
        cwd=content.root(),
        env={**ansible_environment(), "RMC_DR_EXECUTABLE": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("listens", "connection", "words", "said"),
    [
        (True, "local", (), REFUSED),
        (True, "local", ("-e", "replace_healthy=app1"), WENT_ON),
        (True, "ssh", (), WENT_ON),  # nothing but the port is there: its system does not answer
        (False, "local", (), WENT_ON),
    ],
)
def test_a_server_that_may_serve_is_refused(
    estate: Estate, tmp_path: Path, listens: bool, connection: str, words: tuple[str, ...], said: str
):
    with port(listens=listens) as number:
        told = fence(estate, tmp_path, number, connection, *words)
    assert said in told
    assert (REFUSED in told) != (WENT_ON in told)
