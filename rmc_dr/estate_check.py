"""What pydantic cannot see in an inventory: whether its parts fit together and its secrets are whole.

Looks at the estate's files only, never at its hosts.
"""

from __future__ import annotations

import ipaddress
import zoneinfo
from collections import Counter
from collections.abc import Iterable, Iterator

import yaml

from rmc_dr import content, estate_secrets, journey, notify, secrets
from rmc_dr.errors import BadInput
from rmc_dr.estate import ESTATE_FILE, Estate, Network
from rmc_dr.estate_problem import ESTATE, HOSTS, Problem, own_hosts
from rmc_dr.i18n import _
from rmc_dr.store import endpoint

EXAMPLE = content.root() / "inventories" / "example"
STORE_PORT = 443  # the one that its firewall opens
RESERVED_NAMES = {*secrets.SPARE_IDENTITIES, "control", "localhost"}


def check(estate: Estate) -> list[Problem]:
    """Everything that is wrong with an estate that could be loaded, the worst first."""
    parts = (
        _groups,
        _hosts,
        _addresses,
        _ports,
        _applications,
        _verification,
        _settings,
        _news,
        _store,
        _kit,
        _placeholders,
        estate_secrets.folder,
        estate_secrets.vault,
    )
    found = [problem for part in parts for problem in part(estate)]
    return sorted(found, key=lambda problem: problem.warning)


def _repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _groups(estate: Estate) -> Iterator[Problem]:
    wanted = {"appserver": 1, "dbserver": 2, "store": 1}
    for group, count in wanted.items():
        found = len(estate.group(group))
        if found != count:
            yield Problem(
                HOSTS,
                group,
                _("The group has {found} hosts instead of {count}.").format(found=found, count=count),
                _("An estate has one application server, two database hosts and one store with the witness."),
            )
    if len(estate.group("verifier")) > 1:
        yield Problem(
            HOSTS,
            "verifier",
            _("The group has {found} hosts instead of {count}.").format(
                found=len(estate.group("verifier")), count=1
            ),
            _("Backups are verified on one host; without one they are not verified."),
        )
    for host in own_hosts(estate):
        if len(host.groups) > 1:
            yield Problem(
                HOSTS,
                host.name,
                _("The host is in several groups: {groups}.").format(groups=", ".join(host.groups)),
                _("Keep it in one: each machine is rebuilt for one purpose."),
            )


def _hosts(estate: Estate) -> Iterator[Problem]:
    lab = estate.config.power.driver == "lab"
    for host in own_hosts(estate):
        if host.name in RESERVED_NAMES:
            yield Problem(
                HOSTS,
                host.name,
                _("The name {name} is reserved.").format(name=host.name),
                _("Give the host another name."),
            )
        if host.identity is None:
            yield Problem(
                HOSTS,
                f"{host.name}.identity",
                _("Nobody could tell this machine from another one: it has no identity."),
                _("Boot its rescue system and run `rmc-dr host adopt {host}`.").format(host=host.name),
            )
        elif (host.identity.reader == "lab") != lab:
            yield Problem(
                HOSTS,
                f"{host.name}.identity.reader",
                _("The reader `lab` and the power driver `lab` belong together."),
                _("Use the reader `dmi` for real machines."),
            )
        if host.disk is None:
            yield Problem(
                HOSTS,
                f"{host.name}.disk",
                _("The host has no disk layout."),
                _("Describe it: disk with root_gib and data."),
            )
    identities = [host.identity for host in own_hosts(estate) if host.identity]
    for key, values in (
        ("identity.machine", [identity.machine.lower() for identity in identities]),
        ("identity.disk", [identity.disk.lower() for identity in identities]),
    ):
        for value in _repeated(values):
            yield Problem(
                HOSTS,
                key,
                _("{value} stands at several hosts.").format(value=value),
                _("Read it from each machine's rescue system: `rmc-dr host adopt HOST`."),
            )


