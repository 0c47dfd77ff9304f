"""A real device reaches every target a release offers, or refuses it for its own reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simlib.device import DeviceConfig
from simlib.device.bench import Bench
from simlib.device.events import Boot, Confirm, Install
from simlib.errors import Reason
from simlib.release import RECOVERIES, Release

SIZES = (9_000, 9_200, 9_400)
encryption = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])


@pytest.fixture(scope="module")
def config(two_slots) -> DeviceConfig:
    return replace(two_slots, download_size_bytes=16_384)


def updated(bench: Bench, state: str, artefact: str) -> str:
    """The state after an update that goes well to its end."""
    for event in (Install(artefact), Boot(), Confirm(), Boot()):
        found = bench.run(state, event)
        assert found.verdict is Reason.NONE, found.steps[-1]
        state = found.state
    return state


def runs(bench: Bench, state: str) -> int | None:
    return bench.run(state, Boot()).running


def expect_image(bench: Bench, release: Release, state: str, target: int) -> None:
    """The primary slot holds exactly the target's image."""
    image = release.images[target]
    assert runs(bench, state) == target
    assert bench.content(state)[: len(image)] == image


@encryption
@pytest.mark.parametrize("kind", [None, *RECOVERIES])
def test_every_artefact_of_every_target_leads_to_exactly_its_image(
    make_release, config, kind, encrypted
) -> None:
    """Under kept counters no artefact is refused, so all can be tried, the backward ones too."""
    release = make_release(SIZES, encrypted=encrypted, recovery=kind, security_counters="keep", targets=(1,))
    bench = Bench(release)
    for artefact in release.artefacts:
        base = artefact.base
        if base is None:
            base = 0 if artefact.target else 1
        state = updated(bench, bench.start(config, base), artefact.name)
        expect_image(bench, release, state, artefact.target)


@encryption
def test_a_forward_fix_installs_over_the_release_that_it_mends(make_release, config, encrypted) -> None:
    release = make_release(SIZES, encrypted=encrypted, recovery="forward-fix")
    bench = Bench(release)
    assert (release.primary, release.recovery) == (1, 2)
    broken = updated(bench, bench.start(config, 0), "full")
    assert runs(bench, broken) == 1
    for artefact in (release.artefacts_for(1, target=2)[0], release.full_for(2)):
        expect_image(bench, release, updated(bench, broken, artefact.name), 2)
    patch = release.artefacts_for(1, target=2)[0]
    assert (patch.kind, patch.base) == ("delta", 1)


@encryption
def test_a_rollback_is_refused_by_a_counter_that_has_risen(make_release, config, encrypted) -> None:
    release = make_release(SIZES, encrypted=encrypted, recovery="rollback")
    bench = Bench(release)
    assert (release.primary, release.recovery) == (2, 1)
    confirmed = updated(bench, bench.start(config, 0), "full")
    for artefact in release.artefacts:
        if artefact.target == 1 and artefact.base in (None, 2):
            refused = bench.run(confirmed, Install(artefact.name))
            assert (refused.verdict, refused.ops) == (Reason.SECURITY_COUNTER_LOW, 0)
            assert runs(bench, refused.state) == 2
    unconfirmed = bench.run(bench.run(bench.start(config, 1), Install("full")).state, Boot())
    assert unconfirmed.trial
    assert runs(bench, unconfirmed.state) == 1, "before the confirmation the counter lets the old one back"


@encryption
def test_a_rollback_is_taken_where_the_counter_was_kept(make_release, config, encrypted) -> None:
    release = make_release(SIZES, encrypted=encrypted, recovery="rollback", security_counters="keep")
    bench = Bench(release)
    confirmed = updated(bench, bench.start(config, 0), "full")
    for artefact in (release.artefacts_for(2, target=1)[0], release.full_for(1)):
        assert artefact.base in (None, 2)
        expect_image(bench, release, updated(bench, confirmed, artefact.name), 1)


@encryption
@pytest.mark.parametrize("counters", ["raise", "keep"])
def test_an_old_firmware_signed_again_is_taken_by_any_counter(
    make_release, config, counters, encrypted
) -> None:
    release = make_release(
        SIZES, encrypted=encrypted, recovery="rollback-resigned", security_counters=counters
    )
    bench = Bench(release)
    assert (release.primary, release.recovery) == (2, 3)
    confirmed = updated(bench, bench.start(config, 0), "full")
    for artefact in (release.artefacts_for(2, target=3)[0], release.full_for(3)):
        assert artefact.base in (None, 2)
        expect_image(bench, release, updated(bench, confirmed, artefact.name), 3)
    # The firmware that it was made of is not "already installed": it is another image.
    original = release.artefacts_for(1, target=3)[0]
    expect_image(bench, release, updated(bench, bench.start(config, 1), original.name), 3)


@encryption
def test_an_old_device_passes_through_a_stepping_stone(make_release, config, encrypted) -> None:
    release = make_release(SIZES, encrypted=encrypted, targets=(1,))
    bench = Bench(release)
    stone = release.artefacts_for(0, target=1)[0]
    assert (stone.kind, stone.base) == ("delta", 0)
    state = updated(bench, bench.start(config, 0), stone.name)
    expect_image(bench, release, state, 1)
    onward = release.artefacts_for(1)[0]
    assert (onward.kind, onward.base) == ("delta", 1)
    expect_image(bench, release, updated(bench, state, onward.name), 2)
