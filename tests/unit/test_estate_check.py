"""`rmc-dr estate check`: each thing that can be wrong in an inventory is named with file, key and remedy."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import ValidationError

from rmc_dr import content, secrets
from rmc_dr.cli.common import Context
from rmc_dr.cli.estate import estate as command
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, EstateConfig, Identity, Secrets, load
from rmc_dr.estate_backup import S3, Expect
from rmc_dr.estate_check import check
from rmc_dr.estate_evidence import EvidenceConfig, NetworkLog
from rmc_dr.estate_problem import Problem

EXAMPLE = content.root() / "inventories" / "example"


@pytest.fixture(autouse=True)
def _no_password_in_the_environment(monkeypatch):
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD", raising=False)
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD_FILE", raising=False)


@pytest.fixture
def whole(estate: Estate, tmp_path: Path) -> Estate:
    """An estate without a fault: secrets made and opened, a kit in its place."""
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "manifest.json").write_text("{}")
    estate = changed(estate, kit={"path": str(kit)})
    secrets.make(estate)
    return opened(estate)


def opened(estate: Estate) -> Estate:
    password = secrets._password(estate)
    return replace(estate, secrets=Secrets(secrets._read_vault(estate, password)))


def changed(estate: Estate, **parts: dict[str, Any]) -> Estate:
    raw = estate.config.model_dump(mode="json", by_alias=True)
    for name, part in parts.items():
        raw[name] = {**raw[name], **part} if isinstance(part, dict) else part
    return replace(estate, config=EstateConfig.model_validate(raw))


def with_host(estate: Estate, name: str, **values: Any) -> Estate:
    return replace(estate, hosts={**estate.hosts, name: replace(estate.host(name), **values)})


def without_host(estate: Estate, name: str) -> Estate:
    return replace(estate, hosts={key: host for key, host in estate.hosts.items() if key != name})


def application(estate: Estate, number: int, **values: Any) -> Estate:
    apps = estate.config.model_dump(mode="json", by_alias=True)["applications"]["list"]
    apps[number] = {**apps[number], **values}
    return changed(estate, applications={"list": apps})


def forgetting(estate: Estate, *keys: str) -> Estate:
    vault = json.loads(json.dumps(dict(estate.opened()._vault)))
    inner = vault
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return replace(estate, secrets=Secrets(vault))


def test_a_whole_estate_has_no_problem(whole):
    assert check(whole) == []


WRONG: list[tuple[str, Any, str, str]] = [
    ("one database host", lambda e: without_host(e, "db2"), "hosts.yml", "dbserver"),
    ("no store", lambda e: without_host(e, "store1"), "hosts.yml", "store"),
    ("two purposes", lambda e: with_host(e, "app1", groups=("appserver", "store")), "hosts.yml", "app1"),
    ("no identity", lambda e: with_host(e, "db1", identity=None), "hosts.yml", "db1.identity"),
    ("no disk", lambda e: with_host(e, "db1", disk=None), "hosts.yml", "db1.disk"),
    (
        "identity by the wrong reader",
        lambda e: with_host(e, "db1", identity=Identity(reader="dmi", machine="m", disk="d")),
        "hosts.yml",
        "db1.identity.reader",
    ),
    (
        "one machine twice",
        lambda e: with_host(e, "db1", identity=e.host("db2").identity),
        "hosts.yml",
        "identity.machine",
    ),
    (
        "one address twice",
        lambda e: with_host(e, "db1", address="198.51.100.22"),
        "hosts.yml",
        "ansible_host",
    ),
    ("control's address", lambda e: with_host(e, "db1", address="198.51.100.1"), "hosts.yml", "ansible_host"),
    ("foreign address", lambda e: with_host(e, "db1", address="10.0.0.1"), "hosts.yml", "db1.ansible_host"),
    (
        "foreign gateway",
        lambda e: changed(e, network={"gateway": "10.0.0.1"}),
        "estate.yml",
        "estate.network.gateway",
    ),
    (
        "users of a drill without an address",
        lambda e: changed(e, network={"drill_address": None}),
        "estate.yml",
        "estate.network.drill_address",
    ),
    (
        "users of a drill whom the firewall keeps out",
        lambda e: changed(e, network={"users": ["10.0.0.0/8"]}),
        "estate.yml",
        "estate.network.drill_address",
    ),
    (
        "users of a drill whom every fence lets through",
        lambda e: changed(e, network={"drill_address": "198.51.100.1"}),
        "hosts.yml",
        "ansible_host",
    ),
    ("no bridge", lambda e: changed(e, network={"bridge": None}), "estate.yml", "estate.network.bridge"),
    (
        "the store's endpoint on a database host",
        lambda e: changed(e, s3={"endpoint": "https://db1"}),
        "estate.yml",
        "estate.s3.endpoint",
    ),
    (
        "a port of the store that no firewall opens",
        lambda e: changed(e, s3={"endpoint": "https://store1:8443"}),
        "estate.yml",
        "estate.s3.endpoint",
    ),
    (
        "one port twice",
        lambda e: changed(e, database={"rest_port": 5432}),
        "estate.yml",
        "estate.database.port",
    ),
    (
        "the port of SSH",
        lambda e: changed(e, applications={"port": 22}),
        "estate.yml",
        "estate.applications.port",
    ),
    (
        "shared database",
        lambda e: application(e, 1, database="management"),
        "estate.yml",
        "estate.applications.list.*.database",
    ),
    (
        "PostgreSQL's database",
        lambda e: application(e, 1, database="postgres"),
        "estate.yml",
        "estate.applications.list.verification.database",
    ),
    (
        "journey elsewhere",
        lambda e: application(e, 1, journey=[{"get": "/management/api/health"}]),
        "estate.yml",
        "estate.applications.list.verification.journey",
    ),
    (
        "logs on a host that is none",
        lambda e: changed(e, evidence=EvidenceConfig(network_logs=[NetworkLog(host="sw1", path="/var/log")])),
        "estate.yml",
        "estate.evidence.network_logs",
    ),
    ("no such time zone", lambda e: changed(e, timezone="Asia/Nowhere"), "estate.yml", "estate.timezone"),
    ("relative folder", lambda e: changed(e, kit={"path": "kit"}), "estate.yml", "estate.kit.path"),
    (
        "no password",
        lambda e: forgetting(e, "postgres", "rewind_password"),
        "",
        "vault.postgres.rewind_password",
    ),
    (
        "no host key",
        lambda e: forgetting(e, "ssh_host_keys", "rescue", "private"),
        "",
        "vault.ssh_host_keys.rescue.private",
    ),
    ("no certificate", lambda e: forgetting(e, "tls", "hosts", "db1"), "", "vault.tls.hosts.db1"),
    ("moved host", lambda e: with_host(e, "db1", address="198.51.100.77"), "", "vault.tls.hosts.db1"),
]


@pytest.mark.parametrize(("change", "file", "key"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_named(whole, change, file, key):
    found = check(change(whole))
    file = file or str(secrets.vault_file(whole))
    assert (file, key) in {(problem.file, problem.key) for problem in found}
    assert all(problem.message and problem.remedy and not problem.warning for problem in found)


def test_one_fault_is_named_once(whole):
    found = check(changed(whole, timezone="Asia/Nowhere"))
    assert [problem.key for problem in found] == ["estate.timezone"]


def test_a_reserved_name_is_refused(whole):
    host = replace(whole.host("db2"), name="rescue")
    hosts = {name: value for name, value in whole.hosts.items() if name != "db2"}
    found = check(replace(whole, hosts={**hosts, "rescue": host}))
    assert "rescue" in {problem.key for problem in found}


def test_a_missing_kit_is_a_warning(whole, tmp_path):
    (tmp_path / "kit/manifest.json").unlink()
    assert [(problem.key, problem.warning) for problem in check(whole)] == [("estate.kit.path", True)]


def test_missing_files_are_named(whole):
    (whole.private_dir / "known_hosts").unlink()
    assert [problem.key for problem in check(whole)] == ["known_hosts"]


def test_an_open_folder_is_named(whole):
    whole.private_dir.chmod(0o755)
    assert [problem.key for problem in check(whole)] == ["estate.private_dir"]


@pytest.mark.parametrize(
    "make",
    [
        lambda kit: kit.write_text("a file"),
        lambda kit: (kit.mkdir(), (kit / "letters.txt").write_text("something else")),
        lambda kit: (kit.parent / "file").write_text("a file"),
    ],
)
def test_a_kit_path_that_is_taken_is_wrong(whole, tmp_path, make):
    kit = tmp_path / "other" / "kit"
    kit.parent.mkdir()
    make(kit)
    inside = kit if kit.exists() else kit.parent / "file" / "kit"
    found = check(changed(whole, kit={"path": str(inside)}))
    assert [(problem.key, problem.warning) for problem in found] == [("estate.kit.path", False)]


def test_a_kit_among_the_secrets_is_wrong(whole):
    for path in (whole.private_dir, whole.private_dir / "kit", whole.private_dir.parent, Path("/")):
        [found] = check(changed(whole, kit={"path": str(path)}))
        assert (found.key, found.warning) == ("estate.kit.path", False), path


def test_what_was_only_copied_is_named_in_one_line(whole):
    example = yaml.safe_load((EXAMPLE / "group_vars/all/estate.yml").read_text())["estate"]
    hosts = yaml.safe_load((EXAMPLE / "hosts.yml").read_text())["all"]["children"]
    copied = changed(whole, centre=example["centre"], s3={"bucket": example["s3"]["bucket"]})
    disk = hosts["dbserver"]["hosts"]["db1"]["identity"]["disk"]
    copied = with_host(copied, "db1", identity=Identity(reader="lab", machine="m", disk=disk))
    [found] = check(copied)
    assert (found.key, found.warning) == ("estate.centre, estate.s3.bucket, db1.identity", True)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("targets", {"rto_hours": float("inf")}),
        ("targets", {"rpo_minutes": float("nan")}),
        ("targets", {"rto_hours": 1e9}),
        ("power", {"manual_timeout_minutes": 1e6}),
        ("kit", {"max_age_days": 10**9}),
        ("database", {"port": 70000}),
        ("database", {"lag_warning_seconds": float("inf")}),
        ("liberty", {"heap_mib": 10**9}),
        ("s3", {"lock_days": 10**6}),
        ("s3", {"quota_gib": 10**12}),
        ("s3", {"bandwidth_mbit": 0}),
        ("s3", {"bandwidth_mbit": -100}),
        ("s3", {"bandwidth_mbit": 10**9}),
        ("s3", {"bandwidth_mbit": "1 Gbit/s"}),
        ("s3", {"bandwidth_mbit": float("inf")}),
        ("backup", {"keep_full": 10**6}),
        ("backup", {"max_age_hours": 10**7}),
        ("backup", {"sample": 10**9}),
    ],
)
def test_a_number_that_nobody_means_is_refused(estate, part, values):
    raw = estate.config.model_dump(mode="json", by_alias=True)
    raw[part] = {**raw[part], **values}
    with pytest.raises(ValidationError):
        EstateConfig.model_validate(raw)


def test_a_line_to_the_store_need_not_be_described(estate):
    assert estate.config.s3.bandwidth_mbit is None
    raw = estate.config.s3.model_dump()
    assert S3.model_validate({**raw, "bandwidth_mbit": 1000}).bandwidth_mbit == 1000


def test_a_line_that_cannot_be_is_named_by_its_key(tmp_path, monkeypatch):
    inventory = tmp_path / "mycentre"
    shutil.copytree(EXAMPLE, inventory)
    file = inventory / "group_vars/all/estate.yml"
    text = file.read_text()
    assert "    # bandwidth_mbit: 1000\n" in text, "the example explains it"
    file.write_text(text.replace("    # bandwidth_mbit: 1000\n", "    bandwidth_mbit: 0\n"))
    with pytest.raises(BadInput) as wrong:
        load(inventory)
    assert (wrong.value.code, "estate.s3.bandwidth_mbit" in wrong.value.message) == ("estate-invalid", True)


@pytest.mark.parametrize("expect", [{"min": float("-inf")}, {"equals": float("nan")}, {"min": 2, "max": 1}])
def test_a_check_that_nothing_could_pass_is_refused(expect):
    with pytest.raises(ValidationError):
        Expect.model_validate(expect)


def test_a_vault_in_clear_is_named(whole):
    secrets.vault_file(whole).write_text("vault: {}\n")
    assert [problem.key for problem in check(whole)] == ["vault"]


def test_no_vault_yet(whole):
    secrets.vault_file(whole).unlink()
    assert [problem.key for problem in check(whole)] == ["vault"]


def run(estate: Estate, *words: str) -> Any:
    context = Context()
    context.__dict__["_estate"] = estate
    return CliRunner().invoke(command, words, obj=context, standalone_mode=False)


def test_the_command_says_and_returns_it(whole):
    done = run(changed(whole, timezone="Asia/Nowhere"), "check")
    assert done.return_value == 2
    done = run(whole, "check")
    assert done.return_value == 0


def test_the_command_speaks_json(whole):
    done = run(changed(whole, timezone="Asia/Nowhere"), "check", "--json")
    [problem] = json.loads(done.output)["problems"]
    assert Problem(**problem).key == "estate.timezone"


def test_the_example_becomes_an_estate_by_one_command(tmp_path, monkeypatch):
    """Copy, correct, `estate init`, `estate check`: as the README says."""
    inventory = tmp_path / "mycentre"
    shutil.copytree(EXAMPLE, inventory)
    file = inventory / "group_vars/all/estate.yml"
    file.write_text(file.read_text().replace("/etc/rmc-dr/private", str(tmp_path / "private")))
    fresh = load(inventory)
    assert {problem.message for problem in check(fresh) if not problem.warning} == {"It is missing."}
    secrets.make(fresh)
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", str(tmp_path / "private/vault-password"))
    assert [problem for problem in check(load(inventory)) if not problem.warning] == []


def test_the_example_shows_every_key():
    def keys(value: Any, path: str = "") -> set[str]:
        if isinstance(value, dict):
            return {path, *(key for name, child in value.items() for key in keys(child, f"{path}.{name}"))}
        return {path}

    shown, used = (
        yaml.safe_load((content.root() / "inventories" / name / "group_vars/all/estate.yml").read_text())[
            "estate"
        ]
        for name in ("example", "lab")
    )
    assert keys(used) - keys(shown) == {".network.bridge", ".network.drill_address"}


def test_the_example_vault_has_the_shape_of_a_real_one(whole):
    shown = yaml.safe_load((EXAMPLE / "vault.example.yml").read_text())["vault"]
    real = dict(whole.opened()._vault)
    assert set(shown) == set(real)
    for part in ("postgres", "patroni", "s3", "backup", "tls"):
        assert set(shown[part]) == set(real[part])
    assert set(shown["apps"]["management"]) == set(real["apps"]["management"])


def test_the_example_reaches_hosts_as_the_lab_does():
    example, lab = (
        (content.root() / "inventories" / name / "group_vars/all/connection.yml").read_text()
        for name in ("example", "lab")
    )
    assert example == lab
