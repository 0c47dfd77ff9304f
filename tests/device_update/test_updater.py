"""The updater installs exactly what was released, and refuses everything else without harm."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.delta import create_patch, read_envelope
from simlib.delta.envelope import seal
from simlib.device import Device, DeviceConfig, new_device
from simlib.device.bootloader import boot
from simlib.device.bootloader.outcome import Swap
from simlib.device.device import Step
from simlib.device.events import flip_bit
from simlib.device.meter import Meter
from simlib.device.rebuild import _patched
from simlib.device.updater import confirm_update, install
from simlib.errors import Reason
from simlib.firmware.image import TlvType, parse_image
from simlib.release import Artefact, Manifest, Release, open_manifest, sign_manifest
from simlib.security.encryption import ctr_crypt, unwrap_key, wrap_key
from simlib.security.keys import SigningKey, derive_private

SIGNATURES = ("ecdsa-p256", "ed25519", "rsa-3072")
KINDS = ("full", "delta")


def device_of(release: Release, config: DeviceConfig, base: int = 0, counter: int | None = None) -> Device:
    counter = release.security_counters[base] if counter is None else counter
    return new_device(config, (release.verify_key,), release.decryption_key, release.images[base], counter)


def artefact(release: Release, kind: str) -> Artefact:
    return next(a for a in release.artefacts if a.kind == kind)


def take(device: Device, release: Release, art: Artefact) -> Reason:
    return install(device, (release.verify_key,), art.manifest, art.blob)


def slot(device: Device, name: str, size: int) -> bytes:
    return device.area(name).read(0, size)


def protected_bytes(device: Device) -> tuple[bytes, int]:
    """Everything a refused update must leave alone."""
    spared = [p for p in device.partitions if p.name not in ("secondary", "download")]
    content = device.flash.content()
    return b"".join(content[p.offset : p.offset + p.size] for p in spared), device.security_counter


def facts_of(release: Release, art: Artefact) -> Manifest:
    return open_manifest(art.manifest, (release.verify_key,))


def resigned(release: Release, art: Artefact, blob: bytes | None = None, **changes: object) -> Artefact:
    """The artefact as a malicious publisher with the release key would have signed it."""
    blob = art.blob if blob is None else blob
    facts = replace(facts_of(release, art), blob_sha256=sha256(blob).digest(), blob_size=len(blob))
    manifest = sign_manifest(replace(facts, **changes), release.signing_key)  # type: ignore[arg-type]
    return replace(art, blob=blob, manifest=manifest)


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_goes_through_trial_and_confirmation(
    make_release, two_slots, kind, encrypted, signature
) -> None:
    release = make_release(signature=signature, encrypted=encrypted)
    device = device_of(release, two_slots)
    assert take(device, release, artefact(release, kind)) is Reason.NONE
    wire, clear = release.wire_image, release.images[1]
    assert slot(device, "secondary", len(wire)) == wire, "the secondary holds the wire image, byte for byte"
    assert slot(device, "primary", len(release.images[0])) == release.images[0]
    booted = boot(device)
    assert (booted.image_sha256, booted.trial, booted.swap) == (sha256(clear).digest(), True, Swap.TEST)
    assert slot(device, "primary", len(clear)) == clear
    assert device.security_counter == 1, "a trial leaves the way back open"
    confirm_update(device)
    assert device.security_counter == 2
    again = boot(device)
    assert (again.image_sha256, again.trial, again.swap) == (booted.image_sha256, False, Swap.NONE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_without_confirmation_goes_back(make_release, two_slots, kind) -> None:
    release = make_release()
    device = device_of(release, two_slots)
    take(device, release, artefact(release, kind))
    boot(device)
    back = boot(device)
    assert (back.image_sha256, back.swap) == (sha256(release.images[0]).digest(), Swap.REVERT)
    assert slot(device, "primary", len(release.images[0])) == release.images[0]
    assert take(device, release, artefact(release, kind)) is Reason.NONE
    assert boot(device).image_sha256 == sha256(release.images[1]).digest()


@pytest.mark.parametrize("write_size", [1, 8, 32])
@pytest.mark.parametrize("erased_value", [0x00, 0xFF])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_fits_any_flash(make_release, two_slots, kind, erased_value, write_size) -> None:
    config = replace(
        two_slots, slot_size_bytes=32_768, write_size_bytes=write_size, erased_value=erased_value
    )
    release = make_release()
    device = device_of(release, config)
    assert take(device, release, artefact(release, kind)) is Reason.NONE
    assert boot(device).image_sha256 == sha256(release.images[1]).digest()


@pytest.mark.parametrize("kind", KINDS)
def test_the_journal_accounts_for_the_whole_cost(make_release, two_slots, kind) -> None:
    device = device_of(make_release(), two_slots)
    take(device, make_release(), artefact(make_release(), kind))
    meter, flash = device.meter, device.flash
    assert sum(step.time_ns for step in device.journal) == meter.time_ns > 0
    assert sum(step.energy_nj for step in device.journal) == meter.flash_nj + meter.compute_nj
    assert sum(step.ops for step in device.journal) == flash.ops
    assert sum(step.bytes for step in device.journal) == flash.bytes_written


def test_the_cost_does_not_depend_on_what_was_computed_before(make_release, two_slots) -> None:
    release, costs = make_release(), []
    _patched.cache_clear()
    for _ in range(2):  # the second time the patch's result is remembered
        device = device_of(release, two_slots)
        take(device, release, artefact(release, "delta"))
        costs.append((device.meter.time_ns, device.meter.compute_nj, device.flash.op_end_ns))
    assert costs[0] == costs[1]


def test_a_full_artefact_erases_each_sector_just_ahead_of_its_first_write(make_release, two_slots) -> None:
    release = make_release()
    device = device_of(release, two_slots)
    calls: list[tuple[str, int]] = []
    erase, write = device.flash.erase, device.flash.write
    device.flash.erase = lambda at: (calls.append(("erase", at)), erase(at))  # type: ignore[method-assign]
    device.flash.write = lambda at, data: (calls.append(("write", at)), write(at, data))  # type: ignore[method-assign]
    take(device, release, artefact(release, "full"))
    first_write = next(n for n, call in enumerate(calls) if call[0] == "write")
    start = device.area("secondary").partition.offset
    assert calls[first_write] == ("write", start)
    between = [call[1] for call in calls[first_write + 1 :] if call[0] == "erase"]
    assert between, "not all is erased beforehand"
    assert all(device.area("secondary").partition.offset <= at for _, at in calls)


def steps_of(device: Device, phase: str) -> list[Step]:
    return [step for step in device.journal if step.phase == phase]


def test_a_refused_patch_is_charged_as_far_as_it_got_and_journalled(make_release, two_slots) -> None:
    """By how far: the key is another device's; the payload is not the envelope's; the codec gives up on it;
    it makes another result than it names."""
    release, other = make_release(), make_release(seed=8)
    good = facts_of(release, artefact(release, "delta"))
    key = unwrap_key(good.wrapped_key, release.decryption_key)
    patch = ctr_crypt(key, artefact(release, "delta").blob)
    start = read_envelope(patch).header_size
    old, new = release.images[0], release.images[1]
    spoilt = flip_bit(patch[start:], 8 * (len(patch) - start - 20))
    forged = seal("bsdiff4", old, new, create_patch(old, flip_bit(new, 9_999))[start:])
    to_another = wrap_key(key, other.decryption_key.public(), other.decryption_key)
    cases = (
        (patch, {"wrapped_key": to_another}, Reason.DECRYPTION_FAILED),
        (patch[:start] + spoilt, {}, Reason.PATCH_DAMAGED),
        (seal("bsdiff4", old, new, spoilt), {}, Reason.PATCH_DAMAGED),
        (forged, {}, Reason.RESULT_MISMATCH),
        (patch, {}, Reason.NONE),
    )
    found = []
    for content, changes, reason in cases:
        device = device_of(release, two_slots)
        bad = resigned(release, artefact(release, "delta"), ctr_crypt(key, content), **changes)
        assert take(device, release, bad) is reason
        (step,) = steps_of(device, "patch")
        assert (f"refused, {reason}" in step.detail) == (reason is not Reason.NONE)
        found.append(step.energy_nj)
    unwrapped, hashed, given_up, mismatch, whole = found
    assert 0 < unwrapped < hashed < given_up < mismatch
    meter = device_of(release, two_slots).meter
    meter.patch(len(new))
    made, so_far = meter.compute_nj, meter.compute_nj
    assert given_up >= hashed + made - 10, "at most all was made"
    meter.sha256(len(new))
    # The forged patch differs from the good one by some bytes of length.
    assert abs(mismatch - given_up - (meter.compute_nj - so_far)) < made // 20
    assert abs(whole - mismatch) < made // 20


def verifications(device: Device, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled with the algorithm of every signature that is charged from here on."""
    charged: list[str] = []
    real = Meter.verify
    monkeypatch.setattr(Meter, "verify", lambda meter, name: (charged.append(name), real(meter, name))[1])
    return charged


