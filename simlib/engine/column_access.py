"""Loads and stores of a function's columns: ``table.column[index]`` as addresses.

A table is the address of its directory; where a column lies, its `Column` says. What an index comes to is
left to `simlib.engine.expressions`.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Final, Protocol

from llvmlite import ir

from simlib.engine.columns import CannotCompile, Column, Layout

WORD: Final = ir.IntType(64)


class Program(Protocol):
    """What the lowering of one function asks of the whole."""

    def call(self, builder: ir.IRBuilder, function: FunctionType, arguments: list[Any]) -> Any:
        """The result of calling `function`: a value, or a list of them."""


class ColumnAccess(ABC):
    """The columns that one function uses; `tables` are its parameters that are tables, `aliases` arrays."""

    def __init__(
        self,
        program: Program,
        function: FunctionType,
        builder: ir.IRBuilder,
        tables: Mapping[str, Layout],
        aliases: Mapping[str, Column],
    ) -> None:
        self._program = program
        self._function = function
        self._b = builder
        self._tables = tables
        self._aliases = dict(aliases)
        self._places: dict[str, Any] = {}  # of local names

    @abstractmethod
    def _value(self, node: ast.expr) -> Any:
        """What an expression of one value comes to."""

    def _refuse(self, node: ast.AST, what: str) -> CannotCompile:
        code = self._function.__code__
        line = code.co_firstlineno + getattr(node, "lineno", 1) - 1
        return CannotCompile(f"{code.co_filename}:{line}: {self._function.__name__}: {what}")

    def _column(self, node: ast.expr) -> tuple[Any, Column] | None:
        """The table's address and the column that ``table.column`` names."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            layout = self._tables.get(node.value.id)
            if layout is not None:
                if node.attr not in layout:
                    raise self._refuse(node, f"found column {node.attr}, expected one of the layout")
                return self._b.load(self._places[node.value.id], typ=WORD), layout[node.attr]
        return None

    def _of_Subscript(self, node: ast.Subscript) -> Any:
        found = self._column(node.value)
        if found is not None and found[1].derived is not None:
            table, column = found
            assert isinstance(column.derived, FunctionType)
            arguments = [self._entry(table, column.slot), self._value(node.slice)]
            return self._program.call(self._b, column.derived, arguments)
        return self._load(*self._place(node))

    def _place(self, node: ast.Subscript) -> tuple[Column, Any]:
        """Column and address of ``table.column[index]`` or ``alias[index]``."""
        found = self._column(node.value)
        if found is not None:
            table, column = found
            if column.derived is not None:
                raise self._refuse(node, f"found a store to {ast.unparse(node)}, which is derived")
            if column.grid:
                return column, self._grid(table, column, node.slice)
            index = self._value(node.slice)
            if column.through:
                assert isinstance(node.value, ast.Attribute)
                assert isinstance(node.value.value, ast.Name)
                between = self._tables[node.value.value.id][column.through]
                index = self._load(between, self._address(self._entry(table, between.slot), between, index))
            return column, self._address(self._entry(table, column.slot), column, index)
        if isinstance(node.value, ast.Name) and node.value.id in self._aliases:
            column = self._aliases[node.value.id]
            start = self._b.load(self._places[node.value.id], typ=WORD)
            return column, self._address(start, column, self._value(node.slice))
        raise self._refuse(node, f"found {ast.unparse(node)}, expected an access to a table's column")

    def _grid(self, table: Any, column: Column, index: ast.expr) -> Any:
        product = index.left if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add) else None
        if not isinstance(product, ast.BinOp) or not isinstance(product.op, ast.Mult):
            raise self._refuse(index, "found another index of a grid, expected row * parts + part")
        assert isinstance(index, ast.BinOp)
        parts = self._value(product.right)
        if not isinstance(parts, ir.Constant) or parts.constant != column.grid:
            raise self._refuse(index, f"found {ast.unparse(index)}, expected row * {column.grid} + part")
        row, part = self._value(product.left), self._value(index.right)
        entries = self._b.add(table, self._b.mul(part, ir.Constant(WORD, 16)))
        start, stride = self._entry(entries, column.slot), self._entry(entries, column.slot + 1)
        return self._b.add(start, self._b.mul(row, stride))

    def _address(self, start: Any, column: Column, index: Any) -> Any:
        far = self._b.mul(index, ir.Constant(WORD, column.stride))
        return self._b.add(self._b.add(start, far), ir.Constant(WORD, column.offset))

    def _entry(self, table: Any, slot: int) -> Any:
        """A directory entry; it stays what it is while compiled code runs."""
        address = self._b.add(table, ir.Constant(WORD, 8 * slot))
        value = self._b.load(self._b.inttoptr(address, WORD.as_pointer()), typ=WORD)
        value.set_metadata("invariant.load", self._b.module.add_metadata([]))
        return value

    def _load(self, column: Column, address: Any) -> Any:
        kind = ir.IntType(8 * column.width)
        value = self._b.load(self._b.inttoptr(address, kind.as_pointer()), typ=kind)
        if column.width < 8:
            value = self._b.sext(value, WORD)
        return self._b.add(value, ir.Constant(WORD, column.default)) if column.default else value

    def _store(self, column: Column, address: Any, value: Any) -> None:
        kind = ir.IntType(8 * column.width)
        pointer = self._b.inttoptr(address, kind.as_pointer())
        if column.default:
            value = self._b.sub(value, ir.Constant(WORD, column.default))
        if column.width < 8:
            value = self._b.trunc(value, kind)
        if not column.spare:
            self._b.store(value, pointer)
            return
        there = self._b.load(pointer, typ=kind)
        with self._b.if_then(self._b.icmp_signed("!=", there, value)):
            self._b.store(value, pointer)
