"""What must hold between the keys of a scenario, each rule a function, told in terms of the keys.

The rules look at finished facts, so a specification built in code can be checked too. Rules that need the
firmware itself are left to those who load it: how long a chain of the corpus is, whether a file can be a
firmware. A firmware too large for a slot is no error here: what then happens is what simlib finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from simlib.errors import InputError
from simlib.scenario import calibration
from simlib.scenario.consistency_field import FIELD_RULES
from simlib.scenario.consistency_rollout import ROLLOUT_RULES
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.scenario.toml_text import shown
from simlib.scenario.units import format_duration, format_rate, format_share, format_size

RATE_CLASSES: Final = 32
"""The most distinct rates on one link: what keeps the fair link's cost a constant times a logarithm."""
TOKEN_SIGNATURES: Final = ("ed25519", "rsa-2048", "rsa-3072")
"""What a token signs without chance, as a scenario must; a test compares `simlib.security.stores`."""
TOKEN_KEY_WRAPS: Final = ("ecies-p256",)
IN_THE_CLEAR: Final = ("direct-xip", "direct-xip-revert")
"""Layouts whose boot loader has no encryption."""
_SYNTHETIC_BYTES: Final = (64 << 10, 1 << 20)
_CLOCK_REACH: Final = 1 << 62
_TIMELINE_ROWS: Final = 100_000

Complaint = tuple[str, str, str]
"""Key, found, expected."""


def check(spec: ScenarioSpec, source: str) -> None:
    """Raise an `InputError` that begins with `source` for the first rule that `spec` breaks."""
    for rule in _RULES:
        for key, found, expected in rule(spec):
            raise InputError(f"{source}: {key}: found {found}, expected {expected}")


def _lists(spec: ScenarioSpec) -> Iterator[Complaint]:
    parts: dict[str, Sequence[object]] = {
        "links": spec.links,
        "zones": spec.zones,
        "cohorts": spec.cohorts,
        "rollout.groups": spec.rollout.groups,
    }
    for number, cohort in enumerate(spec.cohorts):
        parts[f"cohorts.{number}.base_mix"] = cohort.base_mix
        parts[f"cohorts.{number}.rates"] = cohort.rates_bps
    for key, elements in parts.items():
        if not elements:
            yield key, "an empty list", "at least one element"
    if len(spec.rollout.groups) > 1000:
        yield "rollout.groups", f"{len(spec.rollout.groups)} groups", "at most 1000"


def _names(spec: ScenarioSpec) -> Iterator[Complaint]:
    named: dict[str, Sequence[Any]] = {
        "links": spec.links,
        "zones": spec.zones,
        "channels": spec.channels,
        "habits": spec.habits,
        "owners": spec.owners,
        "cohorts": spec.cohorts,
        "defects": spec.defects,
    }
    for key, elements in named.items():
        names = [element.name for element in elements]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield f"{key}.{number}.name", f"{shown(name)} a second time", "a name of its own"


def _shares(spec: ScenarioSpec) -> Iterator[Complaint]:
    yield from _sums_to_one("cohorts", "share", [c.share for c in spec.cohorts])
    yield from _sums_to_one("zones", "share", [z.share for z in spec.zones])
    for number, cohort in enumerate(spec.cohorts):
        yield from _sums_to_one(f"cohorts.{number}.base_mix", "share", cohort.base_mix)
        if cohort.battery_low > cohort.battery_high:
            low, high = format_share(cohort.battery_low), format_share(cohort.battery_high)
            yield f"cohorts.{number}.battery", f"[{low}, {high}]", "the lower charge first"
    groups = [g.share for g in spec.rollout.groups]
    named = [share for share in groups if share is not None]
    for number, share in enumerate(groups[:-1]):
        if share is None:
            yield f"rollout.groups.{number}.share", '"rest"', 'a share; only the last group can take "rest"'
    if groups[-1] is not None:
        yield from _sums_to_one("rollout.groups", "share", named)
    elif sum(named) > 1:
        yield (
            "rollout.groups",
            f"shares that sum to {format_share(sum(named, Fraction(0)))}",
            "at most 1 beside the rest",
        )


