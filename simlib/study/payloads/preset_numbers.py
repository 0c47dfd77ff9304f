"""The numbers of `OwnNumbers` as a cohort of a scenario has them: from calibration, bench, route and release.

What the formulas leave open is read off an update by the raw image: how often the image is written, what the
core does with it, and as `rest_*` whatever remains. So what a device does with the raw image is exact; what a
patch and a compressed image take beyond that is told by the formulas. The manifest is that of the patch, some
hundreds of bytes more than a raw image's.
"""

from __future__ import annotations

from dataclasses import replace

from simlib.delta import codec_traits
from simlib.device.bench import Bench, Boot, Confirm, Install
from simlib.device.config import DeviceConfig
from simlib.device.fitness import streams
from simlib.errors import InputError, Reason
from simlib.fleet import Route, routes_of
from simlib.release import Artefact, Manifest, open_manifest
from simlib.scenario import Scenario
from simlib.scenario.calibration import CoreProfile, core_profile, flash_profile
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.scenario.toml_text import shown
from simlib.simulation.columns import habit_of, mean_presence
from simlib.simulation.costs import costs_of
from simlib.study.payloads.costs import download
from simlib.study.payloads.own_numbers import OwnNumbers
from simlib.study.payloads.shipped import Shipped, shipped


def numbers_of(
    scenario: Scenario | str, cohort: str, codec: str = "bsdiff4", full_codec: str = "", *, base: int = 1
) -> OwnNumbers:
    """The numbers of a device of `cohort` that runs the firmware `base` releases behind the newest.

    `full_codec` "": nothing is compressed, and the compressed image is the raw one. Over multicast, the link
    is one session. Whether the device takes a patch or compressed image is not asked: see `update_costs`.
    Raises `InputError`, also where the device cannot take the raw image.
    """
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    spec = scenario.spec
    facts, route = _cohort(spec, cohort)
    wanted = (full_codec,) if full_codec else ()
    forms = {form.payload: form for form in shipped(spec.release, None, (codec,), wanted)}
    release = forms["full"].release
    if not 1 <= base <= release.primary:
        raise InputError(f"base: found {base}, expected 1 to {release.primary}")
    at = release.primary - base
    manifests = {name: _manifest(form, at) for name, form in forms.items()}
    raw, patch = manifests["full"], manifests["delta"]
    packed = manifests.get("compressed", raw)
    core, flash, config = (
        core_profile(facts.core),
        flash_profile(facts.flash),
        DeviceConfig.from_cohort(facts),
    )
    key = release.decryption_key
    own = OwnNumbers(
        image_bytes=raw.blob_size,
        base_bytes=len(release.images[at]),
        patch_ratio=patch.blob_size / raw.blob_size,
        compressed_ratio=packed.blob_size / raw.blob_size,
        manifest_bytes=_artefact(forms["delta"], at).wire_bytes - patch.blob_size,
        **_link(spec, facts, route, release.full_for().wire_bytes),
        sector_bytes=config.sector_size_bytes,
        erase_ms=flash.erase_ns * config.sector_size_bytes / flash.sector_bytes / 1e6,
        erase_uj=flash.erase_nj * config.sector_size_bytes / flash.sector_bytes / 1e3,
        write_us_per_byte=flash.word_ns / flash.word_bytes / 1e3,
        write_nj_per_byte=flash.word_nj / flash.word_bytes,
        clock_mhz=core.clock_hz / 1e6,
        nj_per_cycle=core.nj_per_mcycle / 1e6,
        hash_cycles_per_byte=core.sha256_mcpb / 1e3,
        patch_cycles_per_byte=_decoding(core, codec),
        unpack_cycles_per_byte=_decoding(core, full_codec) if full_codec else 0.0,
        stored=not streams(config, patch),
        compressed_stored=not streams(config, packed),
        cipher_cycles_per_byte=_cipher_mcpb(core, patch) / 1e3 if key is not None else 0.0,
        unwrap_cycles=core.unwrap_cycles[key.algorithm] if key is not None else 0,
    )
    return _as_measured(own, spec, facts, route, forms["full"], config, at)


