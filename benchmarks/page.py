"""Write the figures on README.md: each of its sections from what stands in results/, none typed by hand.

    python benchmarks/page.py [--check]

A section lies between two marks, `measured: NAME` and `end`. With `--check` nothing is written; the exit
status is 1 if the page is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
NOTHING: Final = "*Not measured yet.*"
SECTION: Final = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(value: float) -> str:
    """Three figures that count."""
    return f"{value:.{max(0, 2 - _exponent(value))}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def megabytes(value: float | None) -> str:
    """Whole ones."""
    return "unknown" if value is None else f"{value:,.0f}"


def on_machine(machine: Mapping[str, Any]) -> str:
    """One line about what was measured on."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['logical_cores']} logical cores, {machine['memory_gib']} GiB; "
        f"{machine['system']}; {machine['python']}; {packages}; load before {machine['load_before']}; "
        f"{machine['date']}."
    )


def clocks(results: Path) -> str:
    """simlib's clocks on the frozen scenario."""
    parts = []
    for facts in _of_sizes(results, "clocks"):
        engines = facts["engines"]
        slowest = max(e["seconds_median"] for e in engines.values())
        rows = [
            (
                name,
                str(e["runs"]),
                *(seconds(e[f"seconds_{which}"]) for which in ("min", "median", "max")),
                f"{e['events']:,}",
                f"{e['us_per_device']:.2f}",
                f"{e['ns_per_event']:,.0f}",
                megabytes(e["peak_rss_mb"]),
                seconds(e["total_s"]),
                f"{slowest / e['seconds_median']:,.1f}",
            )
            for name, e in engines.items()
        ]
        header = (
            "clock",
            "runs",
            "least s",
            "median s",
            "most s",
            "events",
            "µs a device",
            "ns an event",
            "MB",
        )
        equal = "Digests equal." if facts["digests_equal"] else "**Digests differ.**"
        parts.append(
            f"{facts['devices']:,} devices. {equal} {on_machine(facts['machine'])}\n\n"
            + table((*header, "in all s", "times as fast as the slowest"), rows)
        )
    return "\n\n".join(parts)


def reference(results: Path) -> str:
    """The reference model in all simulators."""
    parts = []
    for facts in _of_sizes(results, "reference"):
        ran = {name: e for name, e in facts["implementations"].items() if "seconds_median" in e}
        medians = [e["seconds_median"] for e in ran.values()]
        rows = [
            (
                f"{name} ({', '.join(f'{package} {version}' for package, version in e['versions'].items())})",
                str(e["runs"]),
                *(seconds(e[f"seconds_{which}"]) for which in ("min", "median", "max")),
                f"{e['us_per_device']:.3f}",
                f"{e['ns_per_event']:,.0f}",
                megabytes(e["peak_rss_mb"]),
                f"{max(medians) / e['seconds_median']:,.1f}",
                f"{e['seconds_median'] / min(medians):,.1f}",
            )
            for name, e in ran.items()
        ]
        header = (
            "implementation",
            "runs",
            "least s",
            "median s",
            "most s",
            "µs a device",
            "ns an event",
            "MB",
        )
        lines = [
            f"{facts['devices']:,} devices. {on_machine(facts['machine'])}",
            table((*header, "times as fast as the slowest", "times as slow as the fastest"), rows),
        ]
        for name, e in facts["implementations"].items():
            lines += [f"{name}: {what}: {why}" for what, why in e.items() if name not in ran]
        lines += [f"**{complaint}**" for complaint in facts["disagreements"]]
        parts.append("\n\n".join(lines))
    return "\n\n".join(parts)


def scaling(results: Path) -> str:
    """The curve."""
    path = results / "scaling.json"
    if not path.is_file():
        return ""
    facts = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for p in facts["points"]:
        if "failed" in p:
            rows.append((p["engine"], f"{p['devices']:,}", p["failed"], *[""] * 5))
            continue
        figures = [seconds(p[key]) for key in ("clock_s", "setup_s", "total_s", "first_total_s")]
        micro = f"{1e6 * p['clock_s'] / p['devices']:.3f}"
        rows.append((p["engine"], f"{p['devices']:,}", *figures, micro, megabytes(p["peak_rss_mb"])))
    slopes = [
        f"{engine}: exponent {s['exponent']} from {s['from']:,} to {s['to']:,} devices."
        for engine, s in facts["slopes"].items()
        if s
    ]
    header = (
        "clock",
        "devices",
        "clock s",
        "set-up s",
        "in all s",
        "first run in all s",
        "µs a device",
        "MB",
    )
    picture = "![seconds and memory over the size of the fleet](results/scaling.png)"
    return "\n\n".join([on_machine(facts["machine"]), table(header, rows), *slopes, picture])


SECTIONS: Final[Mapping[str, Callable[[Path], str]]] = {
    "clocks": clocks,
    "reference": reference,
    "scaling": scaling,
}


def written(page: str, results: Path) -> str:
    """`page` with its sections as the results say. KeyError for a section that there is not."""
    return SECTION.sub(
        lambda found: f"{found[1]}\n{SECTIONS[found[2]](results) or NOTHING}\n\n{found[3]}", page
    )


def _of_sizes(results: Path, kind: str) -> list[dict[str, Any]]:
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in results.glob(f"{kind}-*.json")]
    return sorted(facts, key=lambda one: int(one["devices"]))


def main(given: list[str] | None = None) -> int:
    """Write the page, or see whether it is as it should be."""
    parser = argparse.ArgumentParser(description="The figures on README.md, from results/.")
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(given).check
    path = HERE / "README.md"
    before = path.read_text(encoding="utf-8")
    after = written(before, HERE / "results")
    if not check:
        path.write_text(after, encoding="utf-8")
    return 1 if check and after != before else 0


if __name__ == "__main__":
    sys.exit(main())