def _addresses(estate: Estate) -> Iterator[Problem]:
    network = estate.config.network
    taken = [host.address for host in estate.hosts.values()]
    control = {str(address) for address in network.control}
    drill = [str(network.drill_address)] if network.drill_address else []
    for address in _repeated([*taken, *control, *drill]):
        yield Problem(
            HOSTS,
            "ansible_host",
            _("The address {address} is given twice.").format(address=address),
            _("Every host and every control machine needs an address of its own."),
        )
    for host in estate.hosts.values():
        if ipaddress.IPv4Address(host.address) not in network.cidr:
            yield Problem(
                HOSTS,
                f"{host.name}.ansible_host",
                _("{address} is outside of {cidr}.").format(address=host.address, cidr=network.cidr),
                _("Correct the address, or estate.network.cidr in {file}.").format(file=ESTATE),
            )
    if network.gateway is not None and network.gateway not in network.cidr:
        yield Problem(
            ESTATE,
            "estate.network.gateway",
            _("{address} is outside of {cidr}.").format(address=network.gateway, cidr=network.cidr),
            _("Name the gateway of the hosts' own network, or leave it out."),
        )
    if estate.config.power.driver == "lab" and not _drill_address_fits(network):
        yield Problem(
            ESTATE,
            "estate.network.drill_address",
            _("The users of a drill have no address of their own."),
            _("Name a free one in {cidr} that estate.network.users lets in.").format(cidr=network.cidr),
        )
    if estate.config.power.driver == "lab" and network.bridge is None:
        yield Problem(
            ESTATE,
            "estate.network.bridge",
            _("The lab needs a bridge."),
            _("Name one, for example rmcdr0."),
        )


def _drill_address_fits(network: Network) -> bool:
    address = network.drill_address
    return address is not None and address in network.cidr and any(address in net for net in network.users)


def _ports(estate: Estate) -> Iterator[Problem]:
    config = estate.config
    on_database_hosts = {
        "estate.database.port": config.database.port,
        "estate.database.rest_port": config.database.rest_port,
        "estate.etcd.client_port": config.etcd.client_port,
        "estate.etcd.peer_port": config.etcd.peer_port,
    }
    for ports in (on_database_hosts, {"estate.applications.port": config.applications.port}):
        for key, port in ports.items():
            others = [22, *(other for name, other in ports.items() if name != key)]
            if port in others:
                yield Problem(
                    ESTATE,
                    key,
                    _("The port {port} is taken on the same host.").format(port=port),
                    _("SSH, PostgreSQL, Patroni and etcd each need a port of their own."),
                )


def _applications(estate: Estate) -> Iterator[Problem]:
    apps = estate.config.applications.apps
    for key, values in (
        ("name", [app.name for app in apps]),
        ("database", [app.database for app in apps]),
        ("context_root", [app.context_root for app in apps]),
    ):
        for value in _repeated(values):
            yield Problem(
                ESTATE,
                f"estate.applications.list.*.{key}",
                _("{value} is given twice.").format(value=value),
                _("Applications share nothing: each has its own name, database and context root."),
            )
    for app in apps:
        if app.database in ("postgres", "template0", "template1"):
            yield Problem(
                ESTATE,
                f"estate.applications.list.{app.name}.database",
                _("{value} is PostgreSQL's own database.").format(value=app.database),
                _("Give the application a database of its own."),
            )
        try:
            journey.read_steps(app)
        except BadInput as error:
            yield Problem(ESTATE, f"estate.applications.list.{app.name}.journey", error.message, error.hint)


def _verification(estate: Estate) -> Iterator[Problem]:
    """What the restored copy is asked must be of this estate."""
    backup, apps = estate.config.backup, {app.name: app for app in estate.config.applications.apps}
    for value in _repeated(check.name for check in backup.checks):
        yield Problem(
            ESTATE,
            "estate.backup.checks.*.name",
            _("{value} is given twice.").format(value=value),
            _("Give each check a name of its own: the verdict names it."),
        )
    databases = {app.database for app in apps.values()}
    for check in backup.checks:
        if check.database not in databases:
            yield Problem(
                ESTATE,
                f"estate.backup.checks.{check.name}.database",
                _("No application has the database {database}.").format(database=check.database),
                _("Name one of: {known}.").format(known=", ".join(sorted(databases))),
            )
    for known in backup.attachments:
        if known.application not in apps:
            yield Problem(
                ESTATE,
                f"estate.backup.attachments.{known.application}",
                _("There is no application {name}.").format(name=known.application),
                _("Name one of: {known}.").format(known=", ".join(sorted(apps))),
            )


