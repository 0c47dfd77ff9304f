"""The plan for making an image in place: carried out on plain arrays it gives exactly the result."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simlib.delta import Recipe, create_patch, patch_recipe
from simlib.device.bootloader.journal_plan import Make, Plan, Save, plan_for
from tests.device_boot.rigs import payload_of

SECTOR = 16


def carried_out(plan: Plan, recipe: Recipe, base: bytes, sector: int) -> tuple[bytes, set[int], int]:
    """What the steps make of `base`; which sectors were written, and how many spare ones were in use."""
    size = len(recipe.sources)
    cells = np.zeros(-(-max(len(base), size) // sector) * sector, dtype=np.uint8)
    cells[: len(base)] = np.frombuffer(base, dtype=np.uint8)
    spares: dict[int, np.ndarray] = {}
    written = set()
    for step in plan.steps:
        at = step.sector * sector
        if isinstance(step, Save):
            spares[step.spare] = cells[at : at + sector].copy()
            continue
        stop = min(at + sector, size)
        saved = dict(step.saved)
        made = recipe.values[at:stop].copy()
        for n in range(at, stop):
            source = int(recipe.sources[n])
            if source >= 0:
                old, offset = divmod(source, sector)
                held = spares[saved[old]] if old in saved else cells[old * sector : (old + 1) * sector]
                made[n - at] = (int(made[n - at]) + int(held[offset])) % 256
        cells[at:stop] = made  # only now: a sector may read itself
        written.add(step.sector)
    return cells[:size].tobytes(), written, len(spares)


def result_of(recipe: Recipe, base: bytes) -> bytes:
    old = np.frombuffer(base, dtype=np.uint8)
    made = recipe.values.copy()
    copied = recipe.sources >= 0
    made[copied] += old[recipe.sources[copied]]
    return made.tobytes()


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Recipe, bytes]:
    """Runs of base bytes from anywhere, some changed, some new, as codecs write them."""
    base = draw(st.binary(min_size=SECTOR, max_size=16 * SECTOR))
    sources: list[int] = []
    values: list[int] = []
    kinds = draw(st.lists(st.sampled_from(["same place", "moved", "moved", "new"]), min_size=1, max_size=12))
    for kind in kinds:
        start = len(sources) if kind == "same place" else draw(st.integers(0, len(base) - 1))
        length = draw(st.integers(SECTOR // 2, 4 * SECTOR))
        if kind != "new":
            length = min(length, len(base) - start)
        if length <= 0:
            continue
        seed = draw(st.integers(0, 3))  # 0: copied as it is
        sources += [-1] * length if kind == "new" else range(start, start + length)
        values += payload_of(seed, length) if kind == "new" or seed else bytes(length)
    if not sources:
        sources, values = [-1], [7]
    return Recipe(np.array(sources, dtype=np.int32), np.array(values, dtype=np.uint8)), base


@given(recipes())
def test_the_plan_makes_exactly_the_result_with_the_spare_sectors_it_says(
    case: tuple[Recipe, bytes],
) -> None:
    recipe, base = case
    plan = plan_for(recipe, SECTOR)
    made, written, spares = carried_out(plan, recipe, base, SECTOR)
    assert made == result_of(recipe, base)
    assert spares == plan.spares
    assert len(written) == sum(isinstance(step, Make) for step in plan.steps), "each sector at most once"


@given(recipes())
def test_a_sector_is_left_alone_only_where_every_byte_stays(case: tuple[Recipe, bytes]) -> None:
    recipe, base = case
    plan = plan_for(recipe, SECTOR)
    _, written, _ = carried_out(plan, recipe, base, SECTOR)
    result = result_of(recipe, base)
    for number in range(-(-len(result) // SECTOR)):
        part = slice(number * SECTOR, (number + 1) * SECTOR)
        if number not in written:
            assert result[part] == base[part][: len(result[part])]
        else:
            stays = not recipe.values[part].any() and (
                recipe.sources[part].tolist() == list(range(part.start, part.start + len(result[part])))
            )
            assert not stays


@given(recipes())
def test_every_step_may_be_repeated(case: tuple[Recipe, bytes]) -> None:
    """No step writes where a step before its own record still reads, so a cut may repeat any one of them."""
    recipe, _ = case
    plan = plan_for(recipe, SECTOR)
    for step in plan.steps:
        if isinstance(step, Make):
            reads = {int(s) // SECTOR for s in recipe.sources[step.sector * SECTOR :][:SECTOR] if s >= 0}
            assert step.sector not in reads - dict(step.saved).keys(), "it would read what it overwrites"
            assert len(set(dict(step.saved).values())) == len(step.saved)


def shifted(by: int, size: int = 64 * SECTOR) -> Recipe:
    """Every byte moved up by so many, or down."""
    sources = np.arange(size, dtype=np.int32) - by
    values = np.zeros(size, dtype=np.uint8)
    outside = (sources < 0) | (sources >= size)
    sources[outside] = -1
    return Recipe(sources, values)


def order(plan: Plan) -> list[int]:
    return [step.sector for step in plan.steps if isinstance(step, Make)]


def test_code_that_moved_up_is_made_from_the_top_and_code_that_moved_down_from_the_bottom() -> None:
    """Every sector then reads itself and a neighbour that is still there: one spare is enough for itself."""
    up, down = plan_for(shifted(5), SECTOR), plan_for(shifted(-5), SECTOR)
    assert order(up) == list(range(63, -1, -1))
    assert order(down) == list(range(64))
    assert (up.spares, down.spares) == (1, 1)


def test_a_move_by_whole_sectors_needs_no_spare_one() -> None:
    for by in (SECTOR, -SECTOR, 3 * SECTOR):
        assert plan_for(shifted(by), SECTOR).spares == 0


def test_an_exchange_of_two_halves_needs_half_as_many_spare_sectors_as_there_are() -> None:
    sources = np.concatenate([np.arange(128, 256), np.arange(128)]).astype(np.int32)
    plan = plan_for(Recipe(sources, np.zeros(256, dtype=np.uint8)), SECTOR)
    assert plan.spares == 128 // SECTOR


def test_an_unchanged_image_has_no_steps() -> None:
    plan = plan_for(shifted(0), SECTOR)
    assert plan == Plan((), 0)


def test_plans_of_real_patches_make_the_real_result() -> None:
    base = payload_of(1, 9_000)
    for name, new in {
        "alike": payload_of(2, 9_100),
        "inserted": base[:3_000] + bytes(range(256)) + base[3_000:],
        "removed": base[:2_000] + base[2_700:],
        "exchanged": base[4_500:] + base[:4_500],
    }.items():
        _, recipe = patch_recipe(create_patch(base, new))
        for sector in (512, 1024, 4096):
            plan = plan_for(recipe, sector)
            made, _, spares = carried_out(plan, recipe, base, sector)
            assert (made, spares) == (new, plan.spares), name
