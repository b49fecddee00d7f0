"""The application server: its runtime, its applications, their data."""

from __future__ import annotations

import re

testinfra_hosts = ["ansible://appserver"]
SERVER = "/var/lib/liberty/servers/rmc"
FETCH = (
    "import ssl, sys, urllib.request as u;"
    "trust = ssl.create_default_context(cafile='/etc/rmc-dr/tls/ca.pem');"
    "print(u.urlopen(sys.argv[1], timeout=10, context=trust).status)"
)


def test_liberty_runs_as_its_own_user(host):
    service = host.service("liberty")
    assert service.is_running
    assert service.is_enabled
    assert host.check_output("ps -o user= -p $(systemctl show -p MainPID --value liberty)") == "liberty"


def test_runtime_is_debians_openjdk(host):
    assert 'version "21' in host.run("java -version").stderr


def test_runtime_holds_the_features_in_use_and_no_others(host):
    used = set(re.findall(r"<feature>([^<]+)</feature>", host.file(f"{SERVER}/server.xml").content_string))
    _archive, *installed = host.check_output("cat /opt/liberty/current/.runtime").split()
    assert used
    assert set(installed) == used


def test_liberty_has_loaded_its_features(host):
    used = re.findall(r"<feature>([^<]+)</feature>", host.file(f"{SERVER}/server.xml").content_string)
    log = host.check_output("grep -h CWWKF0012I /var/log/liberty/messages*.log | tail -1")
    loaded = {feature.strip().lower() for feature in log[log.rindex("[") + 1 : log.rindex("]")].split(",")}
    assert {feature.lower() for feature in used} <= loaded


def test_every_application_answers_with_its_database(host, estate, name):
    for application in estate["applications"]:
        url = f"https://{name}:{estate['port']}{application['context_root']}/api/health"
        assert host.check_output("python3 -c %s %s", FETCH, url) == "200"


def test_every_application_runs_the_described_release(host, estate):
    for application in estate["applications"]:
        current = host.check_output("readlink -f /opt/apps/%s/current", application["name"])
        assert current.endswith(f"/{application['release']}")


def test_attachments_lie_on_the_data_partition(host, estate):
    assert host.mount_point("/srv").exists
    for application in estate["applications"]:
        folder = host.file(f"/srv/attachments/{application['name']}")
        assert (folder.is_directory, folder.user, folder.mode) == (True, "liberty", 0o750)


def test_secrets_are_readable_by_liberty_alone(host):
    assert host.check_output(f"find {SERVER} -type f -perm /0007") == ""
    assert host.check_output(f"find {SERVER}/variables -type f") != ""
    assert host.check_output("stat -c %U:%G:%a /run/liberty/keystore.p12") == "liberty:liberty:600"


def test_applications_cannot_change_their_own_code(host):
    assert host.check_output("find /opt/apps /opt/liberty/ -not -user root -print -quit") == ""


def test_file_backup_is_configured(host):
    """The store itself may be down; that keeps no application from its users."""
    assert host.package("restic").is_installed
    assert host.file("/usr/local/sbin/rmc-dr-restic").mode == 0o755


def test_file_backup_secrets_are_readable_by_root_alone(host):
    secrets = host.file("/etc/rmc-dr/restic.env")
    assert (secrets.user, secrets.group, secrets.mode) == ("root", "root", 0o600)
    assert "RESTIC_CACERT=/" in secrets.content_string