def test_a_verification_is_charged_by_the_key_that_was_tried_and_only_then(
    make_release, two_slots, monkeypatch
) -> None:
    release, other = make_release(encrypted=False), make_release(encrypted=False, signature="ed25519")
    keys = (other.verify_key, release.verify_key)  # the one that signed is not the first
    good = artefact(release, "full")
    device = new_device(two_slots, keys, None, release.images[0], 1)
    charged = verifications(device, monkeypatch)

    def charged_for(manifest: bytes, blob: bytes) -> tuple[Reason, list[str]]:
        charged.clear()
        return install(device, keys, manifest, blob), list(charged)

    def image(changed: bytes) -> tuple[bytes, bytes]:
        bad = resigned(release, good, changed, image_sha256=sha256(changed).digest(), image_size=len(changed))
        return bad.manifest, bad.blob

    ecdsa, wire = "ecdsa-p256", release.wire_image
    record = parse_image(wire).find(TlvType.ECDSASIG)
    retyped = bytearray(wire)
    retyped[record.offset] = TlvType.ED25519
    assert charged_for(b"no manifest", good.blob) == (Reason.MANIFEST_INVALID, [])
    assert charged_for(good.manifest[:-1] + b"\0", good.blob) == (Reason.MANIFEST_INVALID, [ecdsa])
    unknown = make_release(encrypted=False, seed=8)
    assert charged_for(artefact(unknown, "full").manifest, good.blob) == (Reason.MANIFEST_INVALID, [])
    assert charged_for(*image(flip_bit(wire, 8 * 5_000))) == (Reason.HASH_MISMATCH, [ecdsa])
    assert charged_for(*image(flip_bit(wire, 8 * len(wire) - 9))) == (Reason.SIGNATURE_INVALID, [ecdsa] * 2)
    assert charged_for(*image(bytes(retyped)))[1] == [ecdsa], "of the wrong kind: not tried"
    assert charged_for(good.manifest, good.blob) == (Reason.NONE, [ecdsa] * 2)
    assert charged_for(*image(other.wire_image)) == (Reason.NONE, [ecdsa, "ed25519"])


