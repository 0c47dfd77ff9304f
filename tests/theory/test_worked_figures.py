"""The worked figures of the energy reference come out of the model: radio, flash and signatures."""

from fractions import Fraction

import pytest

from simlib.channel import ble, lora, resolve
from simlib.channel.energy import pj_per_byte
from simlib.channel.profiles import power_nw
from simlib.device.flash import LARGEST_WRITE_BYTES, Flash, Geometry
from simlib.device.meter import Meter
from simlib.scenario import Scenario
from simlib.scenario.calibration import core_profile, flash_profile

KIB = 1024
SLOT = 256 * KIB
ML_DSA_44_SIGNATURE = 2_420


def channel(**keys):
    document = {"name": "c"} | keys
    return resolve(
        Scenario.from_toml('schema = 1\nname = "w"\n').with_({"channels": [document]}).spec.channels[0]
    )


def test_a_slot_over_ble_2m_is_about_39_mj_of_radio():
    made = channel(kind="ble", radio="nrf52840", phy="2M", interval="30 ms")
    (only,) = made.classes
    energy_mj = SLOT * (only.rx_pj_per_byte + only.tx_pj_per_byte) / 10**9
    assert energy_mj == pytest.approx(39, rel=0.02)


def test_erasing_and_writing_a_slot_once_is_about_98_mj_of_flash():
    meter = Meter(core_profile("cortex-m4-64mhz"))
    flash = Flash(SLOT, Geometry(4096, 4, 0xFF), flash_profile("nrf52840"), meter)
    for sector in range(0, SLOT, 4096):
        flash.erase(sector)
    for at in range(0, SLOT, LARGEST_WRITE_BYTES):
        flash.write(at, bytes(LARGEST_WRITE_BYTES))
    assert meter.flash_nj / 10**6 == pytest.approx(98, rel=0.01)
    assert flash.erases == 64 and flash.bytes_written == SLOT


@pytest.mark.parametrize(("phy", "kbit_per_s"), [("1M", 791), ("2M", 1402)])
def test_the_most_that_notifications_carry_is_791_and_1402_kbit_per_s(phy, kbit_per_s):
    link = ble.Link(phy, 251, 247, encrypted=False, loss=Fraction(0))
    assert round(ble.connected_limit(link).goodput * 8 / 1000) == kbit_per_s


def test_an_ml_dsa_44_signature_over_lora_sf10_is_about_0_83_j_to_receive():
    goodput = Fraction(lora.modulation("sf10").bit_rate) / 8
    energy_j = ML_DSA_44_SIGNATURE * pj_per_byte(power_nw("samr34", "rx_current"), goodput) / 10**12
    assert energy_j == pytest.approx(0.83, rel=0.01)
    # And the way it would really travel, in fragments with headers, costs more.
    made = channel(kind="lora-multicast", radio="samr34", phy="sf10", session_every="30 d", redundancy=0)
    assert made.multicast is not None
    plan = made.multicast.plan(ML_DSA_44_SIGNATURE)
    assert energy_j < plan.listen_nj / 10**9 < 2.5 * energy_j
