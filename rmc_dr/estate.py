"""`ansible-inventory --list` -> a validated Estate. The only reader of the inventory."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, RootModel, ValidationError

from rmc_dr import content
from rmc_dr.errors import BadInput
from rmc_dr.estate_backup import S3, Backup
from rmc_dr.estate_evidence import EvidenceConfig
from rmc_dr.estate_files import no_secrets, refuse_monstrous, refuse_odd_name
from rmc_dr.estate_inspection import InspectionConfig
from rmc_dr.estate_limits import Thresholds
from rmc_dr.i18n import _
from rmc_dr.incident.terms import YEAR_HOURS, Terms
from rmc_dr.strict import Strict

ESTATE_FILE = "group_vars/all/estate.yml"
VAULT_FILE = "group_vars/all/vault.yml"
DEPLOYED_FILE = "group_vars/all/deployed.yml"
DEPLOYED = "deployed_releases"
GROUPS = ("appserver", "dbserver", "store", "verifier", "builder")
RELEASE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$"
Model = TypeVar("Model", bound=BaseModel)


class Targets(Strict):
    """What the contract promises: recovery time in hours, data loss in minutes."""

    rto_hours: float = Field(gt=0, le=YEAR_HOURS)
    rpo_minutes: float = Field(gt=0, le=60 * YEAR_HOURS)


class Network(Strict):
    """The estate's network. ``control`` are the addresses that rmc-dr itself runs on; from ``drill_address``
    come the users of a drill, because the control machines are let through every fence.
    """

    cidr: ipaddress.IPv4Network
    interface: str = Field(min_length=1, max_length=15)
    gateway: ipaddress.IPv4Address | None = None
    bridge: str | None = Field(default=None, max_length=15)
    drill_address: ipaddress.IPv4Address | None = None
    control: list[ipaddress.IPv4Address] = Field(min_length=1)
    users: list[ipaddress.IPv4Network] = Field(min_length=1)


class PowerConfig(Strict):
    """How a host's power is switched; ``manual`` asks a person."""

    driver: Literal["lab", "manual"]
    manual_timeout_minutes: float = Field(default=60, gt=0, le=24 * 60)


class KitConfig(Strict):
    path: Path
    max_age_days: int = Field(gt=0, le=3650)


class Application(Strict):
    """One of the centre's applications. A journey is a list of HTTP steps, see docs/runbooks/journey.md.

    ``release`` is the one that was deployed last, which deployed.yml names, or else the one of estate.yml.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    release: str = Field(pattern=RELEASE)
    context_root: str = Field(pattern=r"^/[A-Za-z0-9._-]+$")
    database: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    journey: list[dict[str, Any]] = Field(min_length=1)
    test_patient: str | None = None


class Deployed(RootModel[dict[str, Annotated[str, Field(pattern=RELEASE)]]]):
    """Application to the release that `rmc-dr deploy` has brought last."""


class Applications(Strict):
    port: int = Field(gt=0, lt=65536)
    apps: list[Application] = Field(min_length=1, alias="list")


class Database(Strict):
    """The pair. Timeouts in seconds; a lag above either threshold makes the standby `standby-lagging`."""

    cluster: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    port: int = Field(gt=0, lt=65536)
    rest_port: int = Field(gt=0, lt=65536)
    connect_timeout_seconds: int = Field(ge=2, le=60)
    statement_timeout_seconds: int = Field(ge=1, le=60)
    lag_warning_bytes: int = Field(gt=0, le=2**50)
    lag_warning_seconds: float = Field(gt=0, le=86400)


class Etcd(Strict):
    client_port: int = Field(gt=0, lt=65536)
    peer_port: int = Field(gt=0, lt=65536)


class Liberty(Strict):
    archive: str = Field(min_length=1)
    heap_mib: int = Field(ge=128, le=2**20)


class EstateConfig(Strict):
    """The dictionary `estate` of group_vars/all/estate.yml."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    centre: str = Field(min_length=1)
    timezone: str = Field(pattern=r"^[A-Za-z0-9._+/-]{1,64}$")
    language: Literal["en", "zh"]
    private_dir: Path
    targets: Targets
    network: Network
    power: PowerConfig
    kit: KitConfig
    applications: Applications
    database: Database
    etcd: Etcd
    liberty: Liberty
    s3: S3
    backup: Backup
    evidence: EvidenceConfig = Field(default_factory=EvidenceConfig)
    check: Thresholds = Field(default_factory=Thresholds)
    inspection: InspectionConfig = Field(default_factory=InspectionConfig)
    incident: Terms


