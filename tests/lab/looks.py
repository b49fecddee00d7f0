"""One look with each command that must name faults, as a row of the fault table needs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from conftest import Lab
from fault_table import CHECK, DB, STATUS, VERIFY, Look

Looking = Callable[[Lab], Look]


def backup_status(lab: Lab) -> Look:
    judged = json.loads(lab.run("backup", "status", "--json").out)
    said = "; ".join(f"{remark['code']}: {remark['text']}" for remark in judged["remarks"])
    return Look(STATUS, judged["level"] == "OK", judged["level"], said)


def store_check(lab: Lab) -> Look:
    found = lab.run("store", "check", "--json")
    failed = [one for one in json.loads(found.out)["checks"] if not one["passed"]]
    said = "; ".join(f"{one['name']}: {one['detail']}" for one in failed)
    return Look(CHECK, found.code == 0, f"red: {len(failed)} checks" if failed else "green", said)


def db_status(lab: Lab) -> Look:
    return of_pair(json.loads(lab.run("db", "status", "--json").out))


def of_pair(document: dict[str, Any]) -> Look:
    """What `Pair.look` or `Pair.until` saw."""
    said = "; ".join([document["verdict"], *document["reasons"]])
    return Look(DB, document["verdict"] == "healthy", document["verdict"], said)


def of_verification(code: int, verdict: dict[str, Any]) -> Look:
    red = [proof for proof in verdict["proofs"] if not proof["green"]]
    names = dict.fromkeys(proof["name"] for proof in red)
    said = "; ".join(" ".join([proof["name"], proof["detail"], *proof["objects"]]) for proof in red)
    return Look(VERIFY, code == 0 and not red, f"red: {', '.join(names)}" if red else "green", said)


def verification(lab: Lab) -> Look:
    found = lab.run("backup", "verify", "--database", "--json", timeout=1800)
    assert found.out, found.err
    return of_verification(found.code, json.loads(found.out))


LOOKS: dict[str, Looking] = {
    DB: db_status,
    CHECK: store_check,
    VERIFY: verification,
    STATUS: backup_status,  # after the verification, which it remembers
}


def look_until(lab: Lab, command: str, content: Callable[[Look], bool], seconds: float) -> Look:
    """Look until the look says what it should, or the time is over; what was seen last."""
    deadline = time.monotonic() + seconds
    while not content(look := LOOKS[command](lab)) and time.monotonic() < deadline:
        time.sleep(2)
    return look
