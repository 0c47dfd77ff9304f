"""Every signature, cipher and key wrap of a scenario carries a device through an update and back."""

from __future__ import annotations

from hashlib import sha256

import pytest

from simlib.device import Device, new_device
from simlib.device.bootloader import boot
from simlib.device.flash import PowerCut
from simlib.device.updater import install
from simlib.errors import Reason
from simlib.scenario.schema import CIPHERS, KEY_WRAPS, SIGNATURES

WAYS = [
    *((signature, CIPHERS[0], KEY_WRAPS[0]) for signature in SIGNATURES),
    *(("ecdsa-p256", cipher, wrap) for cipher in CIPHERS for wrap in KEY_WRAPS),
    ("ecdsa-p384", "aes-128", "x25519"),
]


def device_of(release, config, base=0) -> Device:
    return new_device(
        config,
        (release.verify_key,),
        release.decryption_key,
        release.images[base],
        release.security_counters[base],
    )


@pytest.mark.parametrize("kind", ["full", "delta"])
@pytest.mark.parametrize(("signature", "cipher", "key_wrap"), dict.fromkeys(WAYS))
def test_an_update_is_installed_run_taken_back_and_installed_again(
    make_release, two_slots, signature, cipher, key_wrap, kind
) -> None:
    release = make_release(signature=signature, cipher=cipher, key_wrap=key_wrap)
    art = next(each for each in release.artefacts if each.kind == kind)
    device = device_of(release, two_slots)
    names = [sha256(image).digest() for image in release.images]
    for _ in range(2):
        assert install(device, (release.verify_key,), art.manifest, art.blob) is Reason.NONE
        assert device.area("secondary").read(0, len(release.wire_image)) == release.wire_image
        assert boot(device).image_sha256 == names[1]
        assert device.area("primary").read(0, len(release.images[1])) == release.images[1]
        assert boot(device).image_sha256 == names[0]
        assert device.area("primary").read(0, len(release.images[0])) == release.images[0]


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_swap_that_lost_its_power_goes_on_under_the_kept_keys(make_release, two_slots, cipher) -> None:
    release = make_release((1_500, 1_700), cipher=cipher)
    names = [sha256(image).digest() for image in release.images]
    full = release.full_for()
    device = device_of(release, two_slots)
    assert install(device, (release.verify_key,), full.manifest, full.blob) is Reason.NONE
    installed = device.snapshot()
    before = device.flash.ops
    boot(device)
    ops = device.flash.ops - before
    assert ops > 20
    for op in range(1, ops + 1):
        device.restore(installed)
        device.flash.arm_cut(op, "none")
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
        assert boot(device).image_sha256 == names[1], op
        assert device.area("primary").read(0, len(release.images[1])) == release.images[1]


@pytest.mark.parametrize("signature", ["ecdsa-p384", "rsa-2048"])
def test_a_changed_image_is_refused_and_the_old_one_runs_on(make_release, two_slots, signature) -> None:
    release = make_release(signature=signature)
    full, device = release.full_for(), device_of(release, two_slots)
    assert install(device, (release.verify_key,), full.manifest, full.blob) is Reason.NONE
    # as by a fault after the updater's check: a bit of the candidate's payload in the secondary slot
    area = device.area("secondary")
    at = 600 // 512 * 512
    sector = bytearray(area.read(at, 512))
    sector[88] ^= 1
    area.erase(at)
    area.write_bytes(at, bytes(sector))
    assert boot(device).image_sha256 == sha256(release.images[0]).digest()
