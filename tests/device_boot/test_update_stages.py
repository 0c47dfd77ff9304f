"""The stages of an update: what the flash holds, what the trailers say, and what runs."""

from __future__ import annotations

import pytest

from simlib.device.flash_content import Kind
from simlib.device.layouts import get, names
from simlib.device.powercut import SweepOptions, sweep
from simlib.device.stages import NO_POWER, NOTHING, Stage, stage_at, trailer_rows, update_stages
from simlib.errors import InputError

IMAGE = 12 << 10  # four sectors, with header and TLVs


def in_slot(stage: Stage, partition: str) -> list[tuple[str, int]]:
    """The image sectors of a partition, one after the other."""
    return [
        (each.image, each.image_sector)
        for each in stage.content
        if each.partition == partition and each.kind is Kind.IMAGE
    ]


def whole(image: str) -> list[tuple[str, int]]:
    return [(image, number) for number in range(4)]


@pytest.mark.parametrize("layout", names())
def test_the_stages_are_those_of_the_layout(layout):
    stages = update_stages(SweepOptions(layout, IMAGE))
    trial, single = get(layout).has_trial, layout == "single-slot"
    moves = layout.startswith("swap") or layout in ("overwrite-only", "in-place-journal")
    assert [stage.name for stage in stages][:3] == ["before", "during", "after"]
    assert stages[0].runs == "runs old" and stages[1].runs == NO_POWER
    if single:
        assert [stage.runs for stage in stages[2:]] == [NOTHING]
    elif not moves:
        assert [stage.runs for stage in stages[2:]] == ["runs old"]  # the cut was in the install
    else:
        after = ["runs new, on trial", "runs old"] if trial else ["runs new"]
        assert [stage.runs for stage in stages[2:]] == after
    assert in_slot(stages[0], "primary") == whole("old")


def test_a_swap_exchanges_the_images_and_a_revert_exchanges_them_again():
    before, during, after, failed = update_stages(SweepOptions("swap-move", IMAGE))
    assert in_slot(before, "secondary") == []
    assert in_slot(after, "primary")[:4] == in_slot(failed, "secondary") == whole("new")
    assert in_slot(after, "secondary") == in_slot(failed, "primary")[:4] == whole("old")
    primary, secondary = in_slot(during, "primary"), in_slot(during, "secondary")
    assert {"old", "new"} == {image for image, _ in primary}
    assert {*whole("old"), *whole("new")} == {*primary, *secondary}
    assert all(part not in (whole("old"), whole("new")) for part in (primary[:4], secondary))
    assert trailer_rows(after)["primary"] == {"magic": "good", "copy_done": "set", "image_ok": "unset"}
    assert trailer_rows(failed)["primary"] == {"magic": "good", "copy_done": "set", "image_ok": "set"}


def test_an_image_is_in_the_clear_where_it_runs_and_encrypted_where_it_waits():
    *_, after, failed = update_stages(SweepOptions("swap-offset", IMAGE, encrypted=True))
    for stage in (after, failed):
        images = [each for each in stage.content if each.kind is Kind.IMAGE]
        assert {each.encrypted for each in images if each.partition == "primary"} == {False}
        assert {each.encrypted for each in images if each.partition == "secondary"} == {True}


def test_a_later_cut_leaves_more_of_the_new_image_in_its_place():
    counts = [
        len(
            [
                image
                for image, _ in in_slot(update_stages(options, share=share)[1], "primary")
                if image == "new"
            ]
        )
        for options in [SweepOptions("swap-offset", IMAGE)]
        for share in (0.05, 0.5, 0.95)
    ]
    assert counts[0] == 0 < counts[1] < counts[2] == 4


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InputError, match="share: found"):
        update_stages(SweepOptions("swap-move", IMAGE), share=share)


@pytest.mark.parametrize("layout", ["swap-move", "direct-xip-revert", "overwrite-only"])
def test_an_operation_has_the_number_it_has_in_a_sweep(layout):
    """When power fails in an erase its sector is as before; when it fails in the next operation, erased."""
    options = SweepOptions(layout, 700, sector_size_bytes=512, tear="none")
    operations = sweep(options).operations
    erases = [each for each in operations[:-1] if each.kind == "erase" and each.phase in ("install", "boot")]
    for erase in erases[:: max(1, len(erases) // 8)]:
        stages = [stage_at(options, number) for number in (erase.number, erase.number + 1)]
        assert stages[0].name.startswith(f"{erase.phase}, operation {erase.number},")
        after = next(each for each in stages[1].content if each.offset == erase.offset)
        assert after.kind is Kind.ERASED
        changed = [a.offset for a, b in zip(*(stage.content for stage in stages), strict=True) if a != b]
        assert changed in ([], [erase.offset])
    ends = {each.phase: each.number for each in operations}
    assert [stage_at(options, n).name.split(",")[0] for n in ends.values()] == list(ends)
    with pytest.raises(InputError, match=f"expected 1 to {len(operations)}"):
        stage_at(options, len(operations) + 1)
    with pytest.raises(InputError, match="expected 1 or more"):
        stage_at(options, 0)


def test_a_magic_torn_at_the_start_of_a_revert_reads_as_in_the_issue_about_it():
    """MCUboot's issue 1966: swapped and unconfirmed, and a request that is neither there nor absent."""
    options = SweepOptions("swap-move", IMAGE, tear="none")
    magic = next(
        each
        for each in sweep(options).operations
        if (each.phase, each.kind, each.size_bytes, each.partition) == ("revert", "write", 16, "secondary")
    )
    said = trailer_rows(stage_at(options, magic.number, "partial"))
    assert said["primary"] == {"magic": "good", "copy_done": "set", "image_ok": "unset"}
    assert said["secondary"] == {"magic": "bad", "copy_done": "unset", "image_ok": "set"}
    assert trailer_rows(stage_at(options, magic.number, "none"))["secondary"]["magic"] == "unset"
    assert trailer_rows(stage_at(options, magic.number + 1, "none"))["secondary"]["magic"] == "good"


def test_garbage_is_seen_in_the_sector_that_was_torn():
    options = SweepOptions("swap-move", IMAGE, tear="none")
    first = next(
        each
        for each in sweep(options).operations
        if (each.phase, each.kind, each.partition, each.offset) == ("boot", "erase", "primary", 0)
    )
    whole_before, torn = (stage_at(options, first.number, tear) for tear in ("none", "garbage"))
    assert whole_before.content[0].kind is Kind.IMAGE
    assert [each.offset for each in torn.content if each.kind is Kind.OTHER] == [0]
