"""A remembered effect is what the event would do now: whatever the bytes are that it does not look at."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import pytest

from simlib.device import DeviceConfig, FlashError, recollection
from simlib.device import bench as bench_module
from simlib.device.access import SectorAccess
from simlib.device.bench import Bench
from simlib.device.events import Boot, Confirm, Cut, Event, Install
from simlib.device.execution import Done
from simlib.device.forgery import FORGERIES
from simlib.device.layouts import get
from simlib.device.memo import Memo
from simlib.device.partitions import Area
from simlib.device.places import Place, _outline
from simlib.device.ram import RAM_START
from simlib.device.recollection import Recollection
from simlib.device.state import State, replaced
from simlib.device.tears import TEARS
from simlib.device.transition import Transition
from simlib.errors import Refused
from simlib.firmware.image import image_size
from simlib.release import Release

ROUNDS = 250


class Forgetful(Recollection):
    """One that always says that nobody has been here."""

    def find(self, question: bytes, digests: object) -> None:
        return None


class Plodding(Bench):
    """Works everything out, cuts too, and remembers nothing."""

    def __init__(self, release: Release) -> None:
        super().__init__(release)
        self._recollection = Forgetful(None)

    def _worked_out(self, state: str, event: Event) -> Done:
        return self._execute(self._materialise(state), self._state(state), event)


def scribbled(bench: Bench, state: str, sectors: dict[int, bytes]) -> str:
    """A state of its own, alike but for the bytes of these sectors."""
    was, flash = bench._state(state), bench._materialise(state).flash
    for number in range(flash.sectors):
        bench._sectors.put(flash.sector(number))
    digests = [bench._sectors.put(sector) for sector in sectors.values()]
    return bench._named(replace(was, digests=replaced(was.digests, tuple(sectors), digests)))


def random_event(random: Random, release: Release, bench: Bench, state: str) -> Event:
    """Any event that can follow; half of them whole."""
    cut = Cut(random.randint(1, 260), random.choice(TEARS)) if random.random() < 0.5 else None
    facts = bench._state(state)
    kind = random.choice(["boot", "confirm", "install", "install"])
    if kind == "boot" or not facts.powered or facts.image is None:
        return Boot(cut)
    if kind == "confirm":
        return Confirm(cut)
    artefact = random.choice(release.artefacts)
    spoiled = random.random()
    if spoiled < 0.15:
        return Install(artefact.name, flip_bit=random.choice([3, 260, 70_001]), cut=cut)
    forged = random.choice(FORGERIES) if spoiled > 0.85 else None
    return Install(artefact.name, forged=forged, cut=cut)


def random_sectors(random: Random, config: DeviceConfig) -> dict[int, bytes]:
    """Other bytes for sectors that are dead most of the time; now and then for any."""
    dead: list[int] = []
    for partition in get(config.layout).partitions(config):
        first, stop = partition.offset // 512, (partition.offset + partition.size) // 512
        if partition.name == "primary":
            first += 20  # where an image lies
        if partition.name not in ("download", "counter") and "secondary" in get(config.layout).slots:
            stop -= 4  # for a trailer
        dead += range(first, stop)
    which = range(stop) if random.random() < 0.15 else dead
    chosen = random.sample(which, random.randint(1, 4))
    return {
        n: random.choice([random.randbytes(512), b"\xff" * 512, bytes(256) + b"\xff" * 256]) for n in chosen
    }


def told(bench: Bench, state: str, event: Event) -> Transition | str:
    try:
        return bench.run(state, event)
    except (FlashError, Refused) as error:  # scribbled can be what no write fits, or what is relied upon
        return str(error)


def compare(random: Random, warm: Bench, config: DeviceConfig, rounds: int) -> int:
    """Ask `warm` and a bench without memory the same; returns how often the first did not need to compute."""
    release = warm.release
    cold = Plodding(release)
    states = [warm.start(config, base) for base in range(len(release.images) - 1)]
    assert states == [cold.start(config, base) for base in range(len(release.images) - 1)]
    remembered = 0
    for _ in range(rounds):
        sectors = random_sectors(random, config)
        at = random.choice(states)
        state = scribbled(warm, at, sectors)
        assert scribbled(cold, at, sectors) == state
        event = random_event(random, release, warm, state)
        ran = warm.executed
        found = told(warm, state, event)
        expected = told(cold, state, event)
        assert found == expected, event
        if isinstance(found, Transition):
            remembered += warm.executed == ran
            # The bytes that the real code left behind, not those put together from sectors.
            left = cold._devices[config]
            assert warm.content(found.state) == left.flash.content(), event
            after = warm._state(found.state)
            assert after.security_counter == left.counter_register, event
            assert (None if after.image is None else warm._chain[after.image]) == found.running, event
            states.append(found.state)
        cold._transitions.clear()
    return remembered


@pytest.fixture
def kinds(make_release, release_with, two_slots, one_slot) -> dict[str, tuple[Release, DeviceConfig]]:
    """Layout, encryption and what the bytes of an unlike flash are; two older images, one of them large."""
    sizes = (9_000, 9_100, 9_400)
    no_download = replace(two_slots, download_size_bytes=0)
    return {
        "swap-move": (make_release(sizes, encrypted=False), two_slots),
        "swap-move encrypted": (make_release(sizes), two_slots),
        "swap-move erased to zeros": (make_release(sizes), replace(two_slots, erased_value=0)),
        "single-slot": (make_release(sizes, payload="full", encrypted=False), one_slot),
        "single-slot encrypted": (make_release(sizes, payload="full"), one_slot),
        "swap-scratch encrypted": (
            make_release(sizes),
            replace(two_slots, layout="swap-scratch", scratch_size_bytes=2_048, secondary_sector_bytes=1_024),
        ),
        "swap-offset": (make_release(sizes, encrypted=False), replace(two_slots, layout="swap-offset")),
        "overwrite-only encrypted": (
            make_release(sizes),
            replace(two_slots, layout="overwrite-only", counter_store="flash", secondary_sector_bytes=2_048),
        ),
        "direct-xip": (
            make_release(sizes, encrypted=False),
            replace(two_slots, layout="direct-xip", counter_store="flash"),
        ),
        "direct-xip-revert": (
            make_release(sizes, encrypted=False),
            replace(two_slots, layout="direct-xip-revert", secondary_size_bytes=10_752),
        ),
        "ram-load encrypted": (
            make_release(sizes, load_address=RAM_START),
            replace(two_slots, layout="ram-load"),
        ),
        "in-place-journal": (
            make_release(sizes, encrypted=False),
            replace(two_slots, layout="in-place-journal", download_size_bytes=10_240),
        ),
        "in-place-journal encrypted": (
            make_release(sizes, payload="full"),
            replace(two_slots, layout="in-place-journal", download_size_bytes=10_240),
        ),
        "swap-move streamed": (release_with("detools-heatshrink"), no_download),
        "overwrite-only streamed": (
            release_with("full-heatshrink"),
            replace(no_download, layout="overwrite-only", counter_store="flash"),
        ),
        "direct-xip-revert streamed": (
            release_with("hpatchlite-tuz"),
            replace(no_download, layout="direct-xip-revert", erased_value=0),
        ),
        "in-place-journal heatshrink": (
            release_with("detools-heatshrink", encrypted=True),
            replace(two_slots, layout="in-place-journal"),
        ),
    }


NAMES = (
    "swap-move",
    "swap-move encrypted",
    "swap-move erased to zeros",
    "single-slot",
    "single-slot encrypted",
)


OTHER_LAYOUTS = (
    "swap-scratch encrypted",
    "swap-offset",
    "overwrite-only encrypted",
    "direct-xip",
    "direct-xip-revert",
    "ram-load encrypted",
    "in-place-journal",
    "in-place-journal encrypted",
    "swap-move streamed",
    "overwrite-only streamed",
    "direct-xip-revert streamed",
    "in-place-journal heatshrink",
)


@pytest.mark.parametrize(("name", "seed"), [*product(NAMES, (1, 2)), *((name, 1) for name in OTHER_LAYOUTS)])
def test_what_is_remembered_is_what_the_event_does_on_the_full_bytes(kinds, name: str, seed: int) -> None:
    release, config = kinds[name]
    remembered = compare(Random(seed), Bench(release), config, ROUNDS)
    assert remembered > ROUNDS // 10, "or nothing was put to the test"


def test_what_another_process_remembered_holds_too(kinds, tmp_path: Path) -> None:
    release, config = kinds["swap-move encrypted"]
    memo = Memo(tmp_path / "bench.sqlite3")
    compare(Random(5), Bench(release, memo), config, ROUNDS)
    alone = compare(Random(6), Bench(release), config, ROUNDS)
    second = compare(Random(6), Bench(release, Memo(memo.path)), config, ROUNDS)
    assert second > alone, "it has what the first one learned"
    again = compare(Random(6), Bench(release, Memo(memo.path)), config, ROUNDS)
    assert again > second, "all but what the flash refuses"


@pytest.mark.parametrize("partition", ["primary", "secondary"])
def test_a_look_that_is_not_noted_shows(kinds, monkeypatch: pytest.MonkeyPatch, partition: str) -> None:
    """The comparison above is no empty one: it fails for code that goes around the flash's marks."""
    noted = Area.read

    def read(area: Area, offset: int, n: int) -> bytes:
        if area.name != partition:
            return noted(area, offset, n)
        area._need_inside(offset, n, "read")
        start = area.partition.offset + offset
        return bytes(area.flash._cells[start : start + n])

    monkeypatch.setattr(Area, "read", read)
    release, config = kinds["swap-move"]
    with pytest.raises((AssertionError, RuntimeError)):
        compare(Random(1), Bench(release), config, ROUNDS)