def _sums_to_one(key: str, what: str, shares: Sequence[Fraction]) -> Iterator[Complaint]:
    total = sum(shares, Fraction(0))
    if total != 1:
        yield key, f"{what}s that sum to {format_share(total)}", f"{what}s that sum to exactly 1"


def _links(spec: ScenarioSpec) -> Iterator[Complaint]:
    names = [link.name for link in spec.links]
    for number, cohort in enumerate(spec.cohorts):
        for name in cohort.link:
            if name not in names:
                yield f"cohorts.{number}.link", shown(name), _one_of(name, names)
        if len(set(cohort.link)) < len(cohort.link):
            yield f"cohorts.{number}.link", shown(list(cohort.link)), "each link once"
    for link in spec.links:
        # The rates of a channel show when it is resolved.
        plain = [cohort for cohort in spec.cohorts if link.name in cohort.link and not cohort.channel]
        rates = {rate for cohort in plain for rate in cohort.rates_bps}
        if len(rates) > RATE_CLASSES:
            yield (
                "cohorts",
                f"{len(rates)} distinct rates on the link {shown(link.name)}",
                f"at most {RATE_CLASSES}",
            )


def _release(spec: ScenarioSpec) -> Iterator[Complaint]:
    release = spec.release
    if release.source == "files":
        if len(release.files) < 2:
            yield (
                "release.files",
                f"{len(release.files)} files",
                'two or more with release.source = "files", oldest first',
            )
        for number, name in enumerate(release.files):
            if not Path(name).is_file():
                yield f"release.files.{number}", f"no such file ({shown(name)})", "a raw firmware binary"
        return
    if release.files:
        yield (
            "release.files",
            f"{len(release.files)} files",
            f"none with release.source = {shown(release.source)}",
        )
    if release.source == "synthetic":
        low, high = _SYNTHETIC_BYTES
        for key, size in (("size", release.size_bytes), ("base_size", release.base_size_bytes)):
            if not low <= size <= high:
                yield (
                    f"release.{key}",
                    format_size(size),
                    f"{format_size(low)} to {format_size(high)} for a synthetic firmware",
                )
        if not 1 <= len(release.steps) <= 63:
            yield "release.steps", f"{len(release.steps)} steps", "1 to 63"
        if not any(astuple(release.step_weights)):
            yield "release.step_weights", "every weight 0", "at least one above 0"


def _keys(spec: ScenarioSpec) -> Iterator[Complaint]:
    release = spec.release
    if release.keys != "pkcs11":
        return
    if release.signature not in TOKEN_SIGNATURES:
        yield (
            "release.signature",
            f"{shown(release.signature)} with keys in a token, which draws a random nonce for each signature",
            " or ".join(TOKEN_SIGNATURES),
        )
    if release.encrypted and release.key_wrap not in TOKEN_KEY_WRAPS:
        yield (
            "release.key_wrap",
            f"{shown(release.key_wrap)} with keys in a token",
            " or ".join(TOKEN_KEY_WRAPS),
        )


def _bases(spec: ScenarioSpec) -> Iterator[Complaint]:
    release = spec.release
    if release.source.startswith("corpus:"):
        return
    older = len(release.files) - 1 if release.source == "files" else len(release.steps)
    for number, cohort in enumerate(spec.cohorts):
        if len(cohort.base_mix) > older:
            yield (
                f"cohorts.{number}.base_mix",
                f"{len(cohort.base_mix)} shares",
                f"at most {older}, the older firmwares of the chain",
            )


def _flash(spec: ScenarioSpec) -> Iterator[Complaint]:
    for number, cohort in enumerate(spec.cohorts):
        sector = cohort.sector_size_bytes
        if sector % cohort.write_size_bytes:
            yield (
                f"cohorts.{number}.sector_size",
                format_size(sector),
                f"a multiple of write_size, {cohort.write_size_bytes}",
            )
        for key, size in (
            ("slot_size", cohort.slot_size_bytes),
            ("download_size", cohort.download_size_bytes),
        ):
            if size % sector:
                yield (
                    f"cohorts.{number}.{key}",
                    format_size(size),
                    f"a multiple of sector_size, {format_size(sector)}",
                )

        for key, size in (
            ("secondary_sector", cohort.secondary_sector_bytes),
            ("secondary_size", cohort.secondary_size_bytes),
            ("scratch_size", cohort.scratch_size_bytes),
        ):
            if size % sector:
                yield (
                    f"cohorts.{number}.{key}",
                    format_size(size),
                    f"0 or a multiple of sector_size, {format_size(sector)}",
                )


