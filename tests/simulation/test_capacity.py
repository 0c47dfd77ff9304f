"""A fleet that does not fit into memory is refused before anything is made for it, with what is needed."""

from types import SimpleNamespace

import pytest

from simlib.errors import InputError
from simlib.simulation import capacity, run, simulate


def with_memory(monkeypatch, free):
    monkeypatch.setattr(capacity.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))


@pytest.mark.parametrize("engine", ["simpy", "compiled", "fused"])
def test_a_fleet_above_the_memory_at_hand_is_refused_in_one_line_before_it_is_drawn(
    smoke, monkeypatch, engine
):
    monkeypatch.setattr(run, "prepare", lambda *_, **__: pytest.fail("the fleet was drawn"))
    with_memory(monkeypatch, 1_000_000_000)
    with pytest.raises(
        InputError, match=r"smoke: devices: found 9,000,000, expected at most \d[\d,]*: .* GB"
    ) as told:
        simulate(smoke.with_({"devices": 9_000_000}), engine=engine)
    assert f"on the {engine} clock" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("engine", ["simpy", "fused"])
def test_the_size_that_a_refusal_names_fits_and_one_more_does_not(smoke, monkeypatch, engine, record):
    with_memory(monkeypatch, 1_000_000_000)
    fits = (1_000_000_000 - capacity.needed_bytes(0, engine)) // (
        capacity.needed_bytes(1, engine, record=record) - capacity.needed_bytes(0, engine)
    )
    capacity.check_memory(smoke.with_({"devices": fits}).spec, engine, record=record)
    with pytest.raises(InputError, match=f"expected at most {fits:,}:"):
        capacity.check_memory(smoke.with_({"devices": fits + 1}).spec, engine, record=record)
