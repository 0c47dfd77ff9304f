"""One function at a time from Python's syntax tree to LLVM's intermediate representation: its statements."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from llvmlite import ir

from simlib.engine.column_access import WORD, Program
from simlib.engine.columns import Column, Layout
from simlib.engine.expressions import Expressions


class Lowering(Expressions):
    """Lowers one function; `tables` are its parameters that are tables, `aliases` those that are arrays."""

    def __init__(
        self,
        program: Program,
        function: FunctionType,
        node: ast.FunctionDef,
        into: ir.Function,
        tables: Mapping[str, Layout],
        aliases: Mapping[str, Column],
        *,
        unsigned: bool,
    ) -> None:
        builder = ir.IRBuilder(into.append_basic_block("entry"))
        super().__init__(program, function, builder, tables, aliases)
        self._unsigned = unsigned
        self._loops: list[tuple[Any, Any]] = []  # where `continue` and `break` go
        self._check_shape(node)
        names = [argument.arg for argument in node.args.args]
        assigned = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        for name in dict.fromkeys([*names, *assigned]):
            self._places[name] = self._b.alloca(WORD, name=name)
        for name, value in zip(names, into.args, strict=True):
            self._b.store(value, self._places[name])
        self._returns = into.function_type.return_type
        self._body(node.body)
        if not self._b.block.is_terminated:
            if isinstance(self._returns, ir.IntType):
                self._b.ret(ir.Constant(WORD, 0))
            else:
                self._b.unreachable()

    def _check_shape(self, node: ast.FunctionDef) -> None:
        given = node.args
        if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
            raise self._refuse(node, "found arguments of another kind, expected plain ones without defaults")
        if node.decorator_list:
            raise self._refuse(node, "found a decorator, expected none")
        if self._function.__code__.co_freevars:
            raise self._refuse(node, "found names of an enclosing function, expected none")

    def _body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if self._b.block.is_terminated:
                return  # what follows a return is never reached
            lower = getattr(self, f"_do_{type(statement).__name__}", None)
            if lower is None:
                found = ast.unparse(statement).splitlines()[0]
                raise self._refuse(statement, f"found {found}, expected plain statements")
            lower(statement)

    def _do_Pass(self, node: ast.Pass) -> None:
        pass

    def _do_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self._lower(node.value)

    def _do_Return(self, node: ast.Return) -> None:
        if node.value is None:
            if not isinstance(self._returns, ir.IntType):
                raise self._refuse(node, "found no result, expected as many as elsewhere")
            self._b.ret(ir.Constant(WORD, 0))
            return
        values = self._values(node.value)
        if isinstance(self._returns, ir.IntType):
            if len(values) != 1:
                raise self._refuse(node, f"found {len(values)} results, expected one as elsewhere")
            self._b.ret(values[0])
            return
        if len(values) != len(self._returns.elements):
            raise self._refuse(node, f"found {len(values)} results, expected as many as elsewhere")
        packed = ir.Constant(self._returns, ir.Undefined)
        for at, value in enumerate(values):
            packed = self._b.insert_value(packed, value, at)
        self._b.ret(packed)

    def _do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) != 1:
            raise self._refuse(node, "found several targets, expected one")
        (target,) = node.targets
        if isinstance(target, ast.Tuple):
            if isinstance(node.value, ast.Tuple) and len(node.value.elts) == len(target.elts):
                for each, value in zip(target.elts, node.value.elts, strict=True):
                    self._note_alias(each, value)
            values = self._values(node.value)
            if len(values) != len(target.elts):
                raise self._refuse(node, f"found {len(values)} values for {len(target.elts)} targets")
            for each, value in zip(target.elts, values, strict=True):
                self._assign(each, value)
            return
        self._note_alias(target, node.value)
        self._assign(target, self._value(node.value))

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._note_alias(node.target, node.value)
            self._assign(node.target, self._value(node.value))

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            held = self._b.load(self._places[node.target.id], typ=WORD)
            self._assign(node.target, self._arithmetic(node, node.op, held, self._value(node.value)))
            return
        if not isinstance(node.target, ast.Subscript):
            raise self._refuse(node, "found another target, expected a name or a column")
        column, address = self._place(node.target)
        before = self._load(column, address)
        self._store(column, address, self._arithmetic(node, node.op, before, self._value(node.value)))

    def _note_alias(self, target: ast.expr, value: ast.expr) -> None:
        found = self._column(value)
        if found is not None and isinstance(target, ast.Name):
            known = self._aliases.setdefault(target.id, found[1])
            if known.width != found[1].width:
                raise self._refuse(value, f"found columns of two widths for {target.id}, expected one")

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._b.store(value, self._places[target.id])
        elif isinstance(target, ast.Subscript):
            column, address = self._place(target)
            self._store(column, address, value)
        else:
            raise self._refuse(target, f"found {ast.unparse(target)}, expected a name or a column")

    def _do_If(self, node: ast.If) -> None:
        then, otherwise, after = (self._b.append_basic_block(name) for name in ("then", "else", "after"))
        self._b.cbranch(self._truth(node.test), then, otherwise)
        for block, statements in ((then, node.body), (otherwise, node.orelse)):
            self._b.position_at_end(block)
            self._body(statements)
            if not self._b.block.is_terminated:
                self._b.branch(after)
        self._b.position_at_end(after)

    def _do_While(self, node: ast.While) -> None:
        if node.orelse:
            raise self._refuse(node, "found an else of a loop, expected none")
        test, body, after = (self._b.append_basic_block(name) for name in ("test", "body", "after"))
        self._b.branch(test)
        self._b.position_at_end(test)
        self._b.cbranch(self._truth(node.test), body, after)
        self._loop(body, node.body, test, after)

    def _loop(self, body: Any, statements: list[ast.stmt], again: Any, after: Any) -> None:
        self._b.position_at_end(body)
        self._loops.append((again, after))
        self._body(statements)
        self._loops.pop()
        if not self._b.block.is_terminated:
            self._b.branch(again)
        self._b.position_at_end(after)

    def _do_For(self, node: ast.For) -> None:
        call = node.iter
        is_range = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
        if not is_range or not isinstance(node.target, ast.Name) or node.orelse:
            raise self._refuse(node, "found another loop, expected one over a range")
        assert isinstance(call, ast.Call)
        if not 1 <= len(call.args) <= 3 or call.keywords:
            raise self._refuse(node, f"found {ast.unparse(call)}, expected one to three bounds")
        bounds = [self._value(argument) for argument in call.args]
        start, stop = (ir.Constant(WORD, 0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else ir.Constant(WORD, 1)
        if not isinstance(step, ir.Constant) or step.constant == 0:
            raise self._refuse(node, "found a step that varies or is 0, expected a constant one")
        count = self._room()
        self._b.store(start, count)
        names = ("test", "body", "again", "after")
        test, body, again, after = (self._b.append_basic_block(name) for name in names)
        self._b.branch(test)
        self._b.position_at_end(test)
        at = self._b.load(count, typ=WORD)
        self._b.cbranch(self._b.icmp_signed("<" if step.constant > 0 else ">", at, stop), body, after)
        self._b.position_at_end(body)
        self._b.store(at, self._places[node.target.id])
        self._b.position_at_end(again)
        self._b.store(self._b.add(self._b.load(count, typ=WORD), step), count)
        self._b.branch(test)
        self._loop(body, node.body, again, after)

    def _do_Break(self, node: ast.Break) -> None:
        self._b.branch(self._loops[-1][1])

    def _do_Continue(self, node: ast.Continue) -> None:
        self._b.branch(self._loops[-1][0])
