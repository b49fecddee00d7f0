"""Every host of the estate."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://all"]
SOON_SECONDS = 14 * 24 * 3600


def test_runs_debian_13(host):
    assert (host.system_info.distribution, host.system_info.release.split(".")[0]) == ("debian", "13")


def test_no_unit_failed(host):
    failed = host.check_output("systemctl list-units --failed --plain --no-legend")
    assert failed == ""


def test_resolves_itself_and_the_estate_without_dns(host, estate):
    assert host.check_output("hostname") in estate["hosts"]
    for name, address in estate["hosts"].items():
        assert address in host.check_output("getent hosts %s", name)


def test_time_zone(host, estate):
    assert host.check_output("readlink -f /etc/localtime").endswith(f"/{estate['timezone']}")


def test_clock_agrees_with_the_control_machine(host):
    import time

    assert abs(float(host.check_output("date +%s.%N")) - time.time()) < 30


@pytest.mark.parametrize(
    "setting", ["passwordauthentication no", "kbdinteractiveauthentication no", "permitemptypasswords no"]
)
def test_sshd_takes_keys_only(host, setting):
    assert setting in host.check_output("sshd -T")


def test_root_has_no_password(host):
    assert host.check_output("passwd --status root").split()[1] in ("L", "NP")


def test_firewall_drops_what_it_does_not_name(host):
    assert host.service("nftables").is_enabled
    assert "policy drop" in host.check_output("nft list chain inet filter input")


def test_journal_is_kept(host):
    assert host.file("/var/log/journal").is_directory


def test_estate_ca_is_trusted(host):
    host.run_expect([0], "openssl verify -CApath /etc/ssl/certs /etc/rmc-dr/tls/host.pem")


def test_certificate_does_not_end_soon(host):
    host.run_expect([0], f"openssl x509 -noout -checkend {SOON_SECONDS} -in /etc/rmc-dr/tls/host.pem")


def test_private_keys_are_private(host):
    key = host.file("/etc/rmc-dr/tls/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert host.file("/etc/ssh/ssh_host_ed25519_key").mode == 0o600


def test_only_known_ports_are_open(host, estate):
    allowed = set(estate["ports"][host.check_output("hostname")]) | {22}
    open_ports = {
        int(line.split()[3].rsplit(":", 1)[1])
        for line in host.check_output("ss -Hltn").splitlines()
        if not line.split()[3].startswith(("127.", "[::1]"))
    }
    assert open_ports <= allowed
