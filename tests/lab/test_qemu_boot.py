"""A disk that only nspawn can boot is not an operating system: qemu boots it by BIOS and by UEFI up to sshd.

Software emulation, so times are generous. The machine sees a network of its own, with the estate's addresses.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Lab

from rmc_dr.estate import Estate, Host
from rmc_dr.ssh import command

pytestmark = [pytest.mark.lab, pytest.mark.long]
OVMF = Path("/usr/share/OVMF")
BOOT_SECONDS = 600
LOOK = "cat /etc/hostname /proc/cmdline; findmnt -nro SOURCE,TARGET --real; ls -d /sys/firmware/efi 2>&1"


@pytest.fixture(scope="module")
def image(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of app1's disk, as the last rebuild or `lab up` installed it."""
    lab.ok("lab", "heal")
    lab.ok("power", "off", "app1", "--yes")
    copy = tmp_path_factory.mktemp("qemu") / "app1.img"
    try:
        subprocess.run(["cp", "--sparse=always", lab.disk("app1"), copy], check=True)
    finally:
        lab.ok("lab", "heal")
    yield copy
    copy.unlink()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_disk_boots_on_a_machine_that_is_no_container(
    lab: Lab, image: Path, tmp_path: Path, firmware: str
) -> None:
    estate = lab.estate()
    host = estate.host("app1")
    port = free_port()
    with running(qemu(estate, host, image, port, firmware, tmp_path)) as process:
        said = wait_for_ssh(estate, host, port, process, tmp_path / "serial.log")
    assert said[0] == "app1"
    assert "root=UUID=" in said[1]
    assert {line.split()[-1] for line in said if line.startswith("/dev/vda")} >= {"/", "/srv"}
    assert (said[-1] == "/sys/firmware/efi") == (firmware == "uefi")


def qemu(estate: Estate, host: Host, image: Path, port: int, firmware: str, scratch: Path) -> list[str]:
    network = estate.config.network
    user = f"user,model=virtio-net-pci,net={network.cidr},host={network.control[0]}"
    spare = [str(network.cidr[-number]) for number in (3, 20)]
    words = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "qemu64", "-smp", "2",
        "-m", "2048", "-nodefaults", "-display", "none", "-serial", f"file:{scratch / 'serial.log'}",
        "-drive", f"file={image},format=raw,if=virtio,cache=unsafe,snapshot=on",
        "-nic", f"{user},dns={spare[0]},dhcpstart={spare[1]},hostfwd=tcp:127.0.0.1:{port}-{host.address}:22",
    ]  # fmt: skip
    if firmware == "uefi":
        shutil.copy(OVMF / "OVMF_VARS_4M.fd", scratch / "vars.fd")
        words += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"]
        words += ["-drive", f"if=pflash,format=raw,file={scratch / 'vars.fd'}"]
    return words


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_ssh(
    estate: Estate, host: Host, port: int, process: subprocess.Popen[bytes], serial: Path
) -> list[str]:
    """What the booted system says, once its sshd answers with the host's pinned key."""
    line = [*command(estate, host, connect_timeout=30)[:-1], "-p", str(port), "root@127.0.0.1", LOOK]
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"qemu ended with {process.returncode}"
        done = subprocess.run(line, capture_output=True, text=True, timeout=120)
        if done.returncode != 255:
            return done.stdout.splitlines()
        assert "verification failed" not in done.stderr, done.stderr
        time.sleep(3)
    pytest.fail(
        f"no sshd within {BOOT_SECONDS} s; the console said: {serial.read_text(errors='replace')[-2000:]}"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