class Identity(Strict):
    """What a machine must prove before its disk is written: by DMI, or by the lab's own marks."""

    reader: Literal["lab", "dmi"]
    machine: str = Field(min_length=1)
    disk: str = Field(pattern=r"^[^/\s]+$")


class DiskLayout(Strict):
    """Sizes in GiB. ``size_gib`` is only used by the lab, which makes its disks itself."""

    root_gib: int = Field(ge=2, le=2**14)
    data: str = Field(pattern=r"^/[a-z]+$")
    size_gib: int | None = Field(default=None, ge=4, le=2**17)


@dataclass(frozen=True)
class Host:
    """One machine; ``groups`` without `all`, the first is what it is for."""

    name: str
    groups: tuple[str, ...]
    address: str
    identity: Identity | None
    disk: DiskLayout | None
    image: str


@dataclass(frozen=True, repr=False)
class Secrets:
    """The estate's opened vault. Never printed, never recorded."""

    _vault: Mapping[str, Any]

    def get(self, *keys: str) -> str:
        """The secret at a path of keys. Raises BadInput where the vault lacks it."""
        value: Any = self._vault
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                raise BadInput(
                    "vault-incomplete",
                    _("The vault has no key vault.{path}.").format(path=".".join(keys)),
                    _("Run `rmc-dr estate init` to make what is missing, or add it with ansible-vault."),
                )
            value = value[key]
        return str(value)

    def values(self) -> frozenset[str]:
        """Every secret string, for the guard that keeps them out of records; public keys are none."""
        return frozenset(_leaves(self._vault))

    def __repr__(self) -> str:
        return "Secrets(...)"


def _leaves(value: Any, key: str = "") -> set[str]:
    if isinstance(value, Mapping):
        return {leaf for name, child in value.items() for leaf in _leaves(child, str(name))}
    public = key in ("public", "certificate", "ca_certificate", "user")
    return set() if public or not value else {str(value)}


@dataclass(frozen=True)
class Estate:
    """All the machines of one centre, validated."""

    name: str
    inventory: Path
    config: EstateConfig
    hosts: Mapping[str, Host]
    secrets: Secrets | None
    vault_stamp: int | None = None  # when the vault was written that the secrets were read from

    @property
    def private_dir(self) -> Path:
        return self.config.private_dir

    def host(self, name: str) -> Host:
        """One host. Raises BadInput for a name that the inventory does not know."""
        refuse_odd_name(name)
        if name not in self.hosts:
            known = ", ".join(sorted(host for host in self.hosts if "builder" not in self.hosts[host].groups))
            raise BadInput(
                "unknown-host",
                _("The estate {estate} has no host {host}.").format(estate=self.name, host=name),
                _("Its hosts are: {hosts}.").format(hosts=known),
            )
        return self.hosts[name]

    def group(self, name: str) -> list[Host]:
        return [host for host in self.hosts.values() if name in host.groups]

    def only(self, group: str) -> Host:
        """The one host of a group. Raises BadInput where there are several, or none."""
        members = self.group(group)
        if len(members) == 1:
            return members[0]
        raise BadInput(
            "which-host",
            _("The estate {estate} has {count} hosts in the group {group}; which one is meant?").format(
                estate=self.name, count=len(members), group=group
            ),
            _("Name one: {hosts}.").format(hosts=", ".join(host.name for host in members))
            if members
            else _("Describe it in hosts.yml under {group}.").format(group=group),
        )

    def opened(self) -> Secrets:
        """The secrets. Raises BadInput where the vault is missing, empty or none."""
        if self.secrets is None:
            vault = self.inventory / VAULT_FILE
            raise no_secrets(vault, lab=self.config.power.driver == "lab")
        return self.secrets


