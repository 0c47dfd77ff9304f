"""What must hold between the keys about the field: names that exist, shares that add up, complete causes.

Beside `simlib.scenario.consistency`, which calls these rules. What a channel's numbers mean together is for
`simlib.channel` to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Final

from simlib.scenario.consistency_sources import sources
from simlib.scenario.distributions import Distribution, format_distribution
from simlib.scenario.field_model import ChannelSpec
from simlib.scenario.leaves import DAY, WEEKDAYS
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.schema_field import ChannelTable
from simlib.scenario.toml_text import one_line, shown
from simlib.scenario.units import format_duration, format_share

Complaint = tuple[str, str, str]
"""Key, found, expected."""
MOST_CHANGES: Final = 100_000
"""Check-ins or absences of one device that are drawn one after another: what keeps a run's time in bounds."""
_KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "interval": ("ble",),
    "data_length": ("ble",),
    "att_mtu": ("ble",),
    "packets_per_event": ("ble",),
    "range_m": ("wifi-direct",),
    "distance_m": ("wifi-direct",),
    "fragment": ("lora-multicast",),
    "redundancy": ("lora-multicast",),
    "duty_cycle": ("lora-multicast",),
    "session_every": ("lora-multicast",),
}
"""The kinds of channel that use a key; elsewhere it says nothing."""
_NO_PHONE: Final = ("lte-m", "nb-iot", "lora-multicast")
"""The kinds by which a device is reached without anything of its owner's."""


def _one_of(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known) if known else "nothing: there is none"
    return f"one of {listed}{f'; nearest is {near[0]}' if near else ''}"


def _references(spec: ScenarioSpec) -> Iterator[Complaint]:
    known = {
        "channel": [c.name for c in spec.channels],
        "habit": [h.name for h in spec.habits],
        "owner": [o.name for o in spec.owners],
    }
    for number, cohort in enumerate(spec.cohorts):
        for key, names in known.items():
            name = getattr(cohort, key)
            if name and name not in names:
                yield f"cohorts.{number}.{key}", shown(name), _one_of(name, names)
    zones = [zone.name for zone in spec.zones]
    for written, name in spec.inventory.zones:
        if name not in zones:
            yield f"inventory.zones.{one_line(written)}", shown(name), _one_of(name, zones)
    for key in ("columns", "zones", "versions"):
        if not spec.inventory.file and getattr(spec.inventory, key):
            yield f"inventory.{key}", "a table", "none without inventory.file, which it is about"


def _channels(spec: ScenarioSpec) -> Iterator[Complaint]:
    for number, channel in enumerate(spec.channels):
        for field, found in _unused(channel):
            yield f"channels.{number}.{field}", *found
    channels = {channel.name: channel for channel in spec.channels}
    phones = {owner.name: number for number, owner in enumerate(spec.owners) if owner.phone}
    for number, cohort in enumerate(spec.cohorts):
        way = channels.get(cohort.channel)
        if way is None or not (way.kind in _NO_PHONE or way.relay == "gateway"):
            continue
        by = way.kind if way.kind in _NO_PHONE else f"{way.kind} from a gateway"
        for wants, which in (
            (cohort.owner in phones, f"owners.{phones.get(cohort.owner)}.phone is true"),
            (spec.backup.to == "phone", 'backup.to = "phone"'),
        ):
            if wants:
                yield (
                    f"cohorts.{number}.channel",
                    f"{shown(way.name)}, which is {by}",
                    f"a channel that a phone is part of, as {which}",
                )


def _unused(channel: ChannelSpec) -> Iterator[tuple[str, tuple[str, str]]]:
    """Keys that are set and say nothing about this channel, each with what was found and expected."""
    for key, kinds in _KINDS_OF.items():
        if channel.kind not in kinds and (found := _written(channel, key)):
            yield key, (found, f"no such key for {channel.kind}: it belongs to {' and '.join(kinds)}")
    if channel.relay == "none" and (found := _written(channel, "relay_mode")):
        yield "relay_mode", (found, 'no such key with relay = "none"')


def _written(channel: ChannelSpec, key: str) -> str:
    """The value of `key` as a message shows it; nothing if it is the default."""
    for field in (key, f"{key}_us", f"{key}_bytes", f"{key}_ms"):
        if hasattr(channel, field):
            value = getattr(channel, field)
            break
    if value == ChannelTable.model_fields[key].default:
        return ""
    if isinstance(value, Fraction):
        return str(format_share(value))
    return format_duration(value) if field.endswith("_ms") else shown(value)


