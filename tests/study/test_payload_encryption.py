"""A patch is made of plain images and encrypted afterwards: the other order saves nothing."""

import pytest

from simlib.delta import codec_names
from simlib.errors import InputError
from simlib.firmware.synthetic import synthetic_chain
from simlib.study.payloads import encryption_order
from simlib.study.payloads.encryption import WAYS

PLAIN, AFTERWARDS, ONE_NONCE, FRESH, CBC = WAYS


@pytest.fixture(scope="module")
def images() -> tuple[bytes, bytes]:
    old, new = synthetic_chain(7, (96 << 10, 96 << 10), ("patch",))
    return old, new


@pytest.mark.parametrize("codec", codec_names(takes_base=True))
def test_a_patch_may_be_encrypted_and_is_worth_nothing_between_ciphertexts(images, codec):
    old, new = images
    table = encryption_order(old, new, codec).set_index("way")
    assert tuple(table.index) == WAYS
    assert table["bytes"][PLAIN] == table["bytes"][AFTERWARDS] < 0.15 * len(new)
    assert (table.loc[[FRESH, CBC], "of_full"] > 0.99).all()
    assert table["of_full"].to_list() == pytest.approx((table["bytes"] / len(new)).to_list())


def test_a_nonce_used_twice_shows_what_did_not_move():
    old = bytes(range(256)) * 64
    new = old[:9_000] + b"\x00" + old[9_001:]
    table = encryption_order(old, new).set_index("way")["bytes"]
    assert table[ONE_NONCE] < 0.05 * table[FRESH]


def test_the_lengths_are_the_same_each_time_and_keys_come_from_the_seed(images):
    old, new = images
    assert encryption_order(old, new).equals(encryption_order(old, new))
    one, other = encryption_order(old, new), encryption_order(old, new, seed=1)
    assert one["bytes"][:2].equals(other["bytes"][:2])
    assert not one["bytes"][2:].equals(other["bytes"][2:])


def test_there_is_no_difference_from_nothing(images):
    with pytest.raises(InputError, match="images: found 0"):
        encryption_order(b"", images[1])
