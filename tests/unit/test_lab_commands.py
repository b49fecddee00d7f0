"""The exact commands of the lab, what stands in its way, and power."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmc_dr import power
from rmc_dr.cli import main
from rmc_dr.errors import Error, ExitCode, Refused
from rmc_dr.estate import Estate
from rmc_dr.lab import cgroups, disks, guard, machine, network, place, preflight, presence
from rmc_dr.lab.hardware import Hardware
from rmc_dr.model import HostObservation, Reach
from rmc_dr.power import manual

pytestmark = pytest.mark.usefixtures("state")
OURS = {"ifname": "rmcdr0", "ifalias": network.MARK}
UNREACHABLE = {"type": "unreachable", "dst": "198.51.100.0/24", "metric": network.LAST_METRIC}


class Machine:
    """This machine's network as `ip` tells it; every command that changes it is kept."""

    def __init__(self, links: list[dict[str, Any]], routes: list[dict[str, Any]]) -> None:
        self.links = [{"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]}, *links]
        self.routes = [{"dst": "default", "dev": "eth0"}, *routes]
        self.changes: list[str] = []

    def run(self, *words: str | Path, stdin: str | None = None) -> str:
        line = " ".join(str(word) for word in words)
        if line in ("ip -json link show", "ip -json address show"):
            return json.dumps(self.links)
        if line.startswith("ip -4 -json route show"):
            wanted = [route for route in self.routes if "unreachable" not in line or route.get("type")]
            return json.dumps(wanted)
        self.changes.append(line if stdin is None else f"{line}: {stdin.strip()}")
        return ""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine([], [])
    monkeypatch.setattr(network, "run", lambda *words, **options: machine.run(*words, **options))
    monkeypatch.setattr(Path, "write_text", _not_proc(Path.write_text))
    return machine


def _not_proc(write: Any) -> Any:
    def wrapped(path: Path, text: str, *rest: Any, **options: Any) -> int:
        return 0 if path.is_relative_to("/proc") else write(path, text, *rest, **options)

    return wrapped


def refused(code: str, kind: type[Error] = Refused):
    return pytest.raises(kind, check=lambda error: error.code == code)


def test_the_route_stands_before_the_bridge(here: Machine, estate: Estate):
    network.up(estate.config.network)
    assert here.changes == [
        "ip route add unreachable 198.51.100.0/24 metric 4278198272",
        "ip -batch -: link add rmcdr0 type bridge stp_state 0 forward_delay 0\n"
        'link set rmcdr0 alias "rmc-dr lab"',
        "ip address replace 198.51.100.1/24 dev rmcdr0",
        "ip address replace 198.51.100.2/24 dev rmcdr0",
        "ip link set rmcdr0 up",
    ]


def test_a_bridge_that_is_there_stays(here: Machine, estate: Estate):
    here.links.append(OURS)
    here.routes.append(UNREACHABLE)
    network.up(estate.config.network)
    assert here.changes == [
        "ip address replace 198.51.100.1/24 dev rmcdr0",
        "ip address replace 198.51.100.2/24 dev rmcdr0",
        "ip link set rmcdr0 up",
    ]


def test_the_route_goes_after_the_bridge(here: Machine):
    here.links += [OURS, {"ifname": "vb-app1", "master": "rmcdr0"}, {"ifname": "eth0"}]
    here.routes.append(UNREACHABLE)
    network.down()
    assert here.changes == [
        "ip link delete vb-app1",
        "ip link delete rmcdr0",
        "ip route del unreachable 198.51.100.0/24 metric 4278198272",
    ]


def test_what_is_not_the_labs_stays(here: Machine):
    here.links.append({"ifname": "rmcdr0", "ifalias": "somebody's"})
    here.routes.append({"type": "unreachable", "dst": "198.51.100.0/24", "metric": 1})
    network.down()
    assert here.changes == []


@pytest.mark.parametrize(
    ("links", "routes"),
    [
        ([{"ifname": "rmcdr0"}], []),
        ([{"ifname": "eth0", "addr_info": [{"local": "198.51.100.77"}]}], []),
        ([], [{"dst": "198.51.100.128/25", "dev": "eth0"}]),
        ([], [{"dst": "198.51.0.0/16", "dev": "eth0"}]),
        ([], [{"dst": "198.51.100.11", "dev": "tun0"}]),
    ],
)
def test_an_address_in_use_is_refused(here: Machine, estate: Estate, links: Any, routes: Any):
    here.links += links
    here.routes += routes
    with refused("lab-address-taken"):
        network.up(estate.config.network)
    assert here.changes == []


def test_the_rescue_system_sees_one_disk_and_nothing_else(
    here: Machine, estate: Estate, monkeypatch: pytest.MonkeyPatch
):
    started: dict[str, Any] = {}
    layers = SimpleNamespace(lower="/lower", upper="/upper", work="/work")
    monkeypatch.setattr(machine.rescue, "prepare", lambda *_: layers)
    monkeypatch.setattr(machine.disks, "attach", lambda _path: Path("/dev/loop7"))
    monkeypatch.setattr(machine, "_stop", lambda _name: None)
    monkeypatch.setattr(
        machine, "_start", lambda _name, nspawn, mounts: started.update(nspawn=nspawn, mounts=mounts)
    )
    machine.boot_rescue(estate, Hardware("app1", "the-uuid", "app1.img", 8, "198.51.100.11"))
    root = place.host_folder("app1") / "root"
    assert started["nspawn"] == [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={root}",
        "--machine=app1",
        "--hostname=app1",
        "--network-bridge=rmcdr0",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--timezone=off",
        "--link-journal=no",
        "--uuid=the-uuid",
        "--bind=/dev/loop7",
        f"--bind-ro={place.host_folder('app1') / 'host0.network'}:{machine.NETWORK_FILE}",
    ]
    options = "lowerdir=/lower,upperdir=/upper,workdir=/work"
    assert started["mounts"] == [["mount", "-t", "overlay", "overlay", "-o", options, root]]


def test_only_root(monkeypatch: pytest.MonkeyPatch, estate: Estate):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    with refused("lab-not-root"):
        preflight.check(estate)


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch, estate: Estate):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.shutil, "which", lambda tool: None if tool == "systemd-nspawn" else tool)
    with refused("lab-tool-missing") as caught:
        preflight.check(estate)
    assert "systemd-container" in caught.value.hint