def _habits(spec: ScenarioSpec) -> Iterator[Complaint]:
    for number, habit in enumerate(spec.habits):
        for key, shares, wanted in (
            ("by_hour", habit.by_hour, 24),
            ("by_weekday", habit.by_weekday, len(WEEKDAYS)),
        ):
            if len(shares) != wanted:
                yield f"habits.{number}.{key}", f"{len(shares)} shares", f"{wanted}"
        if habit.use_low > habit.use_high:
            low, high = format_share(habit.use_low), format_share(habit.use_high)
            yield f"habits.{number}.use", f"[{low}, {high}]", "the lower share first"
        if habit.charge_for_ms > DAY:
            yield (
                f"habits.{number}.charge_for",
                format_duration(habit.charge_for_ms),
                "at most 1 d: each night anew",
            )
        if (habit.online is None) != (habit.offline is None):
            lacks = "online" if habit.online is None else "offline"
            yield f"habits.{number}.{lacks}", '""', "both online and offline, or neither"
        if habit.dormant and habit.dormant_for is None:
            yield f"habits.{number}.dormant_for", '""', "for how long the dormant share is away yet"
        for key, spreads in (("gaps", [habit.gaps]), ("online", [habit.online, habit.offline])):
            drawn = [spread for spread in spreads if spread is not None]
            if drawn and sum(map(_typical_ms, drawn)) * MOST_CHANGES < spec.horizon_ms:
                yield (
                    f"habits.{number}.{key}",
                    shown(format_distribution(drawn[0])),
                    f"a longer time: at most {MOST_CHANGES} of them within the horizon",
                )


def _typical_ms(spread: Distribution) -> Fraction:
    """The middle of a uniform one; what is written first otherwise."""
    if spread.kind == "uniform" and spread.second is not None:
        return (spread.first_ms + spread.second) / 2
    return Fraction(spread.first_ms)


def _owners(spec: ScenarioSpec) -> Iterator[Complaint]:
    needs = {"notified": "reaction", "repairs": "repairs_after", "replaces": "replaces_after"}
    for number, owner in enumerate(spec.owners):
        total = owner.automatic + owner.prompted + owner.never
        if total != 1:
            yield (
                f"owners.{number}",
                f"automatic, prompted and never that sum to {format_share(Fraction(total))}",
                "shares that sum to exactly 1",
            )
        if owner.phone_battery_low > owner.phone_battery_high:
            yield f"owners.{number}.phone_battery", "the higher charge first", "the lower charge first"
        for chance, time in needs.items():
            if getattr(owner, chance) and getattr(owner, time) is None:
                yield f"owners.{number}.{time}", '""', f"a duration, as owners.{number}.{chance} is above 0"
        if owner.notified and not owner.permit_notifications:
            yield (
                f"owners.{number}.permit_notifications",
                "0",
                f"more than 0, as owners.{number}.notified is above 0",
            )


def _batteries(spec: ScenarioSpec) -> Iterator[Complaint]:
    from simlib.scenario.calibration import cell_names

    cells = cell_names()
    for number, cohort in enumerate(spec.cohorts):
        if cohort.cell and cohort.cell not in cells:
            yield f"cohorts.{number}.cell", shown(cohort.cell), _one_of(cohort.cell, cells)
        if not cohort.cell and spec.precheck.battery_gate == "energy":
            yield (
                f"cohorts.{number}.cell",
                '""',
                'a battery, as precheck.battery_gate = "energy" is worked out from it',
            )
    for number, habit in enumerate(spec.habits):
        cells_of = [cohort.cell for cohort in spec.cohorts if cohort.habit == habit.name]
        use = f"[{format_share(habit.use_low)}, {format_share(habit.use_high)}]"
        for key, told, found, wanted in (
            ("use", habit.use_high > 0, use, "[0, 0]"),
            ("charge", habit.charge < 1, str(format_share(habit.charge)), "1"),
        ):
            if told and cells_of and not any(cells_of):
                yield f"habits.{number}.{key}", found, f"{wanted}, as no cohort with this habit has a cell"
    for number, owner in enumerate(spec.owners):
        cells_of = [cohort.cell for cohort in spec.cohorts if cohort.owner == owner.name]
        if owner.replaces and cells_of and not any(cells_of):
            found = str(format_share(owner.replaces))
            yield f"owners.{number}.replaces", found, "0, as no cohort with this owner has a cell"


