"""Journeys: HTTP steps and expectations that prove an application works.

Read-only by default: only GET, and the POST that logs in. Anything else needs the test patient that the
vendor named in the estate; a gamete record is never invented in a production database.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rmc_dr.errors import BadInput
from rmc_dr.estate import Application, Estate, Host
from rmc_dr.https import Https
from rmc_dr.i18n import _
from rmc_dr.model import Check

TIMEOUT_SECONDS = 15.0
SHOWN = 80
JSON_TYPES = {"list": list, "object": dict, "string": str, "number": (int, float), "boolean": bool}


class Step(BaseModel):
    """One request and what its answer must be. The keys are those of estate.yml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    get: str | None = Field(default=None, pattern=r"^/")
    post: str | None = Field(default=None, pattern=r"^/")
    secret: str | None = None  # log in with vault.apps.APPLICATION.SECRET.{user,password}
    body: dict[str, Any] | None = None  # $test_patient and $uuid are filled in
    auth: str | None = None  # the name of a saved bearer token
    save: str | None = None  # keep this key of the JSON answer under its name
    status: int | list[int] = 200
    json_is: dict[str, Any] | None = Field(default=None, alias="json")  # these keys with these values
    json_type: str | None = Field(default=None, pattern="^(" + "|".join(JSON_TYPES) + ")$")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")  # of the whole answer

    @model_validator(mode="after")
    def _one_request(self) -> Step:
        if (self.get is None) == (self.post is None):
            raise ValueError("a step has either get or post")
        if self.post is None and (self.secret or self.body is not None):
            raise ValueError("secret and body belong to a post")
        if self.secret and self.body is not None:
            raise ValueError("a post has either secret or body")
        return self

    @property
    def method(self) -> str:
        return "GET" if self.get is not None else "POST"

    @property
    def path(self) -> str:
        return self.get or self.post or ""

    @property
    def writes(self) -> bool:
        """Whether it is more than reading or logging in."""
        return self.post is not None and self.secret is None


@dataclass
class _Traveller:
    """What a journey carries from step to step: tokens, and the UUID of what it writes."""

    saved: dict[str, str] = field(default_factory=dict)
    made_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))


def prove(estate: Estate, host: Host) -> list[Check]:
    """Run the journey of every application on one host. Raises BadInput for a journey that is none."""
    return [check for app in estate.config.applications.apps for check in travel(estate, host, app)]


def travel(
    estate: Estate,
    host: Host,
    app: Application,
    through: Path | None = None,
    *,
    up_to_login: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Check]:
    """Run one application's journey: a check a step; after a failure the rest is not tried.

    ``through`` is a socket of this machine that leads to the host's port, where no network does.
    ``up_to_login`` leaves out what follows the log-in; a journey without one is then run as far as it only
    reads without a token.
    """
    steps = _up_to_login(read_steps(app)) if up_to_login else read_steps(app)
    traveller = _Traveller()
    checks: list[Check] = []
    with Https(estate, host, estate.config.applications.port, timeout_seconds, through) as https:
        for number, step in enumerate(steps, 1):
            name = f"journey {app.name} {number}/{len(steps)}: {step.method} {step.path}"
            if checks and not checks[-1].passed:
                checks.append(Check(name, False, _("not tried, because an earlier step failed")))
                continue
            problem = _go(https, estate, app, step, traveller)
            checks.append(Check(name, problem is None, problem or ""))
    return checks


def _up_to_login(steps: Sequence[Step]) -> list[Step]:
    login = next((number for number, step in enumerate(steps, 1) if step.secret), None)
    return list(steps[:login]) if login else [step for step in steps if not (step.auth or step.writes)]


