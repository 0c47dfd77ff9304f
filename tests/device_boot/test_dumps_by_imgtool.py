"""The flash after an update, judged by imgtool: the slot that runs holds the old or the new image, whole."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from imgtool.main import imgtool

from simlib.device.single import UpdateOptions, UpdateResult, update_once
from simlib.device.tears import TEARS
from simlib.device.update_case import load_address_for, release_of
from simlib.firmware.version import Version
from simlib.outcomes import Outcome
from simlib.security.encryption import decrypt_image
from simlib.security.keys import save_private
from simlib.security.signing import sign_image
from tests.device_boot.rigs import ENCRYPTING, LAYOUTS, SIGNER, payload_of

OPTIONS = UpdateOptions(sector_size_bytes=512)
PAIRS = [
    (layout, payload)
    for layout in LAYOUTS
    for payload in ("full", "delta")
    if (layout, payload) != ("single-slot", "delta")
]
KEEPS_OLD = ("swap-move", "swap-scratch", "swap-offset", "direct-xip", "direct-xip-revert", "ram-load")


def verified(folder: Path, image: bytes, key: Path) -> bool:
    """Whether `imgtool verify` is content with the file."""
    path = folder / "cut-out.bin"
    path.write_bytes(image)
    said = io.StringIO()
    with redirect_stdout(said):
        try:
            imgtool(["verify", "-k", str(key), str(path)], standalone_mode=False)
        except SystemExit as ended:
            return not ended.code and "validated" in said.getvalue()
    return "validated" in said.getvalue()


def partitions(result: UpdateResult) -> dict[str, bytes]:
    return {p.name: result.flash[p.offset : p.offset + p.size] for p in result.partitions}


def places(result: UpdateResult, image: bytes) -> list[str]:
    """The slots that hold this image where one is looked for: at the start, or a sector up in the second."""
    content = partitions(result)
    found = [name for name in ("primary", "secondary") if content.get(name, b"").startswith(image)]
    shifted = content.get("secondary", b"")[OPTIONS.sector_size_bytes :].startswith(image)
    return [*found, "secondary"] if shifted else found


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key")
    return save_private(folder / "k.pem", SIGNER.private)


@pytest.fixture
def pair(tmp_path: Path, layout: str) -> tuple[Path, Path]:
    """An old and a new signed image, made for the layout."""
    paths = tmp_path / "old.bin", tmp_path / "new.bin"
    address = load_address_for(layout)
    for n, path in enumerate(paths, start=1):
        payload = payload_of(n, 2_800 + 200 * n)
        image = sign_image(
            payload, Version(1, n, 0), SIGNER, security_counter=n, load_address=address or None
        )
        path.write_bytes(image)
    return paths


@pytest.mark.parametrize(("layout", "payload"), PAIRS)
def test_after_an_update_the_new_image_lies_whole_in_its_slot(
    tmp_path: Path, public: Path, pair: tuple[Path, Path], layout: str, payload: str
) -> None:
    old, new = (path.read_bytes() for path in pair)
    result = update_once(*pair, replace(OPTIONS, layout=layout, payload=payload), SIGNER.public())
    assert result.outcome is Outcome.UPDATED
    (slot,) = places(result, new)
    assert slot == ("secondary" if layout in ("direct-xip", "direct-xip-revert", "ram-load") else "primary")
    assert verified(tmp_path, partitions(result)[slot][: len(new)], public)
    assert bool(places(result, old)) is (layout in KEEPS_OLD)
    if layout in KEEPS_OLD:
        assert verified(tmp_path, old, public)


@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize(("layout", "payload"), [pair for pair in PAIRS if pair[0] != "single-slot"])
def test_after_a_cut_the_slot_that_runs_holds_the_old_image_or_the_new_one(
    tmp_path: Path, public: Path, pair: tuple[Path, Path], layout: str, payload: str, tear: str
) -> None:
    old, new = (path.read_bytes() for path in pair)
    options = replace(OPTIONS, layout=layout, payload=payload, tear=tear)
    ops = update_once(*pair, options, SIGNER.public()).flash_ops
    for cut in (1, ops // 4, ops // 2, ops * 3 // 4, ops - 2):
        result = update_once(*pair, replace(options, cut_at=max(1, cut)), SIGNER.public())
        running = {"1.1.0": old, "1.2.0": new}[str(result.booted_version)]
        slots = places(result, running)
        assert slots
        content = partitions(result)[slots[0]]
        assert verified(tmp_path, content[: len(running)], public)
        if slots[0] == "primary":
            damaged = bytearray(content[: len(running)])
            damaged[700] ^= 1
            assert not verified(tmp_path, bytes(damaged), public), "imgtool would have seen it"


@pytest.mark.parametrize(
    ("layout", "payload"), [pair for pair in PAIRS if pair[0] in ENCRYPTING], ids=lambda v: str(v)
)
def test_of_encrypted_images_imgtool_verifies_what_lies_in_the_clear(
    tmp_path: Path, layout: str, payload: str
) -> None:
    """imgtool's verify hashes what it is given and has no key to decipher with.

    So it accepts the image that a boot loader has deciphered into the primary slot, and it cannot tell a
    ciphertext in the secondary from a forgery: that one is deciphered here, by the key of the device.
    """
    raw = tmp_path / "old.raw", tmp_path / "new.raw"
    for n, path in enumerate(raw, start=1):
        path.write_bytes(payload_of(n, 2_800 + 200 * n))
    release = release_of(raw, payload, encrypted=True, load_address=load_address_for(layout))
    assert release.decryption_key is not None
    key = save_private(tmp_path / "k.pem", release.signing_key.private)
    result = update_once(*raw, replace(OPTIONS, layout=layout, payload=payload, encrypted=True))
    assert result.outcome is Outcome.UPDATED
    old, new = release.images
    slots = partitions(result)
    if layout == "ram-load":  # as shipped in both slots
        for slot, image in (("secondary", new), ("primary", old)):
            shipped = slots[slot][: len(image)]
            assert shipped != image
            assert not verified(tmp_path, shipped, key)
            assert decrypt_image(shipped, release.decryption_key) == image
    else:
        assert slots["primary"].startswith(new)
    assert verified(tmp_path, new, key)
    if layout.startswith("swap"):
        shipped = slots["secondary"][: len(old)]
        assert not verified(tmp_path, shipped, key)
        assert decrypt_image(shipped, release.decryption_key) == old
        assert verified(tmp_path, old, key)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "single-slot"])
def test_after_a_refused_update_the_old_image_lies_whole_in_the_primary_slot(
    tmp_path: Path, public: Path, pair: tuple[Path, Path], layout: str
) -> None:
    old = pair[0].read_bytes()
    spoilt = bytearray(pair[1].read_bytes())
    spoilt[1_000] ^= 2
    bad = tmp_path / "bad.bin"
    bad.write_bytes(bytes(spoilt))
    result = update_once(pair[0], bad, replace(OPTIONS, layout=layout), SIGNER.public())
    assert result.outcome is Outcome.FAILED
    assert verified(tmp_path, partitions(result)["primary"][: len(old)], public)
    assert not verified(tmp_path, bytes(spoilt), public)
