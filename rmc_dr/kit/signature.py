"""Signatures by ssh-keygen, of kits and of evidence, checked against a signer that is pinned elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _
from rmc_dr.kit import place

NAMESPACE = "rmc-dr-kit"
SIGNER = "rmc-dr-kit"
Verdict = Literal["good", "foreign", "wrong"]


def require_key(key: Path) -> None:
    """Raises BadInput `kit-no-key`."""
    if not key.is_file():
        raise BadInput(
            "kit-no-key",
            _("The key that signs kits is not at {path}.").format(path=key),
            _("Run `rmc-dr estate init` on the machine that builds kits, or copy the key there."),
        )


def sign(path: Path, key: Path, namespace: str = NAMESPACE) -> None:
    """Write ``path``.sig beside a file. ``namespace`` says what it is for. Raises Error `kit-sign`."""
    Path(f"{path}.sig").unlink(missing_ok=True)
    place.run(
        "ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", namespace, path,
        code="kit-sign", hint=_("Look at the key {path}; it must have no passphrase.").format(path=key),
    )  # fmt: skip


def check(text: bytes, signature: Path, allowed_signers: Path, signer: str = SIGNER) -> Verdict:
    """Whether the signature is right and the signer's; ``foreign`` is a right one by somebody else.

    A signer's name is also the namespace that its signatures are for.
    """
    known = ("-f", str(allowed_signers), "-I", signer)
    if _passes("verify", text, signature, signer, *known):
        return "good"
    return "foreign" if _passes("check-novalidate", text, signature, signer) else "wrong"


def _passes(action: str, text: bytes, signature: Path, namespace: str, *options: str) -> bool:
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", action, "-n", namespace, "-s", str(signature), *options],
            input=text,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise place.tool_missing("ssh-keygen") from None
    return done.returncode == 0