def test_no_room(monkeypatch: pytest.MonkeyPatch, here: Machine, estate: Estate):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(preflight.cgroups, "machines", list)
    usage = shutil.disk_usage("/")._replace(free=2 * disks.GIB)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _place: usage)
    with refused("lab-no-room"):
        preflight.check(estate)


def test_a_second_lab_is_refused(monkeypatch: pytest.MonkeyPatch, estate: Estate):
    presence.take(estate)
    monkeypatch.setattr(presence, "running", lambda: ["app1"])
    presence.take(estate)
    with refused("lab-second"):
        presence.take(replace(estate, inventory=Path("/elsewhere/inventories/lab")))


def test_a_lab_that_is_down_says_so(here: Machine, estate: Estate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presence.cgroups, "leader", lambda _name: None)
    with refused("lab-down"):
        presence.require_up(estate)
    presence.mark(up=True)
    here.links.append(OURS)
    presence.require_up(estate)


def test_the_bridge_stays_while_a_machine_runs(here: Machine, monkeypatch: pytest.MonkeyPatch):
    here.links.append(OURS)
    running = ["builder-store"]
    monkeypatch.setattr(presence, "running", lambda: running)
    presence.release_network()
    assert here.changes == []
    running.clear()
    presence.release_network()
    assert here.changes == ["ip link delete rmcdr0"]


@pytest.mark.parametrize(
    "command", [["lab", "up"], ["lab", "break", "app1", "--how", "disk"], ["drill", "appserver"]]
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_command_line_takes_no_other_inventory(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    by: str,
):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    if by == "environment":
        monkeypatch.setenv("RMC_DR_INVENTORY", str(tmp_path))
    else:
        monkeypatch.delenv("RMC_DR_INVENTORY", raising=False)
        command = ["-i", str(tmp_path), *command]
    with pytest.raises(SystemExit) as ended:
        main(command)
    monkeypatch.setenv("RMC_DR_INVENTORY", "")  # the command line sets it for its children
    assert ended.value.code == 3
    assert "rehearsal estate only" in capsys.readouterr().err


def by_hand(estate: Estate, minutes: float = 60) -> Estate:
    config = estate.config.power.model_copy(update={"driver": "manual", "manual_timeout_minutes": minutes})
    return replace(estate, config=estate.config.model_copy(update={"power": config}))


def seen(*reaches: Reach) -> Any:
    rest = iter(reaches)
    return lambda _estate, host: HostObservation(host.name, next(rest))


def test_by_hand_waits_for_the_right_key(estate: Estate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manual, "POLL_SECONDS", 0)
    monkeypatch.setattr(manual, "observe_host", seen(Reach.SYSTEM, Reach.SILENT, Reach.FOREIGN, Reach.RESCUE))
    said: list[str] = []
    power.driver(by_hand(estate), said.append).rescue(estate.host("app1"))
    assert said[0] == "Boot app1 (198.51.100.11) from the rescue medium of the kit."


def test_by_hand_is_bounded(estate: Estate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        manual, "observe_host", lambda _estate, host: HostObservation(host.name, Reach.FOREIGN)
    )
    with refused("power-timeout", Error) as caught:
        power.driver(by_hand(estate, 0)).rescue(estate.host("app1"))
    assert "nobody pinned" in caught.value.hint


def test_by_hand_can_be_given_up(estate: Estate, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_args: Any) -> HostObservation:
        raise KeyboardInterrupt

    monkeypatch.setattr(manual, "observe_host", interrupted)
    with refused("power-given-up", Error) as given_up:
        power.driver(by_hand(estate)).disk(estate.host("app1"))
    assert given_up.value.exit_code == ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("reach", "state"),
    [
        (Reach.SYSTEM, "disk"),
        (Reach.RESCUE, "rescue"),
        (Reach.SILENT, "unknown"),
        (Reach.FOREIGN, "unknown"),
        (Reach.UNKNOWN, "unknown"),
    ],
)
def test_silence_is_not_off(estate: Estate, monkeypatch: pytest.MonkeyPatch, reach: Reach, state: str):
    monkeypatch.setattr(manual, "observe_host", seen(reach))
    assert power.driver(by_hand(estate)).state(estate.host("app1")) == state


@pytest.mark.parametrize("action", ["off", "rescue", "disk", "state"])
def test_the_labs_power_reaches_only_the_labs_machines(estate: Estate, action: str):
    with refused("lab-foreign-target"):
        getattr(power.driver(estate), action)(estate.host("app1"))


def test_a_command_inside_goes_through_the_machines_first_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "leader", lambda _name: 4711)
    monkeypatch.setattr(guard, "prove_process", lambda _name, _leader: None)
    words = machine.inside("app1", ["id", "-u"])
    assert words[:6] == ["nsenter", "--target", "4711", "--all", "--", "env"]
    assert words[-2:] == ["id", "-u"]
