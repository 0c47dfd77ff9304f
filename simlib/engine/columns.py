"""Where compiled code finds the columns of a table: what a named tuple of lists is to Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """Element `n` lies at the address in directory entry `slot` + n × `stride` + `offset`, `width` bytes of
    it.

    `default` is what an element of zero bytes means. With `spare`, a store of what is there already is left
    out, so that memory nobody changed is never touched. A `grid` column is indexed ``row * grid + part``;
    each part has a directory entry for its address and one for its stride. A `derived` column is what that
    function makes of the directory entry and the index. With `through`, the index is first looked up in the
    column of that name.
    """

    slot: int
    width: int = 8
    stride: int = 8
    offset: int = 0
    default: int = 0
    spare: bool = False
    grid: int = 0
    derived: Callable[..., int] | None = None
    through: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is an array by itself, which can be held by its address."""
        odd = self.derived or self.grid or self.through or self.offset or self.default
        return not odd and self.stride == self.width


Layout = Mapping[str, Column]
"""The columns of a table by their names."""


class CannotCompile(TypeError):
    """A function does what compiled code cannot."""
