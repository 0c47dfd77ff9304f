"""Beside the main release there may be other targets: each gets its artefacts, and the main one keeps its."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest

from simlib.delta import apply_patch
from simlib.errors import InputError
from simlib.firmware.chain import Firmware, load_chain, load_chain_and_fix
from simlib.firmware.image import parse_image
from simlib.firmware.version import Version
from simlib.release import RECOVERIES, Recovery, Release, build_release, open_manifest, unpack_blob
from simlib.release import recovery as recovery_module
from simlib.scenario.model import ReleaseSpec
from simlib.security.encryption import content_key_of, decrypt_image, unwrap_key
from simlib.security.signing import verify_image

SPEC = ReleaseSpec(
    source="files",
    files=(),
    seed=5,
    size_bytes=0,
    base_size_bytes=0,
    steps=(),
    payload="delta",
    codec="bsdiff4",
    full_above=Fraction(4, 5),
    encrypted=True,
    signature="ecdsa-p256",
    hardware=("rev-a",),
    published_ms=(),
    stepping_stones=(),
    security_counters="raise",
)
SYNTHETIC = replace(
    SPEC, source="synthetic", size_bytes=66 << 10, base_size_bytes=64 << 10, steps=("patch", "minor")
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ReleaseSpec:
    """A chain of five files, fw0 to fw4."""
    folder, source = tmp_path_factory.mktemp("chain"), random.Random(1)
    payload, paths = source.randbytes(7_000), []
    for number in range(5):
        at = source.randrange(6_000)
        payload = payload[:at] + source.randbytes(40 + number) + payload[at + 40 :]
        path: Path = folder / f"fw{number}.bin"
        path.write_bytes(payload)
        paths.append(str(path))
    return replace(SPEC, files=tuple(paths))


def names(release: Release) -> list[str]:
    return [artefact.name for artefact in release.artefacts]


def result(release: Release, artefact) -> bytes:
    """The image an artefact leads to, as it will lie in the primary slot."""
    facts = open_manifest(artefact.manifest, (release.verify_key,))
    assert facts.version == release.firmwares[artefact.target].version
    assert facts.security_counter == release.security_counters[artefact.target]
    assert facts.image_sha256 == sha256(release.images[artefact.target]).digest()
    if artefact.kind == "full":
        key = release.decryption_key
        return artefact.blob if key is None else decrypt_image(artefact.blob, key)
    patch = unpack_blob(facts, artefact.blob, release.decryption_key)
    base_image = b"" if artefact.base is None else release.images[artefact.base]
    return apply_patch(base_image, patch, max_result_bytes=1 << 20)


def expect_sound(release: Release) -> None:
    """Every artefact leads to its target, every image verifies, and no content key meets two plaintexts."""
    assert len(set(names(release))) == len(release.artefacts)
    for artefact in release.artefacts:
        assert result(release, artefact) == release.images[artefact.target]
    for image, counter in zip(release.images, release.security_counters, strict=True):
        found = verify_image(image, [release.verify_key], plaintext_payload=True)
        assert found.security_counter == counter
    if release.decryption_key is not None:
        meets: dict[bytes, set[bytes]] = {}
        for artefact in release.artefacts:
            facts = open_manifest(artefact.manifest, (release.verify_key,))
            if artefact.kind == "full":
                key = content_key_of(artefact.blob, release.decryption_key)
                plaintext = parse_image(release.images[artefact.target]).payload
            else:
                key = unwrap_key(facts.wrapped_key, release.decryption_key)
                plaintext = unpack_blob(facts, artefact.blob, release.decryption_key)
            meets.setdefault(key, set()).add(plaintext)
        assert all(len(plaintexts) == 1 for plaintexts in meets.values())


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("kind", [None, *RECOVERIES])
def test_every_artefact_of_every_target_leads_to_it_and_the_primarys_stay_as_they_were(
    spec, kind, encrypted
) -> None:
    spec = replace(spec, encrypted=encrypted)
    recovery = None if kind is None else Recovery(kind, "patch")
    release = build_release(spec, targets=(1,), recovery=recovery)
    expect_sound(release)
    primary = 3 if kind == "forward-fix" else 4
    assert release.primary == primary
    plain = build_release(replace(spec, files=spec.files[: primary + 1]))
    assert release.artefacts[: len(plain.artefacts)] == plain.artefacts
    assert release.images[: primary + 1] == plain.images
    assert release.wire_image == plain.wire_image


def test_the_artefacts_names_say_where_from_and_where_to(spec) -> None:
    of_primary = ["full", *(f"delta-from-fw{n}" for n in range(4))]
    stone = ["full-of-fw2", "fw2-from-fw0", "fw2-from-fw1"]
    assert names(build_release(spec, targets={2})) == of_primary + stone
    back = ["full-of-fw3", *(f"fw3-from-fw{n}" for n in (0, 1, 2, 4))]
    both = build_release(spec, targets=[2], recovery=Recovery("rollback", ""))
    assert names(both) == of_primary + stone + back
    assert both.targets == (4, 2, 3)
    assert both.recovery == 3
    again = build_release(spec, recovery=Recovery("rollback-resigned", ""))
    assert again.firmwares[-1].label == "fw3-again"
    patches = [f"fw3-again-from-fw{n}" for n in range(5)]
    assert names(again) == [*of_primary, "full-of-fw3-again", *patches]


@pytest.mark.parametrize("kind", RECOVERIES)
def test_patches_come_from_the_bases_asked_for_and_the_primary(spec, kind) -> None:
    release = build_release(spec, bases={0, 2}, targets={1}, recovery=Recovery(kind, "patch"))
    expect_sound(release)
    found = {
        target: [a.base for a in release.artefacts if a.target == target and a.kind == "delta"]
        for target in release.targets
    }
    assert found == {
        release.primary: [0, 2],
        1: [0],
        release.recovery: [0, 2, release.primary],
    }
    everywhere = build_release(spec, targets={1}, recovery=Recovery(kind, "patch"))
    assert set(release.artefacts) < set(everywhere.artefacts)


def test_the_stepping_stones_of_the_specification_are_targets_unless_others_are_named(spec) -> None:
    stones = replace(spec, stepping_stones=(2, 3))
    assert build_release(stones).targets == (4, 1, 2)
    fixed = build_release(stones, recovery=Recovery("forward-fix", ""))
    assert (fixed.primary, fixed.targets) == (3, (3, 0, 1, 4)), "they count from the primary"
    assert build_release(stones, targets=()).targets == (4,)
    assert build_release(stones, targets={4, 3}).targets == (4, 3)
    for wrong in (0, 5):
        with pytest.raises(InputError, match=f"stepping_stones: found {wrong}, expected 1 to 4"):
            build_release(replace(spec, stepping_stones=(wrong,)))


def test_the_oldest_member_as_a_target_has_nothing_to_be_patched_from(spec) -> None:
    release = build_release(spec, targets={0})
    assert [a.name for a in release.artefacts if a.target == 0] == ["full-of-fw0"]


@pytest.mark.parametrize("kind", RECOVERIES)
def test_a_release_of_full_images_has_no_patches_to_any_target(spec, kind) -> None:
    release = build_release(replace(spec, payload="full"), targets={1}, recovery=Recovery(kind, "patch"))
    assert [a.kind for a in release.artefacts] == ["full"] * 3


def test_a_patch_too_near_its_targets_full_size_is_not_offered(spec) -> None:
    release = build_release(spec, targets={2})
    full, *deltas = [a for a in release.artefacts if a.target == 2]
    shares = sorted(Fraction(delta.wire_bytes, full.wire_bytes) for delta in deltas)
    for share, left in ((shares[1], 2), (shares[0], 1), (shares[0] - Fraction(1, 10**9), 0)):
        few = build_release(replace(spec, full_above=share), targets={2})
        assert sum(a.target == 2 and a.kind == "delta" for a in few.artefacts) == left


def test_a_device_is_offered_what_leads_to_its_target(spec) -> None:
    release = build_release(spec, targets={2}, recovery=Recovery("rollback", ""))

    def offered(base: int | None, target: int | None = None) -> list[str]:
        return [artefact.name for artefact in release.artefacts_for(base, target)]

    assert offered(0) == offered(0, target=4) == ["delta-from-fw0", "full"]
    assert offered(0, target=2) == ["fw2-from-fw0", "full-of-fw2"]
    assert offered(4, target=3) == ["fw3-from-fw4", "full-of-fw3"]
    assert offered(3, target=2) == offered(None, target=2) == ["full-of-fw2"]
    assert release.full_for() is release.artefacts[0]
    assert release.full_for(3).name == "full-of-fw3"
    for call in (lambda: release.full_for(1), lambda: offered(0, target=1), lambda: offered(None, target=1)):
        with pytest.raises(InputError, match="target: found 1, expected one of 4, 2, 3"):
            call()


def test_every_target_has_a_compressed_artefact_of_its_own(spec) -> None:
    files = []
    for each in spec.files:  # noise does not compress
        path = Path(each).with_suffix(".text.bin")
        path.write_bytes(Path(each).read_bytes() + b"a sentence that is in every release " * 40)
        files.append(str(path))
    spec = replace(spec, files=tuple(files), full_codec="full-heatshrink")
    release = build_release(spec, targets={2}, recovery=Recovery("rollback", ""))
    expect_sound(release)
    compressed = {a.target: a.name for a in release.artefacts if a.kind == "compressed"}
    assert compressed == {4: "compressed", 2: "compressed-of-fw2.text", 3: "compressed-of-fw3.text"}
    for target, name in compressed.items():
        assert [a.name for a in release.artefacts_for(None, target)] == [name, release.full_for(target).name]


# What recovery adds to a chain


@pytest.mark.parametrize("step", ["rebuild", "patch", "minor"])
def test_a_synthetic_fix_is_one_more_release_and_changes_nothing_before_it(step) -> None:
    release = build_release(SYNTHETIC, recovery=Recovery("forward-fix", step))
    expect_sound(release)
    assert (release.primary, release.recovery) == (2, 3)
    assert release.firmwares[:3] == load_chain(SYNTHETIC)
    fix = release.firmwares[3]
    expected = {"rebuild": Version(1, 1, 0, 1), "patch": Version(1, 1, 1), "minor": Version(1, 2, 0)}
    assert (fix.version, len(fix.payload)) == (expected[step], 66 << 10)
    assert fix.payload != release.firmwares[2].payload


def test_a_synthetic_release_of_one_can_be_fixed_and_cannot_be_rolled_back() -> None:
    alone = replace(SYNTHETIC, steps=())
    assert build_release(alone, recovery=Recovery("forward-fix", "patch")).primary == 0
    for kind in ("rollback", "rollback-resigned"):
        with pytest.raises(InputError, match=f"recovery: found {kind} in a chain of one"):
            build_release(alone, recovery=Recovery(kind, ""))


def test_of_files_the_newest_is_the_fix(spec) -> None:
    assert load_chain_and_fix(spec, "") == load_chain(spec)
    three = build_release(replace(spec, files=spec.files[:3]), recovery=Recovery("forward-fix", ""))
    assert (three.primary, three.recovery) == (1, 2)
    with pytest.raises(InputError, match="files with 2 firmwares, expected at least 3"):
        build_release(replace(spec, files=spec.files[:2]), recovery=Recovery("forward-fix", ""))


@pytest.mark.parametrize(
    ("counters", "expected"), [("raise", (1, 2, 3, 4, 5, 6)), ("keep", (1, 1, 1, 1, 1, 1))]
)
def test_a_firmware_signed_again_counts_as_newer_than_the_primary(spec, counters, expected) -> None:
    spec = replace(spec, security_counters=counters)
    release = build_release(spec, recovery=Recovery("rollback-resigned", ""))
    expect_sound(release)
    assert (release.primary, release.recovery) == (4, 5)
    assert release.security_counters == expected
    again = release.firmwares[5]
    assert again.payload == release.firmwares[3].payload
    assert again.version == Version(1, 4, 0, 1) > release.firmwares[4].version
    assert release.images[5] != release.images[3]


def test_security_counters_are_raised_or_kept_and_nothing_else(spec) -> None:
    assert build_release(replace(spec, security_counters="keep")).security_counters == (1,) * 5
    with pytest.raises(InputError, match="security_counters: found 'drop', expected raise or keep"):
        build_release(replace(spec, security_counters="drop"))


def test_a_rollback_is_the_old_image_as_it_was_signed(spec) -> None:
    release = build_release(spec, recovery=Recovery("rollback", ""))
    assert release.recovery == 3
    assert release.images == build_release(spec).images
    assert release.security_counters == (1, 2, 3, 4, 5)


def test_a_label_stays_unique_when_it_is_signed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = tuple(Firmware(label, Version(1, n, 0), b"x") for n, label in enumerate(["a-again", "a", "b"]))
    monkeypatch.setattr(recovery_module, "load_chain", lambda _: chain)
    found = recovery_module.plan_chain(SPEC, Recovery("rollback-resigned", ""))
    assert [firmware.label for firmware in found.firmwares] == ["a-again", "a", "b", "a-again-again"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: Recovery("undo", ""), "recovery.kind: found 'undo', expected one of forward-fix"),
        (
            lambda s: build_release(SYNTHETIC, recovery=Recovery("forward-fix", "leap")),
            "recovery.step: found 'leap', expected one of rebuild",
        ),
        (lambda s: build_release(s, targets={5}), "targets: found 5, expected 0 to 4"),
        (lambda s: build_release(s, targets={-1}), "targets: found -1"),
        (
            lambda s: build_release(s, bases={3}, recovery=Recovery("forward-fix", "")),
            "bases: found 3, expected 0 to 2",
        ),
    ],
)
def test_what_cannot_be_is_bad_input(spec, call, message) -> None:
    with pytest.raises(InputError, match=message):
        call(spec)


def test_two_artefacts_never_share_a_name(tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(("fw0", "delta", "fw2")):
        path = tmp_path / f"{name}.bin"
        path.write_bytes(random.Random(1).randbytes(5_000) + bytes([number]) * 40)
        paths.append(str(path))
    spec = replace(SPEC, files=tuple(paths))
    assert build_release(spec).targets == (2,)
    with pytest.raises(InputError, match="two artefacts 'delta-from-fw0'"):
        build_release(spec, targets={1})