def test_a_change_that_is_not_noted_shows(kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = SectorAccess.changed
    monkeypatch.setattr(SectorAccess, "changed", lambda access: noted(access)[:-1])
    release, config = kinds["swap-move"]
    with pytest.raises((AssertionError, RuntimeError)):
        compare(Random(1), Bench(release), config, ROUNDS)


def test_a_device_differs_only_in_storage_that_no_event_reads(make_release, two_slots) -> None:
    """Power cuts in a download leave residues, and none of them is worth another computation."""
    release = make_release()
    bench = Bench(release)
    delta = next(a.name for a in release.artefacts if a.kind == "delta")
    start = bench.start(two_slots, 0)
    regular = [bench.run(start, Boot()), bench.run(start, Install(delta))]
    ops = range(1, 7)
    cuts = [
        bench.run(start, Install(delta, cut=Cut(op, tear))) for op in ops for tear in ("partial", "garbage")
    ]
    assert len({cut.state for cut in cuts}) > 9
    ran = bench.executed
    for cut in cuts:
        booted = bench.run(cut.state, Boot())
        installed = bench.run(booted.state, Install(delta))
        assert replace(booted, state=regular[0].state) == regular[0]
        assert installed == regular[1], "the residue is overwritten: the very same state"
    assert bench.executed == ran


def test_contradicting_looks_are_an_error(make_release, two_slots) -> None:
    bench = Bench(make_release())
    start = bench.start(two_slots, 0)
    before = bench._state(start)
    effect, looked_at = bench._execute(bench._materialise(start), before, Boot())
    bench._recollection.add(bench._question(before, Boot()), looked_at, before.digests, effect)
    with pytest.raises(RuntimeError, match="two ways"):
        bench._recollection.add(bench._question(before, Boot()), (), before.digests, effect)
    bench = Bench(make_release())
    bench._recollection.add(bench._question(before, Boot()), looked_at[:4], before.digests, effect)
    for other in (looked_at[1:4], looked_at[:1]):
        bench._recollection.add(bench._question(before, Boot()), other, before.digests, effect)
    with pytest.raises(RuntimeError, match="two ways"):
        bench._recollection.add(bench._question(before, Boot()), looked_at, before.digests, effect)


# Where an image ends is told from its header and its TLVs alone.


def ends_alike(area: Area) -> bool:
    """Whether the outline gives the size, or the refusal, that the whole content gives."""
    answers = []
    for content in (lambda: area.read(0, area.size), lambda: _outline(Place(area))):
        try:
            answers.append(str(image_size(content())))
        except Refused as refusal:
            answers.append(f"{refusal.reason} {refusal}")
    return answers[0] == answers[1]


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_outline_of_an_image_ends_where_the_image_does(make_release, two_slots, encrypted: bool) -> None:
    release = make_release(encrypted=encrypted)
    device = Bench(release)._factory(two_slots, 0)
    area, image = device.area("primary"), release.images[0]
    assert ends_alike(area)
    random = Random(3)
    told = set()
    for _ in range(400):
        spoiled = bytearray(image.ljust(area.size, b"\xff"))
        end = len(image)
        for _ in range(random.randint(1, 3)):
            # In the header, the TLVs, or the two bytes where their sizes stand.
            at = random.choice(
                [random.randrange(32), random.randrange(end - 320, end), random.choice((10, 12, 13))]
            )
            spoiled[at] = random.randrange(256)
        device.flash.restore(
            replace(device.flash.snapshot(), content=bytes(spoiled).ljust(device.flash.size_bytes))
        )
        assert ends_alike(area)
        try:
            told.add(image_size(bytes(spoiled)))
        except Refused as refusal:
            told.add(refusal.reason)
    assert len(told) > 4


# A power cut is played back from the event that was not cut.


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("layout", ["swap-move", "single-slot"])
def test_a_cut_played_back_is_the_cut_worked_out_at_every_operation(
    make_release, two_slots, one_slot, layout: str, encrypted: bool
) -> None:
    config = replace(two_slots, slot_size_bytes=8_192) if layout == "swap-move" else one_slot
    release = make_release((2_000, 2_300), payload="full", encrypted=encrypted)
    bench, plodding = Bench(release), Plodding(release)
    installing = bench.start(config, 0)
    tried = bench.run(installing, Install("full"))
    reverting = bench.run(tried.state, Boot())
    assert plodding.start(config, 0) == installing
    assert plodding.run(plodding.run(installing, Install("full")).state, Boot()) == reverting
    events = [(installing, Install("full")), (tried.state, Boot())]
    if layout == "swap-move":
        events += [(reverting.state, Boot()), (reverting.state, Confirm())]
    ran = bench.executed
    for state, event in events:
        ops = bench.run(state, event).ops
        for op in range(1, ops + 2):
            for tear in TEARS:
                cut = replace(event, cut=Cut(op, tear))
                found = bench.run(state, cut)
                assert found == plodding.run(state, cut), cut
                assert bench.content(found.state) == plodding._devices[config].flash.content(), cut
    assert bench.executed <= ran + 2 * len(events), "each was run once to be played back"


@pytest.mark.parametrize("layout", ["swap-move", "direct-xip-revert"])
@pytest.mark.parametrize("codec", ["detools-heatshrink", "full-heatshrink"])
def test_a_cut_while_a_patch_is_decoded_as_it_arrives_is_played_back_too(
    release_with, two_slots, codec: str, layout: str
) -> None:
    config = replace(two_slots, layout=layout, download_size_bytes=0)
    release = release_with(codec)
    bench, plodding = Bench(release), Plodding(release)
    name = next(each.name for each in release.artefacts_for(0) if each.kind != "full")
    start = bench.start(config, 0)
    assert plodding.start(config, 0) == start
    for event in (Install(name), Install(name, flip_bit=8_001)):
        whole = bench.run(start, event)
        assert whole == plodding.run(start, event)
        assert whole.ops > 10 and (whole.verdict.value == "none") == (event.flip_bit is None)
        ran = bench.executed
        for op in range(1, whole.ops + 2):
            for tear in TEARS:
                cut = replace(event, cut=Cut(op, tear))
                found = bench.run(start, cut)
                assert found == plodding.run(start, cut), cut
                assert bench.content(found.state) == plodding._devices[config].flash.content(), cut
        assert bench.executed <= ran + 1


def test_a_cut_event_depends_on_what_it_looked_at_until_the_cut(make_release, two_slots) -> None:
    release = make_release((2_000, 2_300), payload="full")
    bench, plodding = Bench(release), Plodding(release)
    cut = Boot(Cut(60, "garbage"))
    for each in (bench, plodding):
        start = each.start(replace(two_slots, slot_size_bytes=8_192), 0)
        resuming = each.run(each.run(start, Install("full")).state, cut).state
    whole = bench._execute(bench._materialise(resuming), bench._state(resuming), Boot())[1]
    seen = set()
    for op in (1, 2, 3, 7, 8, 20, 40):
        event = Boot(Cut(op, "none"))
        looked_at = bench._worked_out(resuming, event)[1]
        assert looked_at == plodding._worked_out(resuming, event)[1] == whole[: len(looked_at)]
        seen.add(len(looked_at))
        torn = Boot(Cut(op, "partial"))  # half of a sector that only the cut event depends on
        assert bench._worked_out(resuming, torn)[1] == plodding._worked_out(resuming, torn)[1]
    assert len(seen) > 2


def test_all_that_can_follow_depends_on_is_in_a_states_name_and_its_origin_is_not(two_slots) -> None:
    state = State(two_slots, (b"a" * 16, b"b" * 16), 3, "c" * 64, True, 0)
    others = [
        replace(state, digests=state.digests[::-1]),
        replace(state, security_counter=4),
        replace(state, image="d" * 64),
        replace(state, image=None),
        replace(state, powered=False),
    ]
    names = [state.name("facts"), state.name("other facts"), *(other.name("facts") for other in others)]
    assert len(set(names)) == len(names)
    assert replace(state, base=1, parent="p", event=Boot()).name("facts") == names[0]


def test_a_tape_serves_devices_that_differ_in_what_the_event_never_reads(make_release, two_slots) -> None:
    release = make_release(payload="full")
    bench, plodding = Bench(release), Plodding(release)
    start = bench.start(two_slots, 0)
    assert plodding.start(two_slots, 0) == start
    bench.run(start, Install("full", cut=Cut(20, "none")))
    ran = bench.executed
    other = scribbled(bench, start, {25: bytes(512), 66: b"\x33" * 512})
    assert scribbled(plodding, start, {25: bytes(512), 66: b"\x33" * 512}) == other
    for op in (1, 2, 20, 33):
        cut = Install("full", cut=Cut(op, "partial"))
        assert bench.run(other, cut) == plodding.run(other, cut)
    assert bench.executed == ran
    needed = scribbled(bench, start, {0: bytes(512)})  # no image there: another way through the event
    bench.run(needed, Install("full", cut=Cut(1, "none")))
    assert bench.executed == ran + 1


def test_tapes_and_effects_that_fell_out_are_made_again(kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "TAPE_BYTES", 1)
    monkeypatch.setattr(recollection, "EFFECT_BYTES", 1)
    release, config = kinds["swap-move encrypted"]
    bench = Bench(release)
    compare(Random(7), bench, config, ROUNDS)
    assert len(bench._tapes) == len(bench._recollection._leaves) == 1
