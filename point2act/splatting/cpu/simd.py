"""Vectors of float32 for numba kernels: one instruction works on all lanes.

LLVM does not vectorise the rasterizer's loops by itself. With these types a kernel is written as if for
one pixel and runs for a row of them: ``+ - * /`` and comparisons work lane by lane, numbers are spread
over all lanes, and there are no branches but ``select`` and ``any_lane``. The vectors are LLVM's
own, so each processor gets its best instructions (SSE, AVX, AVX-512, NEON).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, register_model

from point2act.splatting.cpu.compile_kernels import OPTIONS

LANES = 16
"""Pixels in a vector."""
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FLAGS = tuple(sorted(OPTIONS["fastmath"]))
"""The freedoms that scalars have."""


class _Lanes(types.Type):
    """A float32 for each pixel."""


class _Mask(types.Type):
    """A truth value for each pixel."""


floats, mask = _Lanes("floats"), _Mask("mask")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _FLOATS)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _BITS)


def _spread(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """One value in all lanes."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, zeros)


@lower_cast(types.Float, _Lanes)
def _from_number(context: Any, builder: Any, number_type: Any, _: Any, value: Any) -> Any:
    return _spread(builder, context.cast(builder, value, number_type, types.float32), _FLOATS)


def _operator(function: Callable[..., Any], operand: Any, result: Any, emit: Callable[..., Any]) -> None:
    """Teach numba one operator of two vectors, or of a vector and a number."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, _: Any) -> Any:
            known = all(isinstance(a, (type(operand), types.Float)) for a in args)
            if known and operand in args:
                return signature(result, operand, operand)
            return None

    register: Any = infer_global(function)
    register(Template)
    lower_builtin(function, operand, operand)(lambda _, builder, __, args: emit(builder, *args))


def _arithmetic(function: Callable[..., Any], instruction: str) -> None:
    _operator(function, floats, floats, lambda b, x, y: getattr(b, instruction)(x, y, flags=_FLAGS))


def _comparison(function: Callable[..., Any], sign: str) -> None:
    """Never true of what is not a number."""
    _operator(function, floats, mask, lambda b, x, y: b.fcmp_ordered(sign, x, y))


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")
_comparison(operator.lt, "<")
_comparison(operator.le, "<=")
_comparison(operator.gt, ">")
_comparison(operator.ge, ">=")
_operator(operator.and_, mask, mask, lambda b, x, y: b.and_(x, y))


def _inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's ``intrinsic``; callers leave out the first parameter."""
    return intrinsic(function)


@_inline
def select(_, condition, yes, no):
    """Lane by lane ``yes`` where the condition holds, else ``no``."""
    return floats(mask, floats, floats), lambda context, builder, sig, args: builder.select(*args)


@_inline
def any_lane(_, condition):
    """Whether the condition holds in any lane."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), emit


@_inline
def ramp(_):
    """0, 1, 2 and so on."""
    return floats(), lambda *_: ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)])


@_inline
def total(_, values):
    """The sum of all lanes."""

    def emit(context, builder, sig, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(add, [ir.Constant(ir.FloatType(), -0.0), args[0]], fastmath=_FLAGS)

    return types.float32(floats), emit


def _place(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@_inline
def load(_, array, index):
    """The lanes from ``array[index]`` on, of a flat float32 array; nobody checks that they are inside."""

    def emit(context, builder, sig, args):
        return builder.load(_place(context, builder, sig.args[0], *args), align=4)

    return floats(array, types.int64), emit


@_inline
def store(_, array, index, values):
    """The inverse of ``load``."""

    def emit(context, builder, sig, args):
        builder.store(args[2], _place(context, builder, sig.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, floats), emit
