"""Each thing that can be wrong with a kit is refused under its own code; nothing else is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate
from rmc_dr.kit import place, signature
from rmc_dr.kit.manifest import Document, KitFile, Manifest, Versions, is_plain, render
from rmc_dr.kit.verify import glance, prove, verify

FILES = {
    "images/appserver.tar.zst": b"an image" * 1000,
    "liberty/openliberty-runtime.zip": b"PK",
    "applications/management/1.0.0/app.war": b"a war",
}


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def _write_kit(kit: Path, key: Path, *, built: datetime | None = None, days: int = 180) -> None:
    built = built or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    for name, content in FILES.items():
        (kit / name).parent.mkdir(parents=True, exist_ok=True)
        (kit / name).write_bytes(content)
    document = Document(
        format=1,
        tool="test",
        built=built,
        expires=built + timedelta(days=days),
        files={name: KitFile(sha256=place.digest(kit / name), size=len(FILES[name])) for name in FILES},
        versions=Versions(debian="13.2", liberty="1", jdbc="2", applications={}, images={}),
    )
    (kit / "manifest.json").write_bytes(render(document))
    signature.sign(kit / "manifest.json", key)


@pytest.fixture
def at(estate: Estate, tmp_path: Path) -> Estate:
    """The lab's estate with a small, good kit of its own."""
    private = tmp_path / "private"
    private.mkdir(exist_ok=True)
    key = _key(private / "kit_signing_key")
    public = key.with_suffix(".pub").read_text()
    (private / "allowed_signers").write_text(f"{signature.SIGNER} {public}")
    kit = tmp_path / "kit"
    _write_kit(kit, key)
    config = estate.config.model_copy(
        update={
            "private_dir": private,
            "kit": estate.config.kit.model_copy(update={"path": kit}),
        }
    )
    return replace(estate, config=config)


def _kit(at: Estate) -> Path:
    return at.config.kit.path


def test_a_good_kit_is_proven(at: Estate) -> None:
    manifest = verify(at)
    assert manifest.path("images/appserver.tar.zst").read_bytes() == FILES["images/appserver.tar.zst"]
    assert manifest.files.keys() == FILES.keys()
    with pytest.raises(KeyError):
        manifest.path("manifest.json")


def _change_a_byte(kit: Path) -> None:
    path = kit / "images/appserver.tar.zst"
    path.write_bytes(path.read_bytes()[:-1] + b"X")


def _shorten(kit: Path) -> None:
    (kit / "images/appserver.tar.zst").write_bytes(b"an image")


def _change_manifest(kit: Path) -> None:
    text = (kit / "manifest.json").read_text()
    (kit / "manifest.json").write_text(text.replace('"tool": "test"', '"tool": "evil"'))


def _sign_by_somebody_else(kit: Path) -> None:
    signature.sign(kit / "manifest.json", _key(kit.parent / "foreign"))


def _sign_for_another_purpose(kit: Path) -> None:
    key = kit.parent / "private/kit_signing_key"
    (kit / "manifest.json.sig").unlink()
    subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", "file", str(kit / "manifest.json")],
        check=True,
    )


def _link_a_file(kit: Path) -> None:
    path = kit / "jdbc"
    path.symlink_to(kit / "liberty")


def _replace_by_link(kit: Path) -> None:
    path = kit / "images/appserver.tar.zst"
    path.rename(kit.parent / "outside")
    path.symlink_to(kit.parent / "outside")


def _sign_rubbish(kit: Path) -> None:
    (kit / "manifest.json").write_text("{]")
    signature.sign(kit / "manifest.json", kit.parent / "private/kit_signing_key")


