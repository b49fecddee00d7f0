"""The estate's own signature on manifests and on every line of the custody; by ssh-keygen, as for kits."""

from __future__ import annotations

from pathlib import Path

from rmc_dr import scratch
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.files import sync
from rmc_dr.i18n import _
from rmc_dr.kit import signature
from rmc_dr.secrets import EVIDENCE_SIGNER as SIGNER


def key_of(estate: Estate) -> Path:
    """Raises BadInput `evidence-no-key`."""
    key = estate.private_dir / "evidence_signing_key"
    if not key.is_file():
        raise BadInput(
            "evidence-no-key",
            _("The key that signs evidence is not at {path}.").format(path=key),
            _("Run `rmc-dr estate init`, which makes it; for the lab, `rmc-dr lab up`."),
        )
    return key


def sign_file(estate: Estate, path: Path) -> None:
    """Write ``path``.sig. Raises BadInput or Error."""
    signature.sign(path, key_of(estate), SIGNER)
    sync(Path(f"{path}.sig"))


def sign(estate: Estate, text: bytes) -> str:
    """The signature of a text. Raises BadInput or Error."""
    with scratch.folder() as work:
        path = work / "text"
        path.write_bytes(text)
        sign_file(estate, path)
        return Path(f"{path}.sig").read_text(encoding="ascii")


def check_file(estate: Estate, text: bytes, signed: Path) -> signature.Verdict:
    """Raises BadInput `evidence-no-signer` where nobody is known who may sign."""
    signers = estate.private_dir / "evidence_signers"
    if not signers.is_file():
        raise BadInput(
            "evidence-no-signer",
            _("Nobody is known who may sign evidence: {path} is missing.").format(path=signers),
            _("Run `rmc-dr estate init`, or restore the estate's private folder."),
        )
    return signature.check(text, signed, signers, SIGNER)


def check(estate: Estate, text: bytes, said: str) -> bool:
    with scratch.folder() as work:
        path = work / "sig"
        path.write_text(said, encoding="utf-8", errors="replace")
        return check_file(estate, text, path) == "good"
