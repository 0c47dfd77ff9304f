"""A run's summary as lines for a person; `--json` prints the same facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from simlib.cli.output import say, say_table

_GROUP_COUNTS: Final = ("offered", "updated", "reverted", "bricked", "lost", "failed", "silent")
_MS_PER_MINUTE: Final = 60_000
_MINUTES_PER_DAY: Final = 1_440

_STOPPED: Final = {"cancel": "HALTED after", "pause": "PAUSED after", "disable": "DISABLED after"}


def print_summary(title: str, summary: dict[str, Any], groups: Any, folder: Path) -> None:
    """Outcomes, groups, times and costs. `groups` is the run's table of them."""
    devices = summary["devices"]
    say(f"{summary['scenario']}: {title}")
    clock = f"{summary['engine']} clock{_why(summary)}, {summary['events']:,} events"
    say(f"{devices:,} devices, seed {summary['seed']}, {clock}")
    say("\noutcomes")
    counts = {outcome: count for outcome, count in summary["outcomes"].items() if count}
    say_table([(outcome, f"{count:,}", f"{count / devices:.3%}") for outcome, count in counts.items()])
    say("\ngroups")
    rows = [
        (
            group.group,
            *(f"{getattr(group, column):,}" for column in _GROUP_COUNTS),
            span(group.opened_ms if group.opened_ms >= 0 else None),
            group.decision,
        )
        for group in groups.itertuples()
    ]
    say_table([("group", *_GROUP_COUNTS, "opened", "gate"), *rows])
    say()
    say_table(_facts(summary))
    seconds = f"{summary['total_s']:.1f} s (bench {summary['bench_s']:.1f}, clock {summary['wall_s']:.1f})"
    say(f"\ndigest {summary['digest'][:12]}  {seconds}  {folder}")


def _why(summary: dict[str, Any]) -> str:
    """Why this clock, where it was not asked for by name."""
    if summary.get("engine_asked") != "auto":
        return ""
    most = f"{summary['simpy_up_to']:,} devices"
    return f" (chosen: {'up to' if summary['engine'] == 'simpy' else 'more than'} {most})"


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("half the fleet updated after", span(summary["time_to_50_ms"])),
        ("90 % after", span(summary["time_to_90_ms"])),
        ("95 % after", span(summary["time_to_95_ms"])),
        ("downloaded", f"{summary['bytes_down'] / 1e9:.3f} GB"),
        ("of it wasted", f"{summary['bytes_wasted'] / 1e9:.3f} GB"),
        ("radio energy", f"{summary['energy_radio_uj'] / 1e6:,.0f} J"),
        ("flash energy", f"{summary['energy_flash_uj'] / 1e6:,.0f} J"),
        ("compute energy", f"{summary['energy_compute_uj'] / 1e6:,.0f} J"),
        ("idle polls", f"{summary['energy_idle_uj'] / 1e6:,.0f} J"),
    ]
    for stop in summary["stops"]:
        facts.append((_STOPPED[stop["decision"]], f"{span(stop['at_ms'])}  {stop['reason']}"))
        facts.append(("exposed then", ", ".join(f"{n:,} {what}" for what, n in stop["exposure"].items())))
        if stop["resumed_at_ms"] is not None:
            facts.append(("resumed after", span(stop["resumed_at_ms"])))
    if summary.get("exposed_device_days"):
        facts.append(("exposed to the exploit", f"{summary['exposed_device_days']:,.0f} device-days"))
    if summary.get("harm"):
        facts.append(("harm", _harm(summary["harm"])))
    if summary.get("keys"):
        facts.append(("keys kept in", summary["keys"]))
    if summary.get("inventory"):
        told = summary["inventory"]
        facts.append(("inventory", f"{told['rows_used']:,} of {told['rows_read']:,} rows used"))
    if summary.get("recalled_figures"):
        facts.append(("recalled figures", f"{len(summary['recalled_figures'])}, named in summary.json"))
    if "interrupted_at_ms" in summary:
        facts.append(("INTERRUPTED after", span(summary["interrupted_at_ms"])))
    return facts


def _harm(harm: dict[str, Any]) -> str:
    parts = [
        f"{part} {cost:,.2f}"
        for part, cost in harm.items()
        if part not in ("currency", "total") and cost is not None
    ]
    return f"{harm['total']:,.2f} {harm['currency']} ({', '.join(parts)})"


def span(time_ms: int | None) -> str:
    """A time since the start for a person: days and hours."""
    if time_ms is None:
        return "never"
    days, minutes = divmod(time_ms // _MS_PER_MINUTE, _MINUTES_PER_DAY)
    return f"{days} d {minutes // 60:02d} h {minutes % 60:02d} min"
