"""One function at a time from Python's syntax tree to LLVM's intermediate representation.

Every value is a signed integer of 64 bits, a truth value is 0 or 1; a tuple is a function's result and
nothing else. Integers wrap where Python's would grow: that no number of the life-cycle does is its callers'
affair.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from enum import IntEnum
from types import FunctionType, ModuleType
from typing import Any, Final, Protocol

from llvmlite import ir

from simlib.engine.columns import CannotCompile, Column, Layout

WORD: Final = ir.IntType(64)
_COMPARE: Final = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_BUILTINS: Final = {
    "min": (2, 99),
    "max": (2, 99),
    "abs": (1, 1),
    "int": (1, 1),
    "bool": (1, 1),
    "divmod": (2, 2),
}
"""Python's own functions that are known, and how many arguments each may have."""
_PLAIN: Final = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "shl",
}


class Program(Protocol):
    """What the lowering of one function asks of the whole."""

    def call(self, builder: ir.IRBuilder, function: FunctionType, arguments: list[Any]) -> Any:
        """The result of calling `function`: a value, or a list of them."""


class Lowering:
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
        self._program = program
        self._function = function
        self._tables = tables
        self._aliases = dict(aliases)
        self._unsigned = unsigned
        self._loops: list[tuple[Any, Any]] = []  # where `continue` and `break` go
        self._b = ir.IRBuilder(into.append_basic_block("entry"))
        self._places: dict[str, Any] = {}
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

    def _refuse(self, node: ast.AST, what: str) -> CannotCompile:
        code = self._function.__code__
        line = code.co_firstlineno + getattr(node, "lineno", 1) - 1
        return CannotCompile(f"{code.co_filename}:{line}: {self._function.__name__}: {what}")

    def _check_shape(self, node: ast.FunctionDef) -> None:
        given = node.args
        if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
            raise self._refuse(node, "found arguments of another kind, expected plain ones without defaults")
        if node.decorator_list:
            raise self._refuse(node, "found a decorator, expected none")
        if self._function.__code__.co_freevars:
            raise self._refuse(node, "found names of an enclosing function, expected none")

    # Statements

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

    # Expressions

    def _values(self, node: ast.expr) -> list[Any]:
        """One value, or those of a tuple or of a call with several results."""
        if isinstance(node, ast.Tuple):
            return [self._value(each) for each in node.elts]
        result = self._lower(node)
        return result if isinstance(result, list) else [result]

    def _value(self, node: ast.expr) -> Any:
        result = self._lower(node)
        if isinstance(result, list):
            raise self._refuse(node, f"found the tuple {ast.unparse(node)}, expected one value")
        return result

    def _lower(self, node: ast.expr) -> Any:
        lower = getattr(self, f"_of_{type(node).__name__}", None)
        if lower is None:
            raise self._refuse(node, f"found {ast.unparse(node)}, expected an integer expression")
        return lower(node)

    def _room(self) -> Any:
        """A place for a value, made once however often the code around it runs."""
        with self._b.goto_entry_block():
            return self._b.alloca(WORD)

    def _truth(self, node: ast.expr) -> Any:
        """A bit: whether `node` is not zero."""
        return self._b.icmp_signed("!=", self._value(node), ir.Constant(WORD, 0))

    def _of_Constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, bool | int):
            raise self._refuse(node, f"found {node.value!r}, expected an integer")
        return self._number(int(node.value))

    def _number(self, value: int) -> Any:
        return ir.Constant(WORD, (value + (1 << 63)) % (1 << 64) - (1 << 63))

    def _of_Name(self, node: ast.Name) -> Any:
        if node.id in self._places:
            return self._b.load(self._places[node.id], typ=WORD)
        value = self._global(node)
        if isinstance(value, bool | int):
            return self._number(int(value))
        raise self._refuse(node, f"found {node.id}, a {type(value).__name__}, expected an integer")

    def _global(self, node: ast.expr) -> Any:
        """What a global name, or a name in a module or enumeration, stands for."""
        values = self._function.__globals__
        if isinstance(node, ast.Name) and node.id not in self._places and node.id in values:
            return values[node.id]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = values.get(node.value.id)
            if isinstance(owner, ModuleType) or (isinstance(owner, type) and issubclass(owner, IntEnum)):
                return getattr(owner, node.attr)
        raise self._refuse(node, f"found {ast.unparse(node)}, expected a column or a global name")

    def _of_Attribute(self, node: ast.Attribute) -> Any:
        found = self._column(node)
        if found is not None:
            table, column = found
            if not column.is_plain:
                raise self._refuse(node, f"found column {node.attr} by itself, expected it with an index")
            return self._entry(table, column.slot)
        value = self._global(node)
        if isinstance(value, int):
            return self._number(int(value))
        raise self._refuse(node, f"found {ast.unparse(node)}, expected an integer")

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return self._b.zext(self._b.not_(self._truth(node.operand)), WORD)
        value = self._value(node.operand)
        if isinstance(node.op, ast.USub):
            if isinstance(value, ir.Constant):
                return self._number(-value.constant)
            return self._b.neg(value)
        if isinstance(node.op, ast.Invert):
            return self._b.not_(value)
        return value

    def _of_BinOp(self, node: ast.BinOp) -> Any:
        return self._arithmetic(node, node.op, self._value(node.left), self._value(node.right))

    def _arithmetic(self, node: ast.AST, op: ast.operator, left: Any, right: Any) -> Any:
        plain = _PLAIN.get(type(op))
        if plain is not None:
            return getattr(self._b, plain)(left, right)
        if isinstance(op, ast.RShift):
            return (self._b.lshr if self._unsigned else self._b.ashr)(left, right)
        if isinstance(op, ast.FloorDiv):
            return self._divided(left, right)[0]
        if isinstance(op, ast.Mod):
            return self._divided(left, right)[1]
        raise self._refuse(node, f"found operator {type(op).__name__}, expected one of integers")

    def _divided(self, left: Any, right: Any) -> tuple[Any, Any]:
        """Quotient and remainder, rounded down as Python's are."""
        b, zero = self._b, ir.Constant(WORD, 0)
        quotient, remainder = b.sdiv(left, right), b.srem(left, right)
        apart = b.icmp_signed("<", b.xor(remainder, right), zero)
        down = b.and_(apart, b.icmp_signed("!=", remainder, zero))
        one = b.zext(down, WORD)
        return b.sub(quotient, one), b.add(remainder, b.select(down, right, zero))

    def _of_Compare(self, node: ast.Compare) -> Any:
        """A chain holds if each link does; later parts are evaluated only while it holds."""
        result = self._room()
        self._b.store(ir.Constant(WORD, 0), result)
        after = self._b.append_basic_block("compared")
        left = self._value(node.left)
        for number, (op, part) in enumerate(zip(node.ops, node.comparators, strict=True)):
            if isinstance(op, ast.In | ast.NotIn):
                holds = self._among(left, part, negated=isinstance(op, ast.NotIn))
            else:
                if type(op) not in _COMPARE:
                    raise self._refuse(node, f"found {ast.unparse(node)}, expected a comparison of integers")
                right = self._value(part)
                holds = self._b.icmp_signed(_COMPARE[type(op)], left, right)
                left = right
            if number + 1 == len(node.ops):
                self._b.store(self._b.zext(holds, WORD), result)
                self._b.branch(after)
            else:
                more = self._b.append_basic_block("more")
                self._b.cbranch(holds, more, after)
                self._b.position_at_end(more)
        self._b.position_at_end(after)
        return self._b.load(result, typ=WORD)

    def _among(self, value: Any, node: ast.expr, *, negated: bool) -> Any:
        if isinstance(node, ast.Tuple):
            members = [self._value(each) for each in node.elts]
        else:
            known = self._global(node)
            if not isinstance(known, tuple | frozenset) or not all(isinstance(each, int) for each in known):
                raise self._refuse(node, f"found {ast.unparse(node)}, expected a constant tuple of integers")
            members = [self._number(int(each)) for each in known]
        found = ir.Constant(ir.IntType(1), 0)
        for member in members:
            found = self._b.or_(found, self._b.icmp_signed("==", value, member))
        return self._b.not_(found) if negated else found

    def _of_BoolOp(self, node: ast.BoolOp) -> Any:
        """``and`` and ``or`` with Python's values, the parts after the deciding one left alone."""
        result = self._room()
        after = self._b.append_basic_block("decided")
        for number, part in enumerate(node.values):
            value = self._value(part)
            self._b.store(value, result)
            if number + 1 == len(node.values):
                self._b.branch(after)
                break
            more = self._b.append_basic_block("more")
            holds = self._b.icmp_signed("!=", value, ir.Constant(WORD, 0))
            on_true, on_false = (more, after) if isinstance(node.op, ast.And) else (after, more)
            self._b.cbranch(holds, on_true, on_false)
            self._b.position_at_end(more)
        self._b.position_at_end(after)
        return self._b.load(result, typ=WORD)

    def _of_IfExp(self, node: ast.IfExp) -> Any:
        then, otherwise, after = (self._b.append_basic_block(name) for name in ("then", "else", "after"))
        self._b.cbranch(self._truth(node.test), then, otherwise)
        ways = []
        for block, part in ((then, node.body), (otherwise, node.orelse)):
            self._b.position_at_end(block)
            values = self._values(part)
            ways.append((values, self._b.block))
            self._b.branch(after)
        self._b.position_at_end(after)
        if len({len(values) for values, _ in ways}) != 1:
            raise self._refuse(node, "found tuples of two lengths, expected the same")
        joined = []
        for at in range(len(ways[0][0])):
            phi = self._b.phi(WORD)
            for values, block in ways:
                phi.add_incoming(values[at], block)
            joined.append(phi)
        return joined if len(joined) > 1 else joined[0]

    def _of_Call(self, node: ast.Call) -> Any:
        if node.keywords:
            raise self._refuse(node, "found a named argument, expected arguments by position")
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _BUILTINS and name not in self._function.__globals__:
            least, most = _BUILTINS[name]
            if not least <= len(node.args) <= most:
                raise self._refuse(node, f"found {len(node.args)} arguments of {name}")
            builtin = getattr(self, f"_call_{name}")
            return builtin(node, [self._value(argument) for argument in node.args])
        function = self._global(node.func)
        if not isinstance(function, FunctionType):
            raise self._refuse(node, f"found a call of {ast.unparse(node.func)}, expected a function")
        taken = function.__code__.co_argcount
        if len(node.args) != taken:
            raise self._refuse(
                node, f"found {len(node.args)} arguments of {function.__name__}, expected {taken}"
            )
        for argument in node.args:
            self._check_array(argument)
        return self._program.call(self._b, function, [self._value(argument) for argument in node.args])

    def _check_array(self, node: ast.expr) -> None:
        """A column that is handed on by itself becomes an array of 64-bit integers."""
        found = self._column(node)
        alias = self._aliases.get(node.id) if isinstance(node, ast.Name) else None
        column = found[1] if found is not None else alias
        if column is not None and column.width != WORD.width // 8:
            raise self._refuse(
                node, f"found column {ast.unparse(node)} of {column.width} bytes, expected of 8"
            )

    def _extreme(self, values: list[Any], order: str) -> Any:
        best = values[0]
        for value in values[1:]:
            best = self._b.select(self._b.icmp_signed(order, value, best), value, best)
        return best

    def _call_min(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme(values, "<")

    def _call_max(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme(values, ">")

    def _call_abs(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme([values[0], self._b.neg(values[0])], ">")

    def _call_int(self, node: ast.Call, values: list[Any]) -> Any:
        return values[0]

    def _call_bool(self, node: ast.Call, values: list[Any]) -> Any:
        return self._b.zext(self._b.icmp_signed("!=", values[0], ir.Constant(WORD, 0)), WORD)

    def _call_divmod(self, node: ast.Call, values: list[Any]) -> Any:
        return list(self._divided(*values))

    # Columns

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
