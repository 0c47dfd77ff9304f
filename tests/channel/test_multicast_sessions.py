"""Multicast sessions: a plan is airtime and duty cycle, and a device has the block when the bytes say so."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.channel import resolve
from simlib.channel.fragmentation import MOST_FRAGMENTS, coded_fragment, rebuild, split
from simlib.channel.lora import modulation
from simlib.channel.multicast import Multicast, MulticastPlan, coded_number, outcome, received
from simlib.draws import CERTAIN, Purpose, device_key, draw32, threshold
from simlib.errors import InputError

WAY = Multicast(
    modulation=modulation("sf10"),
    fragment_bytes=48,
    redundancy=Fraction(1, 5),
    duty_cycle=Fraction(1, 100),
    session_every_ms=86_400_000,
    loss_threshold=threshold(Fraction(1, 10)),
    rx_nw=41_844_000,
)
KEYS = st.integers(0, 2**64 - 1)


def plan(size_bytes: int, loss: str = "0.1", **changes: object) -> MulticastPlan:
    changed = {"loss_threshold": threshold(Fraction(loss)), **changes}
    return dataclasses.replace(WAY, **changed).plan(size_bytes)  # type: ignore[arg-type]


def test_a_plan_is_what_one_works_out_by_hand() -> None:
    made = WAY.plan(480)
    # 64 bytes on the air: 12.25 + 8 + 5 * ceil((512 - 40 + 28) / 40) symbols of 8.192 ms.
    assert WAY.fragment_us == Fraction("85.25") * 8192
    assert (made.data_fragments, made.coded_fragments, made.fragments) == (10, 2, 12)
    assert (made.airtime_ms, made.spacing_ms) == (699, 69_837)
    assert made.session_ms == 11 * 69_837 + 699
    assert made.listen_nj == -(-12 * 698_368 * 41_844 // 1000)


@given(st.integers(1, 30_000), st.fractions(0, 1), st.fractions(Fraction(1, 100), 1))
def test_every_byte_has_a_fragment_and_the_duty_cycle_holds(
    size_bytes: int, redundancy: Fraction, duty_cycle: Fraction
) -> None:
    year_ms = 366 * 86_400_000
    made = plan(size_bytes, redundancy=redundancy, duty_cycle=duty_cycle, session_every_ms=year_ms)
    assert 0 <= made.data_fragments * 48 - size_bytes < 48
    assert 0 <= made.coded_fragments - made.data_fragments * redundancy < 1
    assert WAY.fragment_us / 1000 <= made.spacing_ms * duty_cycle
    assert made.airtime_ms <= made.spacing_ms
    assert made.session_ms <= made.fragments * made.spacing_ms <= year_ms


@given(KEYS, st.integers(0, 1000), st.integers(0, 300))
def test_a_reception_is_the_scalar_draw_of_each_fragment(key: int, session: int, count: int) -> None:
    limit = threshold(Fraction(1, 3))
    heard = received(key, session, limit, count)
    occurrences = range(session * 65536, session * 65536 + count)
    draws = [draw32(key, Purpose.FRAGMENT, occurrence) for occurrence in occurrences]
    assert heard == sum(1 << n for n, draw in enumerate(draws) if draw >= limit)


@given(KEYS, st.integers(0, 50), st.integers(0, 200), st.integers(0, 200))
def test_a_longer_session_changes_no_fragment_s_luck(key: int, session: int, few: int, more: int) -> None:
    limit = threshold(Fraction(1, 4))
    assert received(key, session, limit, few + more) & ((1 << few) - 1) == received(key, session, limit, few)


@given(KEYS)
def test_a_fragment_is_lost_where_its_draw_is_below_the_threshold(key: int) -> None:
    draw = draw32(key, Purpose.FRAGMENT, 0)
    assert (received(key, 0, draw, 1), received(key, 0, draw + 1, 1)) == (1, 0)


def test_the_purpose_of_a_fragment_s_draw_is_frozen() -> None:
    assert Purpose.FRAGMENT == 17
    assert received(device_key(7, 0), 3, CERTAIN // 2, 16) == 19497


def test_fragments_are_lost_as_often_as_the_loss_says() -> None:
    heard = sum(
        received(device_key(1, d), 0, threshold(Fraction(1, 10)), 1000).bit_count() for d in range(100)
    )
    assert abs(heard - 90_000) < 400


@given(KEYS, st.lists(st.integers(0, 30), unique=True, max_size=4), st.binary(min_size=1, max_size=1500))
def test_a_device_has_the_block_exactly_when_its_bytes_can_be_rebuilt(
    key: int, sessions: list[int], block: bytes
) -> None:
    made = plan(len(block), loss="0.4")
    data = split(block, made.fragment_bytes)
    arrived: dict[int, bytes] = {}
    latest = 0
    for session in sessions:
        heard = received(key, session, made.loss_threshold, made.fragments)
        latest = 0
        for n in range(made.fragments):
            if heard >> n & 1:
                latest += made.fragment_bytes
                if n < len(data):
                    arrived[n] = data[n]
                else:
                    coded = coded_number(made, session, n - len(data))
                    arrived[len(data) + coded] = coded_fragment(data, coded)
    stands = outcome(made, key, sessions)
    assert stands.received_bytes == latest
    if stands.decoded:
        assert rebuild(arrived, len(block)) == block
    elif arrived:
        with pytest.raises(InputError, match="rank"):
            rebuild(arrived, len(block))


@given(KEYS, st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=5))
def test_another_session_never_loses_the_block(key: int, sessions: list[int]) -> None:
    made = plan(1000, loss="0.4")
    decoded = [outcome(made, key, sessions[:n]).decoded for n in range(len(sessions) + 1)]
    assert decoded == sorted(decoded)


def test_without_loss_one_session_is_enough_and_with_certain_loss_none() -> None:
    assert outcome(plan(5000, loss="0"), 1, [0]).decoded
    assert not outcome(plan(5000, loss="0"), 1, []).decoded
    never = outcome(plan(5000, loss="1"), 1, range(20))
    assert (never.decoded, never.received_bytes) == (False, 0)


def test_redundancy_brings_more_devices_home_in_one_session() -> None:
    def share(redundancy: Fraction) -> int:
        made = plan(4800, redundancy=redundancy)
        return sum(outcome(made, device_key(5, d), [0]).decoded for d in range(200))

    bare, tenth, third = share(Fraction(0)), share(Fraction(1, 10)), share(Fraction(1, 3))
    assert bare < tenth < third
    assert bare == 0
    assert third > 195


def test_each_session_sends_fresh_coded_fragments_until_the_index_is_used_up() -> None:
    made = plan(4800)
    numbers = [coded_number(made, s, n) for s in range(10) for n in range(made.coded_fragments)]
    assert numbers == list(range(200))
    far = [coded_number(made, s, n) for s in range(2000) for n in range(made.coded_fragments)]
    assert max(far) + made.data_fragments < MOST_FRAGMENTS
    assert set(far) == set(range(MOST_FRAGMENTS - made.data_fragments))


def test_a_block_of_too_many_fragments_is_refused() -> None:
    with pytest.raises(InputError, match=r"^fragment: found 48 bytes, .* expected at most 16383 together"):
        plan(1 << 20, session_every_ms=10**12)


def test_a_session_that_runs_into_the_next_is_refused() -> None:
    least = 12 * 69_837
    assert plan(480, session_every_ms=least).session_ms < least
    with pytest.raises(
        InputError, match=f"^session_every: found {least - 1} ms, expected at least {least} ms"
    ):
        plan(480, session_every_ms=least - 1)


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(InputError, match="found 0 bytes"):
        WAY.plan(0)


def test_a_resolved_channel_plans_with_what_the_user_chose(make_spec) -> None:
    spec = make_spec("lora-multicast", loss=Fraction(1, 10))
    multicast = resolve(spec).multicast
    assert multicast == WAY
    with pytest.raises(ValueError, match="count"):
        received(1, 0, 0, 65_537)
