"""The lab itself: real hosts that can be broken, that no other command reaches, and that leave nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import INVENTORY, RMC_DR, Lab

from rmc_dr import ssh
from rmc_dr.lab import cgroups, disks, load, machine, network, place

pytestmark = pytest.mark.lab
IMPATIENT_SECONDS = 5


def leftovers() -> list[str]:
    """Everything of the lab that the system still knows."""
    state = str(place.folder())
    commands = [path.read_bytes().replace(b"\0", b" ").decode() for path in readable("/proc/[0-9]*/cmdline")]
    mounts = [text for path in readable("/proc/[0-9]*/mounts") for text in path.read_text().splitlines()]
    return [
        *(line for line in commands if f"{state}/hosts" in line or load.__file__ in line),
        *(line for line in mounts if f"{state}/hosts" in line),
        *(str(device) for device in disks.all_attached()),
        *cgroups.machines(),
        *(line for line in shown("ip", "-oneline", "link") if network.MARK in line or "vb-" in line),
        *(line for line in shown("ip", "-4", "route", "show", "type", "unreachable") if "198.51.100" in line),
        *(str(path) for path in [INVENTORY / "group_vars/all/vault.yml"] if path.is_symlink()),
    ]


def readable(pattern: str) -> Iterator[Path]:
    """Files of processes, which may end at any moment."""
    for path in Path("/").glob(pattern.lstrip("/")):
        try:
            path.read_bytes()
        except OSError:
            continue
        yield path


def shown(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def mode(lab: Lab, host: str) -> str:
    hosts = json.loads(lab.ok("lab", "status", "--json").out)["hosts"]
    return next(entry["mode"] for entry in hosts if entry["name"] == host)


def reaches(lab: Lab, source: str, target: str) -> bool:
    """Whether one host reaches another at a port that the firewalls let it in at."""
    host = lab.estate().host(target)
    config = lab.estate().config
    port = config.applications.port if "appserver" in host.groups else config.database.port
    probe = f"</dev/tcp/{host.address}/{port}"
    return lab.run("lab", "exec", source, "--", "timeout", "2", "bash", "-c", probe).code == 0


def inside(lab: Lab, host: str, alias: ssh.Alias, command: str) -> str:
    estate = lab.estate()
    words = [*ssh.command(estate, estate.host(host), alias), command]
    for _attempt in range(60):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        time.sleep(0.5)
    pytest.fail(f"{host} does not answer as {alias}: {done.stderr}")


@pytest.fixture
def off(healthy: Lab) -> Iterator[Lab]:
    """The lab with app1 off."""
    healthy.ok("lab", "break", "app1", "--how", "off")
    yield healthy
    healthy.ok("lab", "heal", "app1")


def test_the_second_up_takes_seconds(healthy: Lab):
    started = time.monotonic()
    healthy.ok("lab", "up")
    assert time.monotonic() - started < 30


def test_power_off_and_heal(off: Lab):
    assert mode(off, "app1") == "off"
    off.ok("lab", "heal", "app1")
    assert mode(off, "app1") == "disk"


def test_the_network_is_cut_to_one_host_only(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "network", "--to", "db1")
    assert not reaches(healthy, "app1", "db1")
    assert not reaches(healthy, "db1", "app1")
    assert reaches(healthy, "app1", "db2")
    healthy.ok("lab", "heal", "app1")
    assert reaches(healthy, "app1", "db1")


def test_the_rescue_system_sees_its_own_disk_only(off: Lab):
    off.ok("power", "rescue", "app1", "--yes")
    assert mode(off, "app1") == "rescue"
    # Not `find -type b`: the node is a bind mount, and the folder's entry below it says plain file.
    nodes = inside(off, "app1", "rescue", "for n in /dev/*; do test ! -b $n || echo $n; done").split()
    backing = inside(off, "app1", "rescue", f"cat /sys/block/{Path(nodes[0]).name}/loop/backing_file")
    assert (len(nodes), Path(backing.strip())) == (1, off.disk("app1"))
    identity = off.estate().host("app1").identity
    assert identity is not None
    assert f"container_uuid={identity.machine}" in inside(
        off, "app1", "rescue", "tr '\\0' '\\n' </proc/1/environ"
    )


def test_a_killed_drill_leaves_no_users_behind(healthy: Lab):
    """They write until they are told to stop, for up to an hour; nobody is left to tell them."""
    drill = healthy.popen("drill", "appserver")
    try:
        assert within(60, users_at_work)
    finally:
        drill.kill()  # itself alone, as the kernel does it when memory runs out
        drill.wait()
    assert within(10, lambda: not users_at_work())


def users_at_work() -> bool:
    return any(load.__file__ in line for line in leftovers())


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.1)
    return happened()


def test_no_way_out(healthy: Lab):
    for host in ("app1", "store1"):
        routes = healthy.ok("lab", "exec", host, "--", "ip", "route", "show", "default").out
        assert routes == ""
    forwarding = Path("/proc/sys/net/ipv4/conf/rmcdr0/forwarding").read_text()
    assert forwarding.strip() == "0"


@pytest.mark.parametrize("how", ["disk", "os", "off"])
def test_a_disk_outside_of_the_lab_is_not_touched(off: Lab, tmp_path: Path, how: str):
    disk, aside, precious = (
        off.disk("app1"),
        off.disk("app1").with_suffix(".aside"),
        tmp_path / "hospital.img",
    )
    precious.write_bytes(b"a hospital's only copy" * 1000)
    disk.rename(aside)
    disk.symlink_to(precious)
    try:
        said = off.run("lab", "break", "app1", "--how", how)
    finally:
        disk.unlink()
        aside.rename(disk)
    assert (said.code, "not a disk of the lab" in said.err) == (3, True)
    assert precious.read_bytes() == b"a hospital's only copy" * 1000


def test_a_process_outside_of_the_lab_is_not_ended(off: Lab):
    """It sits in the host's control group, the first of its namespace, but lives in this machine's root."""
    groups = "".join(f"echo $$ >{path}; " for path in cgroups.join("app1"))
    stranger = subprocess.Popen(["sh", "-c", f"{groups} exec unshare --pid --fork --kill-child sleep 600"])
    try:
        time.sleep(1)
        assert cgroups.leader("app1") is not None
        for command in (["lab", "break", "app1", "--how", "off"], ["power", "off", "app1", "--yes"]):
            said = off.run(*command)
            assert (said.code, "its root is not the lab's" in said.err) == (3, True)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        cgroups.kill("app1")


def test_another_command_is_refused_meanwhile(healthy: Lab):
    with place.only_one_command():
        said = healthy.run("lab", "heal")
    assert (said.code, str(os.getpid()) in said.err) == (4, True)


def test_addresses_in_use_are_refused(healthy: Lab):
    script = (
        f"ip link add other type bridge; ip address add 198.51.100.200/24 dev other; exec {RMC_DR} lab up"
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], env=healthy.env, capture_output=True, text=True
    )
    assert (done.returncode, "other has the address 198.51.100.200" in done.stderr) == (3, True)


def test_a_lab_in_another_namespace_is_not_reachable_from_here(healthy: Lab):
    done = subprocess.run(
        ["unshare", "--net", str(RMC_DR), "lab", "ssh", "app1", "true"],
        env=healthy.env,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "another network namespace" in done.stderr) == (3, True)


@pytest.mark.long
def test_down_leaves_nothing_and_says_so(healthy: Lab):
    try:
        healthy.ok("lab", "down")
        assert leftovers() == []
        for command in (["ssh", "app1"], ["exec", "app1", "id"], ["break", "app1", "--how", "off"], ["heal"]):
            started = time.monotonic()
            said = healthy.run("lab", *command)
            assert (said.code, "The lab is down" in said.err) == (3, True)
            assert time.monotonic() - started < IMPATIENT_SECONDS
        healthy.ok("lab", "down")
    finally:
        healthy.ok("lab", "up")


@pytest.mark.long
@pytest.mark.parametrize("victim", ["systemd-nspawn", "leader", "everything", "bridge"])
def test_down_leaves_nothing_after_a_kill(healthy: Lab, victim: str):
    try:
        for host in ("app1", "db1"):
            kill(host, victim)
        healthy.ok("lab", "down")
        assert leftovers() == []
    finally:
        healthy.ok("lab", "up")


def kill(host: str, victim: str) -> None:
    leader = cgroups.leader(host)
    assert leader is not None
    found = {
        "systemd-nspawn": [p for p in cgroups.processes(host) if comm(p) == "systemd-nspawn"],
        "leader": [leader],
        "everything": cgroups.processes(host),
        "bridge": [],
    }
    for process in found[victim]:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            assert victim == "everything"
    if victim == "bridge" and "rmcdr0" in " ".join(shown("ip", "-oneline", "link")):
        subprocess.run(["ip", "link", "delete", "rmcdr0"], check=True)
        lost = subprocess.run(["ip", "route", "get", "198.51.100.11"], capture_output=True, text=True)
        assert lost.returncode != 0, f"a packet for the lab would leave this machine: {lost.stdout}"


def comm(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.long
def test_down_leaves_nothing_after_up_was_killed(healthy: Lab, seed: random.Random):
    try:
        for _round in range(3):
            healthy.ok("lab", "down")
            starting = healthy.popen("lab", "up")
            time.sleep(seed.uniform(0.5, 8))
            os.killpg(starting.pid, signal.SIGKILL)
            starting.wait()
            healthy.ok("lab", "down")
            assert leftovers() == []
    finally:
        healthy.ok("lab", "up")


@pytest.mark.long
@pytest.mark.parametrize("how", ["disk", "os", "process"])
def test_heal_undoes_a_break(healthy: Lab, how: str):
    healthy.ok("lab", "exec", "app1", "--", "sh", "-c", "echo kept >/srv/kept")
    healthy.ok("lab", "break", "app1", "--how", how)
    assert mode(healthy, "app1") == ("disk" if how == "process" else "off")
    healthy.ok("lab", "heal", "app1", timeout=1200)
    assert healthy.ok("lab", "exec", "app1", "--", "cat", "/srv/kept").out == "kept\n"
    assert machine.mode("app1") == "disk"