def test_a_refusal_before_the_hash_costs_no_hash(make_release, two_slots) -> None:
    release = make_release()
    wire, costs = release.wire_image, []
    parsed = parse_image(wire)
    unknown = bytearray(wire)
    unknown[parsed.find(TlvType.KEYHASH).offset] = 0xA0
    wrapping = flip_bit(wire, 8 * (parsed.find(TlvType.ENCEC256).offset + 80))
    payload = flip_bit(wire, 8 * 5_000)
    for blob in (bytes(unknown), wrapping, payload, wire):
        device = device_of(release, two_slots)
        take(device, release, resigned(release, artefact(release, "full"), blob))
        costs.append(steps_of(device, "check")[-1].energy_nj)
    meter = device_of(release, two_slots).meter
    assert costs[0] == 0
    meter.unwrap("ecies-p256")
    assert costs[1] == meter.compute_nj
    meter.aes_ctr(parsed.header.image_size)
    meter.sha256(len(wire))
    assert costs[2] == meter.compute_nj
    meter.verify("ecdsa-p256")
    assert costs[3] == meter.compute_nj


# What is refused, and what that leaves


def check_refusal(device: Device, release: Release, art: Artefact, *reasons: Reason) -> None:
    """Refused for one of these reasons; nothing else changed; the old image boots; a good update follows."""
    before = protected_bytes(device)
    reason = take(device, release, art)
    assert reason in reasons, f"{reason}: {device.journal[-1].detail}"
    assert protected_bytes(device) == before
    assert boot(device).image_sha256 == sha256(release.images[0]).digest()
    for kind in KINDS:
        assert take(device, release, artefact(release, kind)) is Reason.NONE
    assert boot(device).image_sha256 == sha256(release.images[1]).digest()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused(make_release, two_slots, kind, encrypted, data) -> None:
    release = make_release(encrypted=encrypted)
    good = artefact(release, kind)
    which = data.draw(st.sampled_from(["blob", "manifest"]))
    original = getattr(good, which)
    bad = replace(good, **{which: flip_bit(original, data.draw(st.integers(0, 8 * len(original) - 1)))})
    expected = Reason.MANIFEST_INVALID if which == "manifest" else Reason.ARTEFACT_MISMATCH
    check_refusal(device_of(release, two_slots), release, bad, expected)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_another_length_is_refused_before_a_byte_is_written(make_release, two_slots, kind, data) -> None:
    release = make_release()
    good = artefact(release, kind)
    which = data.draw(st.sampled_from(["blob", "manifest"]))
    original = getattr(good, which)
    change = data.draw(st.sampled_from(["truncated", "extended"]))
    n = data.draw(st.integers(0, len(original) - 1))
    bad = replace(good, **{which: original[:n] if change == "truncated" else original + bytes(n + 1)})
    device = device_of(release, two_slots)
    expected = Reason.MANIFEST_INVALID if which == "manifest" else Reason.ARTEFACT_MISMATCH
    take(device, release, bad)
    assert device.flash.ops == 0
    check_refusal(device, release, bad, expected)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_blob_changed_and_signed_anew_is_refused_by_its_inside(
    make_release, two_slots, kind, encrypted, data
) -> None:
    """The release key has leaked, the image key has not: for the test both are the same, so only the blob is
    touched. A full artefact is caught by the image's hash or signature, a patch by its envelope or result."""
    release = make_release(encrypted=encrypted)
    good = artefact(release, kind)
    bit = data.draw(st.integers(0, 8 * len(good.blob) - 1))
    bad = resigned(release, good, flip_bit(good.blob, bit))
    check_refusal(device_of(release, two_slots), release, bad, *(set(Reason) - {Reason.NONE}))


