"""What was read from an inventory, what was dropped or taken otherwise than written, and what stands in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simlib.scenario.toml_text import one_line, shown


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """The account of one file. The reasons and repairs are names, never free text."""

    file: str
    kind: str  # "CSV in UTF-8", "Parquet", …
    rows_read: int
    rows_used: int
    columns: tuple[tuple[str, str], ...]  # field, the file's column it was read from
    ignored: tuple[str, ...]  # columns that no field takes
    dropped: tuple[tuple[str, int, str], ...]  # reason, rows, an example
    repaired: tuple[tuple[str, int, str], ...]  # what was taken otherwise than written, rows, an example
    missing: tuple[tuple[str, str], ...]  # field, what stands in for it
    as_of: str  # the time "last seen" is counted back from; "" where the file names none

    def lines(self) -> Iterator[str]:
        """The report for a person, a fact a line."""
        yield f"{one_line(self.file)}: {self.kind}, {self.rows_read} rows read, {self.rows_used} used"
        for field, column in self.columns:
            yield f"read: {field} from column {shown(column)}"
        if self.ignored:
            yield f"ignored: columns {shown(self.ignored)}"
        if self.as_of:
            yield f"as of: {self.as_of}, the newest last_seen in the file"
        for reason, count, example in self.dropped:
            yield f"dropped: {count} rows, {reason}, such as {shown(example)}"
        for what, count, example in self.repaired:
            yield f"repaired: {count} rows, {what}, such as {shown(example)}"
        for field, instead in self.missing:
            yield f"missing: {field}, {instead}"

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return {
            "file": self.file,
            "kind": self.kind,
            "rows_read": self.rows_read,
            "rows_used": self.rows_used,
            "columns": dict(self.columns),
            "ignored": list(self.ignored),
            "dropped": [{"reason": r, "rows": n, "example": e} for r, n, e in self.dropped],
            "repaired": [{"what": w, "rows": n, "example": e} for w, n, e in self.repaired],
            "missing": [{"field": f, "instead": i} for f, i in self.missing],
            "as_of": self.as_of,
        }