def _settings(estate: Estate) -> Iterator[Problem]:
    config = estate.config
    if config.timezone not in zoneinfo.available_timezones():
        yield Problem(
            ESTATE,
            "estate.timezone",
            _("There is no time zone {zone}.").format(zone=config.timezone),
            _("Write it as in Asia/Shanghai."),
        )
    for key, path in (("estate.private_dir", config.private_dir), ("estate.kit.path", config.kit.path)):
        if not path.is_absolute():
            yield Problem(
                ESTATE,
                key,
                _("{path} is not an absolute path.").format(path=path),
                _("Begin it with /: rmc-dr is called from anywhere."),
            )
    for name in {log.host for log in config.evidence.network_logs} - {*estate.hosts, "control"}:
        yield Problem(
            ESTATE,
            "estate.evidence.network_logs",
            _("The estate has no host {host}.").format(host=name),
            _("Name one of its hosts, or control for this machine."),
        )


def _news(estate: Estate) -> Iterator[Problem]:
    """Addresses that nobody could be told at."""
    for name, address in notify.labels(estate_secrets.addresses(estate)).items():
        if not notify.is_understood(address):
            yield Problem(
                secrets.vault_file(estate).name,
                "vault.notify.addresses",
                _("The address {name} is none that Apprise knows.").format(name=name),
                _("Compare it with docs/runbooks/incident.md, then try it: `rmc-dr incident reach`."),
            )


def _store(estate: Estate) -> Iterator[Problem]:
    where = endpoint.of(estate)
    if where.name in estate.hosts and (
        "store" not in estate.hosts[where.name].groups or where.port != STORE_PORT
    ):
        yield Problem(
            ESTATE,
            "estate.s3.endpoint",
            _("{endpoint} is a host of the estate, but not its store at port {port}.").format(
                endpoint=estate.config.s3.endpoint, port=STORE_PORT
            ),
            _("Name the host of the group store, without a port, or a store outside of the estate."),
        )


def _kit(estate: Estate) -> Iterator[Problem]:
    kit, private = estate.config.kit.path, estate.private_dir
    if not kit.is_absolute() or (kit / "manifest.json").is_file():
        return
    taken = (kit.is_dir() and any(kit.iterdir())) or any(
        path.exists() and not path.is_dir() for path in (kit, *kit.parents)
    )
    if taken or kit == private or private in kit.parents or kit in private.parents:
        yield Problem(
            ESTATE,
            "estate.kit.path",
            _("No kit can lie in {path}: other things do.").format(path=kit),
            _("Name a folder that is empty or not there yet, apart from estate.private_dir."),
        )
    else:
        yield Problem(
            ESTATE,
            "estate.kit.path",
            _("There is no kit in {path}: nothing can be rebuilt yet.").format(path=kit),
            _("Run `rmc-dr kit build` on a connected machine, or copy a kit there."),
            warning=True,
        )


def _placeholders(estate: Estate) -> Iterator[Problem]:
    """What was copied from the example and is nobody's, in one line."""
    shown = yaml.safe_load((EXAMPLE / ESTATE_FILE).read_text(encoding="utf-8"))["estate"]
    groups = yaml.safe_load((EXAMPLE / HOSTS).read_text(encoding="utf-8"))["all"]["children"].values()
    identities = {
        str(value)
        for group in groups
        for host in group["hosts"].values()
        for key, value in host["identity"].items()
        if key != "reader"
    }
    config = estate.config
    left = [
        key
        for key, value, example in (
            ("estate.name", config.name, shown["name"]),
            ("estate.centre", config.centre, shown["centre"]),
            ("estate.s3.endpoint", config.s3.endpoint, shown["s3"]["endpoint"]),
            ("estate.s3.bucket", config.s3.bucket, shown["s3"]["bucket"]),
        )
        if value == example
    ]
    left += [
        f"{host.name}.identity"
        for host in own_hosts(estate)
        if host.identity and {host.identity.machine, host.identity.disk} & identities
    ]
    if left:
        yield Problem(
            ESTATE,
            ", ".join(left),
            _("The example's placeholders still stand there."),
            _("Put in your centre's own; `rmc-dr host adopt HOST` reads the identities."),
            warning=True,
        )