def load(inventory: Path) -> Estate:
    """Read and validate an inventory folder. Raises BadInput naming file, key and remedy."""
    inventory = inventory.absolute()
    if not (inventory / ESTATE_FILE).is_file():
        raise BadInput(
            "no-inventory",
            _("There is no estate in {path}: {file} is missing.").format(path=inventory, file=ESTATE_FILE),
            _("Name the inventory with -i or RMC_DR_INVENTORY; copy inventories/example to begin."),
        )
    refuse_monstrous(inventory)
    stamp = _vault_stamp(inventory)
    listing = _list_inventory(inventory)
    hostvars: dict[str, Any] = listing["_meta"]["hostvars"]
    if not hostvars:
        raise BadInput(
            "no-hosts",
            _("{path} names no host.").format(path=inventory / "hosts.yml"),
            _("List the hosts under the groups appserver, dbserver and store."),
        )
    common = next(iter(hostvars.values()))
    config = _with_deployed(
        _validated(EstateConfig, common.get("estate"), inventory / ESTATE_FILE, "estate"),
        common.get(DEPLOYED),
        inventory / DEPLOYED_FILE,
    )
    hosts = {
        name: _host(name, values, _groups(listing, name), inventory) for name, values in hostvars.items()
    }
    vault = common.get("vault")
    secrets = Secrets(vault) if isinstance(vault, Mapping) else None
    return Estate(config.name, inventory, config, hosts, secrets, stamp)


def _with_deployed(config: EstateConfig, deployed: Any, source: Path) -> EstateConfig:
    """The configuration with the releases that were deployed; a name of no application is left alone."""
    found = {} if deployed is None else _validated(Deployed, deployed, source, DEPLOYED).root
    apps = [
        app.model_copy(update={"release": found.get(app.name, app.release)})
        for app in config.applications.apps
    ]
    return config.model_copy(update={"applications": config.applications.model_copy(update={"apps": apps})})


def with_new_secrets(estate: Estate) -> Estate:
    """The estate as it is now if its vault was written since it was read: a playbook may renew passwords."""
    same = estate.vault_stamp in (None, _vault_stamp(estate.inventory))
    return estate if same else load(estate.inventory)


def _vault_stamp(inventory: Path) -> int | None:
    try:
        return (inventory / VAULT_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def ansible_environment() -> dict[str, str]:
    """The environment in which Ansible finds the project's configuration and asks for the vault password."""
    ours = {
        "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
    }
    return {**os.environ, **ours}


def _list_inventory(inventory: Path) -> dict[str, Any]:
    done = subprocess.run(
        ["ansible-inventory", "-i", str(inventory), "--list"],
        env=ansible_environment(),
        cwd=content.root(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or "Failed to parse" in done.stderr:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        parse = next((line for line in lines if "Failed to parse" in line or "parsing failed" in line), "")
        vault = "decrypt" in done.stderr.lower() or ("vault" in done.stderr.lower() and not parse)
        said = parse or next((line for line in lines if "rror" in line), "") or "; ".join(lines[-2:])
        raise BadInput(
            "vault-closed" if vault else "inventory-unreadable",
            _("The vault of {path} cannot be opened.").format(path=inventory)
            if vault
            else _("The inventory {path} cannot be read: {said}").format(path=inventory, said=said[:400]),
            _("Set RMC_DR_VAULT_PASSWORD or RMC_DR_VAULT_PASSWORD_FILE to the right password.")
            if vault
            else _("Compare it with inventories/example and correct the YAML."),
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _groups(listing: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(group for group in GROUPS if name in listing.get(group, {}).get("hosts", ()))


def _host(name: str, values: Mapping[str, Any], groups: tuple[str, ...], inventory: Path) -> Host:
    source = inventory / "hosts.yml"
    refuse_odd_name(name)
    if not groups:
        raise BadInput(
            "host-without-group",
            _("{file}: the host {host} belongs to no known group.").format(file=source, host=name),
            _("Put it under one of: {groups}.").format(groups=", ".join(GROUPS)),
        )
    try:
        address = str(ipaddress.IPv4Address(values.get("ansible_host", "")))
    except ValueError:
        raise BadInput(
            "host-address",
            _("{file}: the host {host} has no IPv4 address in ansible_host.").format(file=source, host=name),
            _("Write ansible_host as an address such as 10.0.0.11; name servers may be down in a disaster."),
        ) from None
    identity, disk = values.get("identity"), values.get("disk")
    return Host(
        name=name,
        groups=groups,
        address=address,
        identity=_validated(Identity, identity, source, f"{name}.identity") if identity is not None else None,
        disk=_validated(DiskLayout, disk, source, f"{name}.disk") if disk is not None else None,
        image=str(values.get("image", groups[0])),
    )


def _validated(model: type[Model], value: Any, source: Path, key: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join([key, *(str(part) for part in first["loc"])])
        raise BadInput(
            "estate-invalid",
            _("{file}: {key}: {problem}.").format(file=source, key=where, problem=first["msg"]),
            _("Correct {key}; inventories/example shows every key with its meaning.").format(key=where),
        ) from None