def read_steps(app: Application) -> list[Step]:
    """The steps of an application's journey. Raises BadInput naming the key that is wrong."""
    steps: list[Step] = []
    for number, raw in enumerate(app.journey, 1):
        key = f"estate.applications.list.{app.name}.journey.{number}"
        try:
            step = Step.model_validate(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _wrong(".".join([key, *map(str, first["loc"])]), first["msg"]) from None
        if not (step.path + "/").startswith(app.context_root + "/"):
            raise _wrong(key, _("{path} is outside of {root}").format(path=step.path, root=app.context_root))
        if step.auth and step.auth not in {earlier.save for earlier in steps}:
            raise _wrong(key, _("no earlier step saves {name}").format(name=step.auth))
        if step.writes and not app.test_patient:
            raise BadInput(
                "journey-writes",
                _("{key} writes, and the estate names no test patient for {app}.").format(
                    key=key, app=app.name
                ),
                _("Leave the step out, or name the vendor's test patient in test_patient."),
            )
        steps.append(step)
    return steps


def problem_of(step: Step, status: int, answer: bytes) -> str | None:
    """Why an answer is not what the step expects; nothing if it is. Shows no more than expected keys."""
    wanted = step.status if isinstance(step.status, list) else [step.status]
    if status not in wanted:
        return _("answered {status} instead of {wanted}").format(
            status=status, wanted=", ".join(map(str, wanted))
        )
    if step.sha256 is not None and hashlib.sha256(answer).hexdigest() != step.sha256:
        return _("answered other bytes than those with the SHA-256 {wanted}").format(wanted=step.sha256)
    if step.json_is is None and step.json_type is None and step.save is None:
        return None
    try:
        document = json.loads(answer)
    except ValueError:
        return _("answered something that is not JSON")
    return next(_differences(step, document), None)


def _differences(step: Step, document: Any) -> Iterator[str]:
    if step.json_type and not _has_type(document, step.json_type):
        yield _("answered JSON that is no {type}").format(type=step.json_type)
    found: Mapping[str, Any] = document if isinstance(document, dict) else {}
    for key, value in (step.json_is or {}).items():
        if key not in found:
            yield _("the answer lacks {key}").format(key=key)
        elif found[key] != value:
            yield _("{key} is {found} instead of {wanted}").format(
                key=key, found=json.dumps(found[key])[:SHOWN], wanted=json.dumps(value)
            )
    if step.save and not isinstance(found.get(step.save), str):
        yield _("the answer lacks {key}").format(key=step.save)


def _has_type(document: Any, wanted: str) -> bool:
    if isinstance(document, bool) and wanted == "number":
        return False
    return isinstance(document, JSON_TYPES[wanted])  # type: ignore[arg-type]


def _go(https: Https, estate: Estate, app: Application, step: Step, traveller: _Traveller) -> str | None:
    headers = {"Authorization": f"Bearer {traveller.saved[step.auth]}"} if step.auth else {}
    try:
        answer = https.request(
            step.method, step.path, headers=headers, json=_body(estate, app, step, traveller)
        )
    except httpx.HTTPError as error:
        return _("no answer: {reason}").format(reason=str(error) or type(error).__name__)
    problem = problem_of(step, answer.status_code, answer.content)
    if problem is None and step.save:
        traveller.saved[step.save] = answer.json()[step.save]
    return problem


def _body(estate: Estate, app: Application, step: Step, traveller: _Traveller) -> Any:
    if step.secret:
        secrets = estate.opened()
        return {key: secrets.get("apps", app.name, step.secret, key) for key in ("user", "password")}
    return filled(step.body, {"$test_patient": app.test_patient, "$uuid": traveller.made_uuid})


def filled(value: Any, words: Mapping[str, Any]) -> Any:
    """A body with each string that is a word of ``words`` replaced; other strings stay as they are."""
    if isinstance(value, dict):
        return {key: filled(child, words) for key, child in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [filled(child, words) for child in value]
    return words.get(value, value) if isinstance(value, str) else value


def _wrong(key: str, problem: str) -> BadInput:
    return BadInput(
        "journey-invalid",
        _("The journey cannot be used: {key}: {problem}.").format(key=key, problem=problem),
        _("Correct it in estate.yml; docs/runbooks/journey.md shows every key of a step."),
    )