def _layouts(spec: ScenarioSpec) -> Iterator[Complaint]:
    for number, cohort in enumerate(spec.cohorts):
        key = f"cohorts.{number}.layout"
        if cohort.layout in IN_THE_CLEAR and spec.release.encrypted:
            yield key, shown(cohort.layout), "a layout with encryption, or release.encrypted = false"
        loads = cohort.layout == "ram-load"
        if loads is not bool(spec.release.load_address):
            expected = "one that runs in flash, or a release.load_address" if loads else "ram-load"
            yield key, shown(cohort.layout), f"{expected} (release.load_address is where images run in RAM)"


def _hardware(spec: ScenarioSpec) -> Iterator[Complaint]:
    known = list(dict.fromkeys(cohort.hardware for cohort in spec.cohorts))
    for key, names in (
        ("release.hardware", spec.release.hardware),
        ("faults.defect_hardware", spec.faults.defect_hardware),
    ):
        for number, name in enumerate(names):
            if name not in known:
                yield f"{key}.{number}", shown(name), _one_of(name, known)


def _profiles(spec: ScenarioSpec) -> Iterator[Complaint]:
    kinds: dict[str, tuple[Callable[[CohortSpec], str], tuple[str, ...]]] = {
        "flash": (lambda cohort: cohort.flash, calibration.flash_names()),
        "core": (lambda cohort: cohort.core, calibration.core_names()),
        "radio": (lambda cohort: cohort.radio, calibration.radio_names()),
    }
    for number, cohort in enumerate(spec.cohorts):
        for key, (of, known) in kinds.items():
            if of(cohort) not in known:
                yield f"cohorts.{number}.{key}", shown(of(cohort)), _one_of(of(cohort), known)
        if spec.release.signature not in calibration.core_profile(cohort.core).verify_cycles:
            yield (
                f"cohorts.{number}.core",
                shown(cohort.core),
                f"a core with a cost for {spec.release.signature}",
            )


def _times(spec: ScenarioSpec) -> Iterator[Complaint]:
    if spec.transfer.backoff_ms > spec.transfer.backoff_max_ms:
        yield (
            "transfer.backoff_max",
            format_duration(spec.transfer.backoff_max_ms),
            f"at least transfer.backoff, {format_duration(spec.transfer.backoff_ms)}",
        )
    if spec.horizon_ms // spec.timeline_ms > _TIMELINE_ROWS:
        yield (
            "timeline",
            format_duration(spec.timeline_ms),
            f"at most {_TIMELINE_ROWS} samples within the horizon",
        )
    fastest = max(
        [link.capacity_bps for link in spec.links]
        + [outage.capacity_bps for link in spec.links for outage in link.outages]
        + [rate for cohort in spec.cohorts for rate in cohort.rates_bps]
        + [rate for channel in spec.channels for rate in channel.rates_bps + channel.relay_rates_bps]
    )
    if fastest * spec.horizon_ms >= _CLOCK_REACH:
        longest = _CLOCK_REACH // fastest
        yield (
            "horizon",
            format_duration(spec.horizon_ms),
            f"at most {longest} ms at {format_rate(fastest)}, so that the clock's integers do not overflow",
        )


def _one_of(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"one of {', '.join(known)}{f'; nearest is {near[0]}' if near else ''}"


_RULES: Final = (
    _lists,
    _names,
    _shares,
    _links,
    _release,
    _keys,
    _bases,
    _flash,
    _layouts,
    _hardware,
    _profiles,
    _times,
    *FIELD_RULES,
    *ROLLOUT_RULES,
)