def _defects(spec: ScenarioSpec) -> Iterator[Complaint]:
    hardware = list(dict.fromkeys(cohort.hardware for cohort in spec.cohorts))
    layouts = list(dict.fromkeys(cohort.layout for cohort in spec.cohorts))
    older = _older(spec)
    for number, defect in enumerate(spec.defects):
        for key, names, known in (
            ("hardware", defect.hardware, hardware),
            ("layouts", defect.layouts, layouts),
        ):
            for place, name in enumerate(names):
                if name not in known:
                    yield f"defects.{number}.{key}.{place}", shown(name), _one_of(name, known)
        if defect.effect == "drain" and not defect.drain_uw:
            yield f"defects.{number}.drain_uw", "0", 'a power in microwatts, as effect = "drain"'
        exposed = [
            cohort
            for cohort in spec.cohorts
            if (not defect.hardware or cohort.hardware in defect.hardware)
            and (not defect.layouts or cohort.layout in defect.layouts)
        ]
        if not exposed:
            yield (
                f"defects.{number}",
                "hardware and layouts that no cohort has together",
                "at least one that has",
            )
        elif defect.effect == "drain" and not any(cohort.cell for cohort in exposed):
            yield (
                f"defects.{number}.effect",
                '"drain"',
                "another one, as no cohort with this defect has a cell",
            )
        for place, behind in enumerate(defect.base_versions):
            if older is not None and behind > older:
                yield (
                    f"defects.{number}.base_versions.{place}",
                    str(behind),
                    f"at most {older}, the older firmwares of the chain",
                )


def _older(spec: ScenarioSpec) -> int | None:
    """How many firmwares there are behind the release; None for a corpus, where it shows when loaded."""
    if spec.release.source == "synthetic":
        return len(spec.release.steps)
    if spec.release.source == "files":  # with a forward fix, the newest of them is the fix
        return len(spec.release.files) - 1 - (spec.recovery.on_halt == "forward-fix")
    return None


def _flows(spec: ScenarioSpec) -> Iterator[Complaint]:
    published, steps = spec.release.published_ms, spec.release.stepping_stones
    if not published or list(published) != sorted(published):
        yield "release.published", f"{len(published)} times", "one or more times, the earliest first"
    if published and published[0] != 0:
        yield (
            "release.published.0",
            format_duration(published[0]),
            "0 ms: a rollout starts with something to offer",
        )
    if list(steps) != sorted(set(steps)):
        yield "release.stepping_stones", shown(list(steps)), "each once, the least first"
    older = _older(spec)
    if older is not None and len(published) > older + 1:
        yield (
            "release.published",
            f"{len(published)} times",
            f"at most {older + 1}, one for each of the chain",
        )
    if older is not None and steps and steps[-1] > older:
        yield (
            f"release.stepping_stones.{len(steps) - 1}",
            str(steps[-1]),
            f"at most {older}, the older firmwares of the chain",
        )
    if spec.report.late and spec.report.late_by is None:
        yield "report.late_by", '""', "a duration, as report.late is above 0"
    if spec.transfer.jitter == "decorrelated" and spec.transfer.backoff_ms == 0:
        yield "transfer.backoff", "0 ms", 'more than that, as transfer.jitter = "decorrelated"'
    if spec.recovery.on_halt != "stop" and len(published) > 1:
        yield (
            "recovery.on_halt",
            shown(spec.recovery.on_halt),
            '"stop", as release.published has several releases',
        )
    if spec.backup.required and spec.backup.to == "none":
        yield "backup.to", '"none"', "flash, phone or cloud, as backup.required is true"
    if spec.validation.probation_ms >= spec.rollout.deadline_ms:
        yield (
            "rollout.deadline",
            format_duration(spec.rollout.deadline_ms),
            f"more than validation.probation, {format_duration(spec.validation.probation_ms)}: "
            "nobody reports success before it is over",
        )
    for number, link in enumerate(spec.links):
        end = -1
        for place, outage in enumerate(link.outages):
            if outage.from_ms <= end:
                yield (
                    f"links.{number}.outages.{place}.from",
                    format_duration(outage.from_ms),
                    "outages in order, apart from each other",
                )
            end = outage.from_ms + outage.length_ms


FIELD_RULES: Final[tuple[Any, ...]] = (
    _references,
    _channels,
    _habits,
    _owners,
    _batteries,
    _defects,
    _flows,
    sources,
)
