"""Every host of the estate."""

from __future__ import annotations

import re
import socket
import time

import pytest

testinfra_hosts = ["ansible://all"]
TLS = "/etc/rmc-dr/tls"
SOON_SECONDS = 30 * 24 * 3600
LOOPBACK = ("127.", "[::1]", "[::ffff:127.")
CLOSED_PORT = 23


def test_runs_debian_13(host):
    assert (host.system_info.distribution, host.system_info.release.split(".")[0]) == ("debian", "13")


def test_has_its_own_name(host, name):
    assert host.check_output("cat /etc/hostname; uname -n").split() == [name, name]


def test_no_unit_failed(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_resolves_itself_and_the_estate_without_dns(host, estate):
    wanted = {(facts["address"], name) for name, facts in estate["hosts"].items()}
    answer = host.check_output(f"getent hosts {' '.join(estate['hosts'])}")
    assert {tuple(line.split()[:2]) for line in answer.splitlines()} == wanted


def test_time_zone(host, estate):
    assert host.check_output("readlink -f /etc/localtime").endswith(f"/{estate['timezone']}")


def test_clock_agrees_with_the_control_machine(host):
    before = time.time()
    there = float(host.check_output("date +%s.%N"))
    assert before - 30 < there < time.time() + 30
    assert host.service("systemd-timesyncd").is_enabled


def test_locale_is_generated(host, estate):
    wanted = {"en": "en_US", "zh": "zh_CN"}[estate["language"]]
    assert host.check_output("cat /etc/locale.conf") == f"LANG={wanted}.UTF-8"
    assert f"{wanted}.utf8" in host.check_output("locale -a").split()


def test_journal_is_kept(host):
    assert host.file(f"/var/log/journal/{host.check_output('cat /etc/machine-id')}").is_directory


def test_data_partition_is_mounted(host, described):
    if described["data"]:
        assert host.mount_point(described["data"]).exists


def test_nobody_has_a_password(host):
    assert host.check_output("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow") == ""


def test_root_is_the_only_superuser(host):
    assert host.check_output("awk -F: '$3 == 0 {print $1}' /etc/passwd") == "root"


def test_sudo_rules_are_sound(host):
    assert host.group("rmc-ops").exists
    assert host.file("/etc/sudoers.d/rmc-dr").mode == 0o440
    host.run_expect([0], "visudo -c -q")


def test_sshd_takes_keys_only(host):
    said = set(host.check_output("sshd -T").splitlines())
    assert said >= {
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitemptypasswords no",
        "permitrootlogin without-password",
        "x11forwarding no",
        "hostkey /etc/ssh/ssh_host_ed25519_key",
    }


def test_root_logs_in_from_the_control_machines_only(host, estate):
    lines = host.file("/root/.ssh/authorized_keys").content_string.splitlines()
    assert lines
    assert all(line.startswith(f'from="{",".join(estate["control"])}",') for line in lines)


def test_firewall_lets_in_the_described_ports_only(host, described):
    assert host.service("nftables").is_enabled
    rules = host.check_output("nft list table inet rmc_dr")
    assert "hook input priority filter; policy drop;" in rules
    opened = re.findall(r"dport (?:\{ ([\d, ]+) \}|(\d+)) accept", rules)
    assert {int(port) for pair in opened for port in re.findall(r"\d+", "".join(pair))} == {
        22,
        *described["ports"],
    }


def test_firewall_drops_the_rest(described):
    with pytest.raises(TimeoutError):
        socket.create_connection((described["address"], CLOSED_PORT), timeout=1)


def test_nothing_listens_on_a_port_that_is_not_described(host, described):
    ends = [line.split()[3].rsplit(":", 1) for line in host.check_output("ss -Hltn").splitlines()]
    outside = {int(port) for address, port in ends if not address.startswith(LOOPBACK)}
    assert outside <= {22, *described["ports"]}


def test_certificate_names_the_host(host, name, described):
    for question in (f"-checkhost {name}", f"-checkip {described['address']}"):
        said = host.check_output(f"openssl x509 -in {TLS}/host.pem -noout {question}")
        assert said.endswith("does match certificate")


def test_certificate_lasts(host):
    host.run_expect([0], f"openssl x509 -in {TLS}/host.pem -noout -checkend {SOON_SECONDS}")


def test_certificate_and_key_belong_together(host):
    public = host.check_output(f"openssl x509 -in {TLS}/host.pem -noout -pubkey")
    assert host.check_output(f"openssl pkey -in {TLS}/host.key -pubout") == public


def test_estates_ca_is_trusted(host):
    host.run_expect([0], f"openssl verify -CApath /etc/ssl/certs {TLS}/host.pem")


def test_keys_are_private(host):
    key = host.file(f"{TLS}/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert host.file("/root/.ssh/authorized_keys").mode == 0o600
    assert host.check_output("find /etc/ssh -name 'ssh_host_*_key' -printf '%f %m %u\\n'") == (
        "ssh_host_ed25519_key 600 root"
    )
