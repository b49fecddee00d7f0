"""The application server: its runtime, its applications, their data."""

from __future__ import annotations

import re

testinfra_hosts = ["ansible://appserver"]
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


def test_only_the_described_features_are_installed(host):
    described = host.check_output("grep -rho '<feature>[^<]*' /opt/liberty --include=server.xml")
    wanted = {line.removeprefix("<feature>").lower() for line in described.splitlines()}
    log = host.check_output(
        "grep -rh CWWKF0012I /opt/liberty /var/lib/liberty /var/log/liberty 2>/dev/null | tail -1"
    )
    installed = {name.strip().lower() for name in re.search(r"\[([^][]*)\]\.?$", log).group(1).split(",")}
    assert wanted <= installed


def test_every_application_answers_with_its_database(host, estate):
    for application in estate["applications"]:
        url = f"https://{host.check_output('hostname')}:{estate['port']}{application['context_root']}/api/health"
        assert host.check_output("python3 -c %s %s", FETCH, url) == "200"


def test_every_application_runs_the_described_release(host, estate):
    for application in estate["applications"]:
        current = host.check_output("readlink -f /opt/apps/%s/current", application["name"])
        assert current.endswith(f"/{application['release']}")


def test_attachments_lie_on_the_data_partition(host, estate):
    assert host.mount_point("/srv").exists
    for application in estate["applications"]:
        folder = host.file(f"/srv/attachments/{application['name']}")
        assert (folder.is_directory, folder.user) == (True, "liberty")


def test_secrets_are_readable_by_liberty_alone(host):
    loose = host.check_output(
        "find /etc/liberty /opt/liberty -path '*variables*' -type f -perm /0077 2>/dev/null || true"
    )
    assert loose == ""