def _cohort(spec: ScenarioSpec, name: str) -> tuple[CohortSpec, Route]:
    for facts, route in zip(spec.cohorts, routes_of(spec), strict=True):
        if facts.name == name:
            return facts, route
    known = ", ".join(c.name for c in spec.cohorts)
    raise InputError(f"{spec.name}: cohort: found {shown(name)}, expected one of {known}")


def _manifest(form: Shipped, base: int) -> Manifest:
    return open_manifest(_artefact(form, base).manifest, (form.release.verify_key,))


def _artefact(form: Shipped, base: int) -> Artefact:
    artefact = form.artefact(base)
    if artefact is None:
        raise InputError(f"{form.codec}: found nothing shorter than the raw image, expected a smaller one")
    return artefact


def _decoding(core: CoreProfile, codec: str) -> float:
    """Cycles for each byte that is made."""
    return core.patch_mcpb * codec_traits(codec).effort_percent / 1e5


def _cipher_mcpb(core: CoreProfile, manifest: Manifest) -> int:
    return core.aes128_ctr_mcpb if manifest.content_key_bytes == 16 else core.aes256_ctr_mcpb


def _link(spec: ScenarioSpec, facts: CohortSpec, route: Route, n_bytes: int) -> dict[str, float]:
    """Rate, energy of a byte and what connecting takes, as a download of `n_bytes` and one of 1 show them."""
    least, whole = (download(spec, facts, route, n, sessions=1) for n in (1, n_bytes))
    if route.multicast is not None:
        # Fragments, coded ones with them; an empty session takes nothing.
        plan = route.multicast.plan(n_bytes)
        energy = {"radio_nj_per_byte": plan.listen_nj / n_bytes, "connect_uj": route.connect_nj / 1e3}
        return {"link_bps": 1_000 * n_bytes / plan.session_ms, **energy}
    span = n_bytes - 1
    each_nj = 1_000 * (whole.radio_uj - least.radio_uj) / span
    return {
        "link_bps": whole.rate_bps,
        "radio_nj_per_byte": each_nj,
        "connect_ms": route.connect_ms,
        "connect_uj": least.radio_uj - each_nj / 1_000 - route.report_nj / 1e3,
    }


def _as_measured(
    own: OwnNumbers,
    spec: ScenarioSpec,
    facts: CohortSpec,
    route: Route,
    form: Shipped,
    config: DeviceConfig,
    base: int,
) -> OwnNumbers:
    """With what an update by the raw image shows. Raises `InputError` where it does not succeed."""
    bench = Bench(form.release)
    installed = bench.run(bench.start(config, base), Install(form.release.full_for().name))
    if installed.verdict is not Reason.NONE:
        raise InputError(f"the raw image: found {installed.verdict.value}, expected a device that takes it")
    booted = bench.run(installed.state, Boot())
    moves = (installed, booted, bench.run(booted.state, Confirm()))
    compute_nj = sum(move.compute_nj for move in moves)
    own = replace(
        own,
        rewrites=sum(move.bytes_written for move in moves) / own.image_bytes,
        check_cycles_per_byte=compute_nj / own.nj_per_cycle / own.image_bytes,
    )
    habit = habit_of(spec, facts)
    costs = costs_of(spec, facts, habit, route, config, mean_presence(facts, habit))
    test_ms = facts.self_test_ms + spec.validation.bluetooth * spec.validation.bluetooth_ms
    worked_ms = sum(move.time_ns for move in moves) / 1e6
    worked_ms += facts.reboot_ms + test_ms + spec.validation.probation_ms
    worked_uj = (
        (sum(move.flash_nj for move in moves) + compute_nj) / 1e3 + costs.reboot_uj + costs.self_test_uj
    )
    told = own.spent("full")
    return replace(
        own,
        rest_ms=worked_ms - (told.time_ms - told.link_ms),
        rest_uj=worked_uj + route.report_nj / 1e3 - told.flash_uj - told.compute_uj,
    )