def _sign_a_path_out_of_the_kit(kit: Path) -> None:
    text = (kit / "manifest.json").read_text()
    (kit / "manifest.json").write_text(text.replace('"liberty/', '"../liberty/'))
    signature.sign(kit / "manifest.json", kit.parent / "private/kit_signing_key")


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (_change_a_byte, "kit-tampered"),
        (_shorten, "kit-tampered"),
        (lambda kit: (kit / "liberty/openliberty-runtime.zip").unlink(), "kit-missing-file"),
        (lambda kit: (kit / "manifest.json").unlink(), "kit-missing-file"),
        (lambda kit: (kit / "manifest.json.sig").unlink(), "kit-missing-file"),
        (lambda kit: (kit / "images/extra").write_text("?"), "kit-foreign-file"),
        (lambda kit: (kit / ".hidden").write_text("?"), "kit-foreign-file"),
        (_link_a_file, "kit-unsafe-path"),
        (_replace_by_link, "kit-unsafe-path"),
        (_change_manifest, "kit-signature"),
        (lambda kit: (kit / "manifest.json.sig").write_text("no signature"), "kit-signature"),
        (_sign_for_another_purpose, "kit-signature"),
        (_sign_by_somebody_else, "kit-foreign-signer"),
        (_sign_rubbish, "kit-manifest"),
        (_sign_a_path_out_of_the_kit, "kit-manifest"),
        (lambda kit: kit.rename(kit.with_name("gone")), "kit-missing"),
    ],
)
def test_what_is_wrong_is_refused(at: Estate, break_it: Callable[[Path], None], code: str) -> None:
    break_it(_kit(at))
    with pytest.raises(Refused) as refused:
        verify(at, accept_expired="even so")
    assert refused.value.code == code
    assert refused.value.hint


def test_an_expired_kit_needs_a_reason(at: Estate) -> None:
    key = at.private_dir / "kit_signing_key"
    _write_kit(_kit(at), key, built=datetime.now(UTC) - timedelta(days=181))
    for reason in (None, "", "  "):
        with pytest.raises(Refused) as refused:
            verify(at, reason)
        assert refused.value.code == "kit-expired"
    assert verify(at, "no network since the flood").expires < datetime.now(UTC)


def test_a_kit_from_the_future_means_a_wrong_clock(at: Estate) -> None:
    key = at.private_dir / "kit_signing_key"
    _write_kit(_kit(at), key, built=datetime.now(UTC) + timedelta(days=2))
    with pytest.raises(Refused) as refused:
        verify(at)
    assert refused.value.code == "kit-clock"
    verify(at, "the clock's battery is dead")


def test_the_signer_must_be_known_outside_of_the_kit(at: Estate) -> None:
    signers = at.private_dir / "allowed_signers"
    inside = _kit(at) / "allowed_signers"
    inside.write_text(signers.read_text())
    signers.unlink()
    with pytest.raises(BadInput) as missing:
        verify(at)
    assert missing.value.code == "kit-no-signer"
    signers.symlink_to(inside)
    with pytest.raises(Refused) as refused:
        verify(at)
    assert refused.value.code == "kit-signer-inside"


@given(st.text())
def test_a_plain_path_stays_inside_the_kit(name: str) -> None:
    root = Path("/kit")
    if is_plain(name):
        assert (root / name).resolve().is_relative_to(root)
        assert str((root / name).relative_to(root)) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "a/../b", "a//b", "./a", "a/", "manifest.json", "a\nb", "a\0b"]
)
def test_tricks_with_paths_are_no_plain_paths(name: str) -> None:
    assert not is_plain(name)


@given(st.binary(max_size=200))
def test_no_bytes_but_a_manifest_pass_for_one(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest(Path("/kit"), text)


def test_a_glance_finds_what_is_missing_or_foreign_and_reads_no_file(at: Estate) -> None:
    signers = at.private_dir / "allowed_signers"
    path = _kit(at) / "images" / "appserver.tar.zst"
    path.write_bytes(bytes(len(path.read_bytes())))
    assert glance(_kit(at), signers).files
    with pytest.raises(Refused) as refusal:
        prove(_kit(at), signers)
    assert refusal.value.code == "kit-tampered"
    path.unlink()
    with pytest.raises(Refused) as refusal:
        glance(_kit(at), signers)
    assert refusal.value.code == "kit-missing-file"
