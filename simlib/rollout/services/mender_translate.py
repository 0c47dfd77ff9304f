"""A staged rollout as a Mender deployment: percentages, and starts that are the sums of the soak times."""

from __future__ import annotations

from fractions import Fraction

from simlib.rollout.service import Translation
from simlib.rollout.services.calendar import START, format_instant, instant
from simlib.scenario.model import ScenarioSpec


def translation(spec: ScenarioSpec) -> Translation:
    """The nearest deployment, and what it cannot say. A phase has a whole percentage and at least one
    device.
    """
    groups = spec.rollout.groups
    lost: list[str] = []
    phases: list[dict[str, object]] = []
    start_ms, planned, given = instant(START), Fraction(0), 0
    least = -(-100 // spec.devices)  # per cent of a single device
    for number, group in enumerate(groups):
        phase: dict[str, object] = {"start_ts": format_instant(start_ms)}
        start_ms += group.soak_ms
        last = number + 1 == len(groups)
        if not last and group.share is not None:
            planned += 100 * group.share
            percent = max(round(planned) - given, least, 1)
            if given + percent + least > 100:
                lost.append(f"rollout.groups.{number}: no whole percentage is left for it")
                continue
            given += percent
            phase["batch_size"] = percent
            if percent != 100 * group.share:
                lost.append(
                    f"rollout.groups.{number}.share: {_percent(100 * group.share)} % became {percent} %, "
                    "a phase is a whole percentage"
                )
        phases.append(phase)
    for number in range(len(groups) - 1):
        lost += [
            f"rollout.groups.{number}.success_threshold: no gate, the next phase opens by time",
            f"rollout.groups.{number}.soak: counted from the phase's start, not from its success",
        ]
    lost += [
        "rollout.groups.*.error_threshold: no gate, nothing stops the deployment by itself",
        "rollout.groups.*.min_sample: no gate",
        "rollout.deadline: a silent device is not a failed one",
        "rollout.interval: phases open at their start",
    ]
    if any(group.gate != "threshold" for group in groups):
        lost.append("rollout.groups.*.gate: no gate")
    if spec.rollout.window is not None:
        lost.append("rollout.window: only the start of phases is scheduled")
    if spec.rollout.abort_downloads:
        lost.append("rollout.abort_downloads: an abort is by hand")
    return Translation(
        {
            "name": spec.name,
            "artifact_name": f"{spec.name}-release",
            "phases": phases,
            "retries": min(spec.transfer.rounds - 1, 999),
        },
        tuple(lost),
    )


def _percent(amount: Fraction) -> str:
    return str(amount) if amount.denominator == 1 else f"{float(amount):.4g}"
