"""From plain integer functions over tables of columns to a module of LLVM's intermediate representation.

The life-cycle, the queue and the links are written once, as Python functions whose tables are named tuples
of indexable columns (``fleet.phase[i]``). In compiled code a table is one address: of a directory whose
entries say where each column lies, as its `Column` describes. What a function computes is what its source
says.

What the functions may do: integers, their arithmetic and comparisons, `min`, `max`, `abs`, `divmod`, `int`,
`bool`, loops with `while` and over `range`, and calls of each other. Anything else is refused with the
place it stands at.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any, Final

from llvmlite import ir

from simlib.engine.column_access import WORD
from simlib.engine.columns import CannotCompile, Column, Layout
from simlib.engine.lowering import Lowering

Native = Callable[[ir.IRBuilder, list[Any]], None]
"""Writes what a call of a function without a result does."""
_WORDS: Final = Column(0)


class Program:
    """One module, grown from the functions that its exports reach."""

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        *,
        arrays: Collection[str] = (),
        unsigned: Collection[Callable[..., Any]] = (),
        natives: Mapping[Callable[..., Any], Native] | None = None,
    ) -> None:
        """`layouts` are by the name of a table's class, as parameters are annotated with it.

        A parameter whose annotation is in `arrays` is the address of an array of 64-bit integers. In
        functions of `unsigned` a shift to the right brings in zeros. `natives` are written by hand.
        """
        self.module = ir.Module(name="simlib")
        self._layouts = layouts
        self._arrays = frozenset(arrays)
        self._unsigned = {id(function) for function in unsigned}
        self._natives = {id(function): native for function, native in (natives or {}).items()}
        self._made: dict[int, ir.Function] = {}
        self._nodes: dict[int, ast.FunctionDef] = {}
        self._results: dict[int, int] = {}
        self._waiting: list[FunctionType] = []

    def export(self, name: str, function: FunctionType) -> None:
        """Compile `function` and all that it reaches, callable as `name`. Raises `CannotCompile`."""
        inner = self._function(function)
        outer = ir.Function(self.module, inner.function_type, name)
        builder = ir.IRBuilder(outer.append_basic_block())
        builder.ret(builder.call(inner, outer.args))
        while self._waiting:
            self._lower(self._waiting.pop())

    def call(self, builder: ir.IRBuilder, function: FunctionType, arguments: list[Any]) -> Any:
        """The result of calling `function`: a value, or a list of them."""
        native = self._natives.get(id(function))
        if native is not None:
            native(builder, arguments)
            return ir.Constant(WORD, 0)
        made = self._function(function)
        result = builder.call(made, arguments)
        several = self._results[id(function)]
        return result if several == 1 else [builder.extract_value(result, at) for at in range(several)]

    def _function(self, function: FunctionType) -> ir.Function:
        """What stands for `function`; its body follows."""
        made = self._made.get(id(function))
        if made is None:
            node = self._node(function)
            several = self._count_results(function)
            result = WORD if several == 1 else ir.LiteralStructType([WORD] * several)
            kind = ir.FunctionType(result, [WORD] * len(node.args.args))
            made = ir.Function(self.module, kind, f"{function.__module__}.{function.__name__}")
            made.linkage = "internal"
            made.attributes.add("nounwind")
            self._made[id(function)] = made
            self._waiting.append(function)
        return made

    def _node(self, function: FunctionType) -> ast.FunctionDef:
        node = self._nodes.get(id(function))
        if node is None:
            code = function.__code__
            place = f"{code.co_filename}:{code.co_firstlineno}: {function.__name__}"
            try:
                tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
            except (OSError, SyntaxError) as error:
                raise CannotCompile(
                    f"{place}: found no source of a function, expected it in a file"
                ) from error
            if not isinstance(tree, ast.FunctionDef):
                raise CannotCompile(f"{place}: found no plain function, expected one")
            node = self._nodes[id(function)] = tree
        return node

    def _count_results(self, function: FunctionType) -> int:
        """How many values `function` returns: what its first return that tells says."""
        known = self._results.get(id(function))
        if known is None:
            self._results[id(function)] = 1  # for one that returns a call of itself
            returned = [n.value for n in ast.walk(self._node(function)) if isinstance(n, ast.Return)]
            known = max((self._count(function, value) for value in returned), default=1)
            self._results[id(function)] = known
        return known

    def _count(self, function: FunctionType, value: ast.expr | None) -> int:
        if isinstance(value, ast.Tuple):
            return len(value.elts)
        if isinstance(value, ast.IfExp):
            return max(self._count(function, value.body), self._count(function, value.orelse))
        if isinstance(value, ast.Call):
            if isinstance(value.func, ast.Name):
                called = function.__globals__.get(value.func.id)
                if called is None and value.func.id == "divmod":
                    return 2
            else:
                owner = ast.unparse(value.func).split(".")
                called = getattr(function.__globals__.get(owner[0]), owner[-1], None)
            if isinstance(called, FunctionType) and id(called) not in self._natives:
                return self._count_results(called)
        return 1

    def _lower(self, function: FunctionType) -> None:
        node = self._node(function)
        tables: dict[str, Layout] = {}
        aliases: dict[str, Column] = {}
        for argument in node.args.args:
            annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
            if annotation in self._layouts:
                tables[argument.arg] = self._layouts[annotation]
            elif annotation in self._arrays:
                aliases[argument.arg] = _WORDS
        unsigned = id(function) in self._unsigned
        Lowering(self, function, node, self._made[id(function)], tables, aliases, unsigned=unsigned)
