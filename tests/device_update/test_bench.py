"""The bench is a pure function: the same answers with its memory cold, warm and off, for every power cut."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.device import Step, sector_store
from simlib.device import bench as bench_module
from simlib.device import memo as memo_module
from simlib.device import state as state_module
from simlib.device.bench import Bench
from simlib.device.details import Details
from simlib.device.events import Boot, Confirm, Cut, Event, Install
from simlib.device.forgery import FORGERIES
from simlib.device.layouts import max_image_bytes
from simlib.device.memo import Memo
from simlib.device.transition import Effect, Transition, pack, unpack
from simlib.errors import InputError, Reason
from simlib.release import Artefact, Release
from tests.amounts import examples

TEARS = ("none", "partial", "garbage")


def delta_name(release: Release) -> str:
    return next(a.name for a in release.artefacts if a.kind == "delta")


def walk(bench: Bench, state: str, *events: Event) -> list[Transition]:
    found = []
    for event in events:
        found.append(bench.run(state, event))
        state = found[-1].state
    return found


def story(release: Release) -> tuple[Event, ...]:
    """An update cut twice, a flipped bit, and one that ends well."""
    delta = delta_name(release)
    return (
        Install(delta, cut=Cut(5, "garbage")),
        Boot(),
        Install("full", flip_bit=10**9 + 7),
        Install(delta),
        Boot(cut=Cut(60, "partial")),
        Boot(),
        Confirm(),
        Boot(),
    )


def effect(details: Details, **facts: object) -> Effect:
    return Effect(
        **{
            "verdict": Reason.NONE,
            "trial": False,
            "swap": "none",
            "time_ns": 1,
            "flash_nj": 2,
            "compute_nj": 3,
            "ops": len(details.op_end_ns),
            "erases": 4,
            "bytes_written": 5,
            "image": None,
            "security_counter": 6,
            "changed": (),
            "digests": (),
        }
        | facts,
        details=details,
    )


def test_an_update_on_the_bench(make_release, two_slots) -> None:
    release = make_release()
    bench = Bench(release)
    installed, tried, confirmed, after = walk(
        bench, bench.start(two_slots, 0), Install(delta_name(release)), Boot(), Confirm(), Boot()
    )
    assert (installed.verdict, installed.running) == (Reason.NONE, 0)
    assert (tried.running, tried.trial, tried.swap) == (1, True, "test")
    assert (confirmed.verdict, confirmed.running) == (Reason.NONE, 1)
    assert (after.running, after.trial, after.swap) == (1, False, "none")
    assert after.state == confirmed.state


def test_a_transition_carries_the_cost_of_its_event_alone(make_release, two_slots) -> None:
    bench = Bench(make_release())
    for found in walk(bench, bench.start(two_slots, 0), Install("full"), Boot(), Confirm(), Boot()):
        assert found.time_ns == sum(step.time_ns for step in found.steps)
        assert found.flash_nj + found.compute_nj == sum(step.energy_nj for step in found.steps)
        assert found.ops == len(found.op_end_ns) == sum(step.ops for step in found.steps)
        assert found.bytes_written == sum(step.bytes for step in found.steps)
        assert list(found.op_end_ns) == sorted(found.op_end_ns)
        assert not found.op_end_ns or 0 < found.op_end_ns[0] <= found.op_end_ns[-1] <= found.time_ns
        assert found.ops == len(found.op_end_nj)
        assert list(found.op_end_nj) == sorted(set(found.op_end_nj)), "each operation takes something"
        total_nj = found.flash_nj + found.compute_nj
        assert not found.op_end_nj or 0 < found.op_end_nj[0] <= found.op_end_nj[-1] <= total_nj


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(0, 400))
def test_a_moment_falls_into_the_first_operation_that_ends_later(gaps: list[int], offset: int) -> None:
    ends = tuple(sum(gaps[: n + 1]) for n in range(len(gaps)))
    found = effect(Details.of(ends, ends, ()))
    later = [number for number, end in enumerate(ends, 1) if end > offset]
    assert found.op_at(offset) == (later[0] if later else len(ends) + 1)


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(0, 60), st.integers(0, 500))
def test_a_budget_gives_out_in_the_first_operation_that_has_spent_more(
    takes: list[int], after: int, budget: int
) -> None:
    ends = tuple(sum(takes[: n + 1]) for n in range(len(takes)))
    total = sum(takes) + after  # what follows the last operation may be too much: that is behind all of them
    found = replace(effect(Details.of(ends, ends, ())), flash_nj=total)
    over = [number for number, end in enumerate(ends, 1) if end > budget]
    assert found.op_at_energy(budget) == (over[0] if over else len(ends) + 1)


def test_a_battery_with_less_than_an_install_takes_is_empty_within_it(make_release, two_slots) -> None:
    bench = Bench(make_release())
    start = bench.start(two_slots, 0)
    whole = bench.run(start, Install("full"))
    total_nj = whole.flash_nj + whole.compute_nj
    assert whole.op_at_energy(0) == 1
    assert whole.op_at_energy(total_nj) == whole.op_at_energy(whole.op_end_nj[-1]) == whole.ops + 1
    for op in (1, 2, whole.ops // 2, whole.ops):
        budget_nj = whole.op_end_nj[op - 1] - 1
        assert whole.op_at_energy(budget_nj) == op
        cut = bench.run(start, Install("full", cut=Cut(op, "none")))
        assert cut.flash_nj + cut.compute_nj <= budget_nj


def test_a_device_that_refused_runs_on(make_release, two_slots) -> None:
    bench = Bench(make_release())
    start = bench.start(two_slots, 0)
    refused, good = walk(bench, start, Install("full", flip_bit=77), Install("full"))
    assert (refused.verdict, refused.running) == (Reason.ARTEFACT_MISMATCH, 0)
    assert good.verdict is Reason.NONE
    bits = 8 * len(next(a for a in bench.release.artefacts if a.name == "full").blob)
    assert bench.run(start, Install("full", flip_bit=77 + bits)) == refused


def test_after_a_cut_only_a_boot_can_follow(make_release, two_slots) -> None:
    bench = Bench(make_release())
    cut = bench.run(bench.start(two_slots, 0), Install("full", cut=Cut(3, "none")))
    assert (cut.verdict, cut.running, cut.op_end_ns, cut.ops) == (Reason.POWER_CUT, None, (), 2)
    assert cut.op_end_nj == ()
    for event in (Install("full"), Confirm()):
        with pytest.raises(InputError, match="without power"):
            bench.run(cut.state, event)
    assert bench.run(cut.state, Boot()).running == 0


def test_where_nothing_runs_only_a_boot_can_follow(make_release, one_slot) -> None:
    bench = Bench(make_release())
    _, dead = walk(bench, bench.start(one_slot, 0), Install("full", cut=Cut(30, "none")), Boot())
    assert (dead.verdict, dead.running) == (Reason.NO_VALID_IMAGE, None)
    with pytest.raises(InputError, match="nothing runs"):
        bench.run(dead.state, Install("full"))
    assert bench.run(dead.state, Boot()).verdict is Reason.NO_VALID_IMAGE


def test_a_cut_after_the_last_operation_takes_power_once_all_is_done(make_release, two_slots) -> None:
    bench = Bench(make_release())
    start = bench.start(two_slots, 0)
    whole, cut = bench.run(start, Install("full")), bench.run(start, Install("full", cut=Cut(10**6, "none")))
    assert (cut.verdict, cut.running, cut.ops, cut.time_ns) == (
        Reason.POWER_CUT, None, whole.ops, whole.time_ns,
    )  # fmt: skip
    assert cut.state != whole.state, "one has power, the other has not"
    assert bench.run(cut.state, Boot()).state == bench.run(whole.state, Boot()).state


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, s: b.run("unknown", Boot()), "state"),
        (lambda b, s: b.run(s, Install("delta-from-nothing")), "artefact"),
        (lambda b, s: Cut(0, "none"), "cut"),
        (lambda b, s: Cut(1, "half"), "tear"),
    ],
)
def test_what_cannot_be_is_bad_input(make_release, two_slots, call, message) -> None:
    bench = Bench(make_release())
    with pytest.raises(InputError, match=message):
        call(bench, bench.start(two_slots, 0))


@pytest.mark.parametrize("base", [-1, 2])
def test_a_base_that_is_not_in_the_chain_is_bad_input(make_release, two_slots, base) -> None:
    with pytest.raises(InputError, match="base"):
        Bench(make_release()).start(two_slots, base)


@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_device_whose_slot_is_too_small_for_its_image_never_runs(
    make_release, two_slots, layout, encrypted
) -> None:
    release = make_release(encrypted=encrypted)
    size = len(release.images[0])
    fits: list[int] = []
    for sectors in range(17, 40):
        config = replace(two_slots, layout=layout, slot_size_bytes=512 * sectors)
        limit = max_image_bytes(config, encrypted=encrypted)
        bench = Bench(release)
        if size <= limit:
            fits.append(sectors)
            assert bench.run(bench.start(config, 0), Boot()).running == 0
        else:
            assert not fits
            told = rf"slot_size: found {512 * sectors} bytes.* {limit} under {layout}.* {size} bytes"
            with pytest.raises(InputError, match=told):
                bench.start(config, 0)
    assert 0 < len(fits) < 23


def test_a_confirmation_without_a_trial_changes_nothing(make_release, two_slots) -> None:
    bench = Bench(make_release())
    installed = bench.run(bench.start(two_slots, 0), Install("full"))
    confirmed = bench.run(installed.state, Confirm())
    assert (confirmed.state, confirmed.verdict, confirmed.ops) == (installed.state, Reason.NONE, 0)
    assert bench.run(confirmed.state, Boot()).trial, "the trial is still to come"


@pytest.mark.parametrize("size", [9_400, 13_000], ids=["installed", "refused by the driver"])
def test_in_an_only_slot_a_confirmation_is_not_about_the_image_that_lies_there_now(
    make_release, one_slot, size
) -> None:
    """The old image runs from RAM until the boot; its self-test says nothing about the new one."""
    bench = Bench(make_release((9_000, size), payload="full"))
    installed = bench.run(bench.start(one_slot, 0), Install("full"))
    assert installed.verdict is (Reason.NONE if size == 9_400 else Reason.WRITE_REFUSED)
    confirmed = bench.run(installed.state, Confirm())
    assert (confirmed.state, confirmed.running) == (installed.state, 0)
    assert bench.run(confirmed.state, Boot()).running == (1 if size == 9_400 else None)


# Power cuts


def sweep(
    bench: Bench, start: str, install: Install, tears: tuple[str, ...], stride: int = 1
) -> list[Transition]:
    """Boots after a cut at the operations of `install` and of the boot after it."""
    whole = bench.run(start, install)
    swap = bench.run(whole.state, Boot())
    after = []
    for tear in tears:
        for op in range(1, whole.ops + 1, stride):
            cut = bench.run(start, replace(install, cut=Cut(op, tear)))
            after.append(bench.run(cut.state, Boot()))
        for op in range(1, swap.ops + 1, stride):
            cut = bench.run(whole.state, Boot(Cut(op, tear)))
            after.append(bench.run(cut.state, Boot()))
    return after


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_whenever_power_fails_one_of_the_two_images_boots_and_can_be_updated(
    make_release, two_slots, kind
) -> None:
    release = make_release((2_000, 2_300))
    config = replace(two_slots, slot_size_bytes=8_192)
    bench = Bench(release)
    install = Install("full" if kind == "full" else delta_name(release))
    booted = sweep(bench, bench.start(config, 0), install, TEARS)
    running = [found.running for found in booted]
    assert set(running) == {0, 1}, "no cut bricks, and both images come up at some"
    for state in {found.state for found in booted if found.running == 0}:
        *_, end = walk(bench, state, install, Boot(), Confirm(), Boot())
        assert (end.running, end.trial) == (1, False)
    for state in {found.state for found in booted if found.running == 1}:
        *_, end = walk(bench, state, Confirm(), Boot())
        assert (end.running, end.trial) == (1, False)


def test_whenever_power_fails_during_a_revert_the_old_image_comes_back(make_release, two_slots) -> None:
    release = make_release((2_000, 2_300))
    bench = Bench(release)
    start = bench.start(replace(two_slots, slot_size_bytes=8_192), 0)
    trial = walk(bench, start, Install("full"), Boot())[-1]
    revert = bench.run(trial.state, Boot())
    assert (revert.running, revert.swap) == (0, "revert")
    for tear in TEARS:
        for op in range(1, revert.ops + 1):
            cut = bench.run(trial.state, Boot(Cut(op, tear)))
            assert bench.run(cut.state, Boot()).running == 0
    for tear in TEARS:
        cut = bench.run(trial.state, Confirm(Cut(1, tear)))
        # Half of a single write unit is nothing.
        assert bench.run(cut.state, Boot()).running == (1 if tear == "garbage" else 0)


def test_most_cuts_brick_a_device_with_one_slot(make_release, one_slot) -> None:
    bench = Bench(make_release((2_000, 2_300)))
    start = bench.start(one_slot, 0)
    running = [found.running for found in sweep(bench, start, Install("full"), TEARS)]
    assert running.count(None) > len(running) * 0.5
    assert running[0] == 0, "a first erase that did not happen harms nothing"


# Memory


def test_cold_warm_and_off_give_the_same_transitions(make_release, two_slots, tmp_path: Path) -> None:
    release = make_release()
    memo = Memo(tmp_path / "bench.sqlite3")
    results = []
    for kept in (None, memo, memo, Memo(memo.path)):
        bench = Bench(release, kept)
        results.append((walk(bench, bench.start(two_slots, 0), *story(release)), bench.executed))
    (off, ran_off), (cold, ran_cold), (warm, ran_warm), (warmer, ran_warmer) = results
    assert off == cold == warm == warmer
    assert (ran_off, ran_cold) == (len(story(release)),) * 2
    assert (ran_warm, ran_warmer) == (0, 0)


def test_a_warm_start_touches_no_bytes(make_release, two_slots, tmp_path: Path, monkeypatch) -> None:
    release, memo = make_release(), Memo(tmp_path / "bench.sqlite3")
    bench = Bench(release, memo)
    expected = walk(bench, bench.start(two_slots, 0), *story(release))
    monkeypatch.setattr(bench_module, "new_device", lambda *_: pytest.fail("a device was made"))
    bench = Bench(release, memo)
    assert walk(bench, bench.start(two_slots, 0), *story(release)) == expected


def test_a_half_warm_walk_makes_the_states_it_needs(make_release, two_slots, tmp_path: Path) -> None:
    release, memo, events = make_release(), Memo(tmp_path / "bench.sqlite3"), story(make_release())
    first = Bench(release, memo)
    walk(first, first.start(two_slots, 0), *events[:4])
    off, warm = Bench(release), Bench(release, memo)
    assert walk(warm, warm.start(two_slots, 0), *events) == walk(off, off.start(two_slots, 0), *events)


def test_states_that_fell_out_of_memory_are_made_again(make_release, two_slots, monkeypatch) -> None:
    release = make_release()
    roomy = Bench(release)
    expected = walk(roomy, roomy.start(two_slots, 0), *story(release))
    monkeypatch.setattr(sector_store, "CONTENT_BYTES", 1)
    tight = Bench(release)
    start = tight.start(two_slots, 0)
    assert walk(tight, start, *story(release)) == expected
    for found in reversed(expected):
        assert tight.content(found.state) == roomy.content(found.state)


def test_a_memo_that_keeps_nothing_changes_nothing(make_release, two_slots, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    release = make_release()
    off, broken = Bench(release), Bench(release, Memo(tmp_path / "file" / "bench.sqlite3"))
    assert walk(broken, broken.start(two_slots, 0), *story(release)) == walk(
        off, off.start(two_slots, 0), *story(release)
    )


class Keys:
    """A memo that remembers nothing but which keys were asked for."""

    def __init__(self) -> None:
        self.asked: set[bytes] = set()

    def get(self, key: bytes) -> None:
        self.asked.add(key)

    def put(self, key: bytes, value: bytes) -> None: ...


def keys_of(release: Release, config, event: Event, base: int = 0) -> frozenset[bytes]:
    keys = Keys()
    bench = Bench(release, keys)  # type: ignore[arg-type]
    bench.run(bench.start(config, base), event)
    return frozenset(keys.asked)


def test_whatever_a_result_depends_on_changes_its_key(make_release, two_slots, monkeypatch) -> None:
    release = make_release()
    event = Install("full")
    same = keys_of(release, two_slots, event)
    assert keys_of(make_release(), two_slots, event) == same

    def art(**change: object) -> Release:
        full: Artefact = replace(release.artefacts[0], **change)  # type: ignore[arg-type]
        return replace(release, artefacts=(full, *release.artefacts[1:]))

    other = make_release(seed=8)
    seen = [same]
    seen += [
        keys_of(release, two_slots, changed)
        for changed in (
            Install(delta_name(release)),
            Install("full", flip_bit=0),
            Install("full", flip_bit=1),
            *(Install("full", forged=kind) for kind in FORGERIES),
            Install("full", flip_bit=1, forged="altered"),
            Install("full", cut=Cut(1, "none"), forged="altered"),
            Install("full", cut=Cut(1, "none")),
            Install("full", cut=Cut(2, "none")),
            Install("full", cut=Cut(2, "garbage")),
            Boot(),
            Boot(Cut(1, "none")),
            Confirm(),
        )
    ]
    other_configs: dict[str, object] = {
        "slot_size_bytes": 32_768,
        "download_size_bytes": 8_192,
        "sector_size_bytes": 1_024,
        "write_size_bytes": 8,
        "erased_value": 0,
        "flash": "spi-nor-w25q128jv",
        "layout": "single-slot",
    }
    for field, value in other_configs.items():
        seen.append(keys_of(release, replace(two_slots, **{field: value}), event))
    seen.append(keys_of(release, two_slots, event, base=1))
    seen.append(keys_of(art(blob=release.artefacts[0].blob + b"x"), two_slots, event))
    seen.append(keys_of(art(manifest=release.artefacts[0].manifest + b"x"), two_slots, event))
    seen.append(keys_of(replace(release, verify_key=other.verify_key), two_slots, event))
    seen.append(keys_of(replace(release, decryption_key=other.decryption_key), two_slots, event))
    profile = state_module.core_profile(two_slots.core)
    for field in fields(profile):
        value = getattr(profile, field.name)
        if isinstance(value, int):
            faster = replace(profile, **{field.name: value + 1})
            monkeypatch.setattr(state_module, "core_profile", lambda _, faster=faster: faster)
            seen.append(keys_of(release, two_slots, event))
    monkeypatch.undo()
    monkeypatch.setattr(memo_module, "code_identity", lambda: "other code")
    seen.append(keys_of(release, two_slots, event))
    runs = [keys - set().union(*(other for other in seen if other is not keys)) for keys in seen]
    assert all(runs), "each has a key that no other one has"


sums = st.lists(st.integers(0, 10**12), max_size=20).map(sorted)
words = st.text(max_size=9)


@settings(max_examples=examples(60))
@given(
    st.data(),
    st.sampled_from(list(Reason)),
    st.sampled_from([None, "a" * 64]),
    st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=16, max_size=16)), max_size=9),
    st.lists(st.builds(Step, words, words, *[st.integers(0, 2**60)] * 4), max_size=3),
)
def test_what_is_packed_is_unpacked(
    data: st.DataObject,
    verdict: Reason,
    image: str | None,
    changed: list[tuple[int, bytes]],
    steps: list[Step],
) -> None:
    ends, spent = (data.draw(sums) for _ in range(2))
    ends, spent = ends[: len(spent)], spent[: len(ends)]
    found = effect(
        Details.of(ends, spent, steps),
        verdict=verdict,
        image=image,
        changed=tuple(sector for sector, _ in changed),
        digests=tuple(digest for _, digest in changed),
    )
    kept = unpack(pack(found))
    assert kept == found
    assert (kept.op_end_ns, kept.op_end_nj, kept.steps) == (tuple(ends), tuple(spent), tuple(steps))


def test_details_that_differ_anywhere_are_not_equal() -> None:
    step = Step("boot", "it", 1, 2, 3, 4)
    same = Details.of((1, 2), (3, 4), (step,))
    assert same == Details.of((1, 2), (3, 4), (step,)) and hash(same) == hash(
        Details.of((1, 2), (3, 4), (step,))
    )
    for other in (((1, 3), (3, 4), (step,)), ((1, 2), (3, 5), (step,)), ((1, 2), (3, 4), ())):
        assert same != Details.of(*other)