def test_an_artefact_of_another_publisher_is_refused(make_release, two_slots) -> None:
    release, other = make_release(), make_release(seed=8)
    for kind in KINDS:
        check_refusal(device_of(release, two_slots), release, artefact(other, kind), Reason.MANIFEST_INVALID)


def test_an_image_of_another_publisher_under_a_good_manifest_is_refused(make_release, two_slots) -> None:
    release, other = make_release(encrypted=False), make_release(encrypted=False, seed=8)
    blob = other.images[1]
    digest = sha256(blob).digest()
    bad = resigned(release, artefact(release, "full"), blob, image_sha256=digest, image_size=len(blob))
    check_refusal(device_of(release, two_slots), release, bad, Reason.KEY_UNKNOWN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lower_security_counter_is_refused_before_a_byte_is_written(make_release, two_slots, kind) -> None:
    release = make_release()
    device = device_of(release, two_slots, counter=3)
    before = device.flash.content()
    assert take(device, release, artefact(release, kind)) is Reason.SECURITY_COUNTER_LOW
    assert device.flash.content() == before
    assert device.flash.ops == 0


def test_a_counter_promised_by_the_manifest_alone_is_refused(make_release, two_slots) -> None:
    release = make_release()
    bad = resigned(release, artefact(release, "full"), security_counter=9)
    device = device_of(release, two_slots)
    assert take(device, release, bad) is Reason.ARTEFACT_MISMATCH
    lower = device_of(release, two_slots, counter=3)
    assert take(lower, release, bad) is Reason.SECURITY_COUNTER_LOW, "the image's own counter is checked too"


def test_a_manifest_that_gives_a_plain_image_another_hash_is_refused(
    make_release, two_slots, one_slot
) -> None:
    release = make_release(encrypted=False)
    bad = resigned(release, artefact(release, "full"), image_sha256=bytes(32))
    check_refusal(device_of(release, two_slots), release, bad, Reason.ARTEFACT_MISMATCH)
    single = device_of(release, one_slot)
    assert take(single, release, bad) is Reason.ARTEFACT_MISMATCH
    assert single.flash.ops == 0, "an only slot is not overwritten for it"


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_is_there_already_is_refused_before_a_byte_is_written(
    make_release, two_slots, one_slot, encrypted
) -> None:
    release = make_release(encrypted=encrypted)
    for config in (two_slots, one_slot):
        device = device_of(release, config, base=1)
        assert take(device, release, artefact(release, "full")) is Reason.ALREADY_INSTALLED
        assert device.flash.ops == 0
        assert boot(device).image_sha256 == sha256(release.images[1]).digest()
    broken = device_of(release, one_slot, base=1)
    broken.area("primary").erase(0)
    assert take(broken, release, artefact(release, "full")) is Reason.NONE, "not what is there: it is gone"


def test_other_hardware_is_refused_before_a_byte_is_written(make_release, two_slots) -> None:
    release = make_release(hardware=("rev-b", "rev-c"))
    art = artefact(release, "full")
    for hardware, expected in (
        ("rev-a", Reason.HARDWARE_MISMATCH),
        ("rev-c", Reason.NONE),
        ("", Reason.NONE),
    ):
        device = device_of(release, replace(two_slots, hardware=hardware))
        found = install(device, (release.verify_key,), art.manifest, art.blob)
        assert found is expected
        assert (device.flash.ops == 0) == (expected is not Reason.NONE)


def test_a_patch_for_another_base_is_refused_before_a_byte_is_written(make_release, two_slots) -> None:
    release = make_release((9_000, 9_200, 9_400))
    patch = next(a for a in release.artefacts if a.base == 1)
    device = device_of(release, two_slots, base=0)
    assert take(device, release, patch) is Reason.WRONG_BASE
    assert device.flash.ops == 0
    assert take(device, release, artefact(release, "full")) is Reason.NONE, "the caller may fall back to it"
    assert boot(device).image_sha256 == sha256(release.images[2]).digest()


def test_a_malicious_patch_signed_anew_is_refused(make_release, two_slots) -> None:
    """The publisher's keys are in the wrong hands; the patch still cannot make another image than it names,
    an image the boot loader does not accept, or a larger one than the slot."""
    release = make_release(encrypted=False)
    good, old = artefact(release, "delta"), release.images[0]
    forged = release.images[1][:4000] + b"implant!" + release.images[1][4008:]
    names_it = {"image_sha256": sha256(forged).digest(), "image_size": len(forged)}
    patch = create_patch(old, forged)
    check_refusal(
        device_of(release, two_slots), release, resigned(release, good, patch), Reason.ARTEFACT_MISMATCH
    )
    check_refusal(
        device_of(release, two_slots),
        release,
        resigned(release, good, patch, **names_it),
        Reason.HASH_MISMATCH,
    )
    large = release.images[1] + bytes(20_000)
    check_refusal(
        device_of(release, two_slots),
        release,
        resigned(
            release,
            good,
            create_patch(old, large),
            image_sha256=sha256(large).digest(),
            image_size=len(large),
        ),
        Reason.STORAGE_SHORT,
    )
    check_refusal(
        device_of(release, two_slots),
        release,
        resigned(release, good, b"no patch at all"),
        Reason.NOT_A_PATCH,
        Reason.TRUNCATED,
    )


def test_a_patch_wrapped_for_another_device_is_refused(make_release, two_slots) -> None:
    release, other = make_release(), make_release(seed=8)
    good = artefact(release, "delta")
    patch = create_patch(release.images[0], release.images[1])
    key, ephemeral = bytes(range(32)), other.decryption_key
    wrapped = wrap_key(key, other.decryption_key.public(), ephemeral)
    bad = resigned(release, good, ctr_crypt(key, patch), wrapped_key=wrapped)
    check_refusal(device_of(release, two_slots), release, bad, Reason.DECRYPTION_FAILED)


def test_an_encrypted_image_on_a_device_without_the_key_is_refused(make_release, two_slots, one_slot) -> None:
    release, plain = make_release(), make_release(encrypted=False)
    for config in (two_slots, one_slot):
        device = new_device(config, (release.verify_key,), None, plain.images[0], 1)
        assert take(device, release, artefact(release, "full")) is Reason.DECRYPTION_FAILED
        assert boot(device).image_sha256 == sha256(plain.images[0]).digest()


def test_an_install_during_a_trial_is_refused_and_the_way_back_stays(make_release, two_slots) -> None:
    release = make_release()
    device = device_of(release, two_slots)
    take(device, release, artefact(release, "full"))
    boot(device)
    before = device.flash.content()
    assert take(device, release, artefact(release, "full")) is Reason.TRIAL_PENDING
    assert device.flash.content() == before
    assert boot(device).image_sha256 == sha256(release.images[0]).digest()


def test_a_request_not_yet_booted_is_replaced_by_the_next_install(make_release, two_slots) -> None:
    release = make_release()
    device = device_of(release, two_slots)
    assert take(device, release, artefact(release, "full")) is Reason.NONE
    bad = replace(artefact(release, "full"), blob=flip_bit(release.wire_image, 12345))
    assert take(device, release, bad) is Reason.ARTEFACT_MISMATCH
    booted = boot(device)
    assert booted.image_sha256 == sha256(release.images[0]).digest()
    assert booted.reason is Reason.NONE, "the old request died with its image"


@pytest.mark.parametrize(
    ("change", "kind"), [({"slot_size_bytes": 11_264}, "full"), ({"download_size_bytes": 0}, "delta")]
)
def test_no_room_is_told_before_a_byte_is_written(make_release, two_slots, change, kind) -> None:
    release = make_release()
    device = device_of(release, replace(two_slots, **change))
    assert take(device, release, artefact(release, kind)) is Reason.STORAGE_SHORT
    assert device.flash.ops == 0
    assert boot(device).version is not None or kind == "full"


# One slot


def test_the_only_slot_is_overwritten_in_the_clear(make_release, one_slot) -> None:
    release = make_release()
    device = device_of(release, one_slot)
    assert take(device, release, artefact(release, "full")) is Reason.NONE
    assert slot(device, "primary", len(release.images[1])) == release.images[1]
    booted = boot(device)
    assert (booted.image_sha256, booted.trial) == (sha256(release.images[1]).digest(), False)
    confirm_update(device)
    assert device.security_counter == 2


def test_an_encrypted_image_is_deciphered_piece_by_piece_on_its_way_into_the_only_slot(
    make_release, one_slot
) -> None:
    """Operation by operation, time is that of erase, deciphering of the piece, write: none is done ahead."""
    release = make_release(payload="full")
    device = device_of(release, one_slot)
    take(device, release, artefact(release, "full"))
    flash, header = device.flash, parse_image(release.wire_image).header
    write = next(n for n, step in enumerate(device.journal) if step.phase == "write")
    meter = device_of(release, one_slot).meter
    meter.time_ns = sum(step.time_ns for step in device.journal[:write])
    ends: list[int] = []
    payload_end = header.header_size + header.image_size
    for at in range(0, len(release.wire_image), 1024):
        for _ in range(2 if at + 512 < len(release.wire_image) else 1):
            meter.flash(flash._erase_ns, 0)
            ends.append(meter.time_ns)
        end = min(at + 1024, len(release.wire_image))
        meter.aes_ctr(max(0, min(end, payload_end) - max(at, header.header_size)))
        meter.flash(-(-(end - at) // flash.profile.word_bytes) * flash.profile.word_ns, 0)
        ends.append(meter.time_ns)
    assert flash.op_end_ns == ends


def test_a_patch_needs_a_second_slot(make_release, one_slot) -> None:
    release = make_release()
    device = device_of(release, one_slot)
    assert take(device, release, artefact(release, "delta")) is Reason.NO_ARTEFACT
    assert device.flash.ops == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_driver_refuses_the_write_past_the_only_slot_and_nothing_boots(make_release, encrypted) -> None:
    """64 KiB of slot, an old image that fills it, a new one that is larger: what 3,600 devices met."""
    config = DeviceConfig(layout="single-slot", slot_size_bytes=65_536, download_size_bytes=0)
    release = make_release((60_000, 70_000), encrypted=encrypted, payload="full")
    device = device_of(release, config)
    assert take(device, release, artefact(release, "full")) is Reason.WRITE_REFUSED
    assert device.flash.content() == release.images[1][:65_536], "a truncated image lies in the slot"
    booted = boot(device)
    assert (booted.version, booted.reason) == (None, Reason.NO_VALID_IMAGE)
    smaller = make_release((60_000, 70_000 * 85 // 100), encrypted=encrypted, payload="full")
    device = device_of(smaller, config)
    assert take(device, smaller, artefact(smaller, "full")) is Reason.NONE
    assert boot(device).image_sha256 == sha256(smaller.images[1]).digest()


def test_a_bad_manifest_leaves_the_only_slot_alone(make_release, one_slot) -> None:
    release, other = make_release(), make_release(seed=8)
    device = device_of(release, one_slot)
    before = device.flash.content()
    assert take(device, release, artefact(other, "full")) is Reason.MANIFEST_INVALID
    assert device.flash.content() == before


def test_a_flipped_bit_on_the_way_into_the_only_slot_bricks(make_release, one_slot) -> None:
    release = make_release()
    good = artefact(release, "full")
    device = device_of(release, one_slot)
    assert take(device, release, replace(good, blob=flip_bit(good.blob, 8 * 5000))) is Reason.HASH_MISMATCH
    assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_a_manifest_key_apart_from_the_image_key(make_release, two_slots) -> None:
    release = make_release()
    key = SigningKey.of(derive_private("ed25519", 1, "manifests alone"))
    art = artefact(release, "full")
    manifest = sign_manifest(facts_of(release, art), key)
    device = device_of(release, two_slots)
    assert install(device, (release.verify_key,), manifest, art.blob) is Reason.MANIFEST_INVALID
    assert install(device, (key.public(),), manifest, art.blob) is Reason.NONE
