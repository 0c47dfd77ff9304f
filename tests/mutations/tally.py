"""What a campaign has found, counted: it adds up over workers, and is shown as tables or as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from simlib.errors import Reason
from tests.mutations.dice import Family

ACCEPTED = "accepted"
KIB = 1 << 10
OUGHT_TO_OCCUR = (
    *(Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.HEADER_INVALID, Reason.TLV_INVALID, Reason.TLV_UNKNOWN),
    *(Reason.TLV_DUPLICATE, Reason.HASH_MISSING, Reason.HASH_MISMATCH, Reason.KEY_UNKNOWN),
    *(Reason.SIGNATURE_MISSING, Reason.SIGNATURE_INVALID, Reason.SECURITY_COUNTER_MISSING),
    *(Reason.KEY_REVOKED, Reason.VENDOR_MISMATCH, Reason.CLASS_MISMATCH),
    *(Reason.SECURITY_COUNTER_LOW, Reason.TRAILING_BYTES, Reason.DECRYPTION_FAILED, Reason.OVERSIZE),
    *(Reason.NOT_A_PATCH, Reason.CODEC_UNKNOWN, Reason.PATCH_DAMAGED, Reason.WRONG_BASE),
    *(Reason.VERSION_LOW, Reason.LOAD_ADDRESS_WRONG, Reason.MEMORY_SHORT),
    *(Reason.RESULT_MISMATCH, Reason.MANIFEST_INVALID, Reason.ARTEFACT_MISMATCH, Reason.STORAGE_SHORT),
    *(Reason.HARDWARE_MISMATCH, Reason.NO_ARTEFACT, Reason.ALREADY_INSTALLED, Reason.TRIAL_PENDING),
)
"""The reasons an image, a patch or an artefact can be refused for; the others are about something else."""


@dataclass
class Worst:
    """The case that took most of something."""

    amount: float = 0.0
    of: float = 0.0  # what it might have taken
    case: int = -1

    def see(self, amount: float, of: float, case: int) -> None:
        if amount > self.amount:
            self.amount, self.of, self.case = amount, of, case


@dataclass
class Way:
    """All cases that went one way."""

    verdicts: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # of the processor, without making the mutants
    slowest: Worst = field(default_factory=Worst)
    largest: Worst = field(default_factory=Worst)  # peak memory [byte] of those traced
    traced: int = 0

    def add(self, other: Way) -> None:
        self.verdicts += other.verdicts
        self.done += other.done
        self.seconds += other.seconds
        self.traced += other.traced
        for mine, theirs in ((self.slowest, other.slowest), (self.largest, other.largest)):
            mine.see(theirs.amount, theirs.of, theirs.case)


@dataclass
class Tally:
    """All cases of a campaign, or of a part of it."""

    ways: dict[str, Way] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)

    def way(self, name: str) -> Way:
        return self.ways.setdefault(name, Way())

    def add(self, other: Tally) -> None:
        for name, way in other.ways.items():
            self.way(name).add(way)
        self.defects += other.defects

    def defect(self, seed: int, family: Family, case: int, found: str) -> None:
        again = f"--seed {seed} --family {family.name.lower()} --case {case}"
        self.defects.append(f"{found} [python -m tests.mutations.campaign {again}]")

    def reasons(self) -> set[str]:
        """Every reason that occurred."""
        return {verdict for way in self.ways.values() for verdict in way.verdicts} & set(Reason)

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "ways": {
                name: {
                    "cases": way.verdicts.total(),
                    "verdicts": dict(sorted(way.verdicts.items())),
                    "mutations": dict(sorted(way.done.items())),
                    "cpu_s": round(way.seconds, 3),
                    "slowest_ms": round(1e3 * way.slowest.amount, 3),
                    "slowest_case": way.slowest.case,
                    "traced": way.traced,
                    "peak_bytes": int(way.largest.amount),
                    "peak_bound_bytes": int(way.largest.of),
                    "peak_case": way.largest.case,
                }
                for name, way in sorted(self.ways.items())
            },
            "reasons": sorted(self.reasons()),
            "never": [reason for reason in OUGHT_TO_OCCUR if reason not in self.reasons()],
            "defects": self.defects,
        }

    def as_text(self) -> str:
        """Tables: a column a way, a row a verdict; then what it took; then what is missing or wrong."""
        names = sorted(self.ways)
        ways = [self.ways[name] for name in names]
        rows = [["", *names]]
        verdicts = {verdict for way in ways for verdict in way.verdicts}
        order = [ACCEPTED, *Reason, *sorted(verdicts - {ACCEPTED, *Reason})]
        for verdict in [verdict for verdict in order if verdict in verdicts]:
            rows.append([verdict, *(_count(way.verdicts[verdict]) for way in ways)])
        rows.append(["all cases", *(_count(way.verdicts.total()) for way in ways)])
        rows.append(["", *("" for _ in ways)])
        rows.append(["processor [s]", *(f"{way.seconds:.1f}" for way in ways)])
        rows.append(["slowest case [ms]", *(f"{1e3 * way.slowest.amount:.1f}" for way in ways)])
        rows.append(["cases traced", *(_count(way.traced) for way in ways)])
        rows.append(["peak memory [KiB]", *(_count(int(way.largest.amount) // KIB) for way in ways)])
        rows.append(["its bound [KiB]", *(_count(int(way.largest.of) // KIB) for way in ways)])
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]
        reached = self.reasons()
        never = [reason for reason in OUGHT_TO_OCCUR if reason not in reached]
        lines += [
            "",
            f"{len(reached)} reasons occurred; never: {', '.join(never) or 'none of those that can'}",
        ]
        lines += [f"{len(self.defects)} defects", *self.defects]
        return "\n".join(line.rstrip() for line in lines)


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"
