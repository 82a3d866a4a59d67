"""SIMD vectors of float32 as numba types.

LLVM does not vectorise the rasteriser's loops automatically. With these types, a kernel written for one pixel
runs for a row of pixels: ``+ - * /`` and comparisons are elementwise, scalars are broadcast, and ``select``
and ``any_true`` replace branches. They are LLVM's vector types, compiled to each CPU's instructions (SSE,
AVX, AVX-512, NEON).
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

SIMD_WIDTH = 16
"""Number of elements, i.e. pixels, of a vector."""
_FLOATS = ir.VectorType(ir.FloatType(), SIMD_WIDTH)
_BITS = ir.VectorType(ir.IntType(1), SIMD_WIDTH)
_FLAGS = tuple(sorted(OPTIONS["fastmath"]))
"""Fast-math flags, equal to those of scalar code."""


class _SimdFloats(types.Type):
    """Vector of float32."""


class _SimdMask(types.Type):
    """Vector of booleans."""


floats, mask = _SimdFloats("floats"), _SimdMask("mask")


@register_model(_SimdFloats)
class _SimdFloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _FLOATS)


@register_model(_SimdMask)
class _SimdMaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _BITS)


def _broadcast(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """Broadcast a value to all elements."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), SIMD_WIDTH), [0] * SIMD_WIDTH)
    return builder.shuffle_vector(first, nothing, zeros)


@lower_cast(types.Float, _SimdFloats)
def _from_number(context: Any, builder: Any, number_type: Any, _: Any, value: Any) -> Any:
    return _broadcast(builder, context.cast(builder, value, number_type, types.float32), _FLOATS)


def _operator(function: Callable[..., Any], operand: Any, result: Any, emit: Callable[..., Any]) -> None:
    """Register an operator of two vectors, or of a vector and a scalar."""

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
    """Register a comparison, which is false for NaN."""
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
    """Return numba's ``intrinsic``; callers omit the first parameter."""
    return intrinsic(function)


@_inline
def select(_, condition, yes, no):
    """Return, elementwise, ``yes`` where the condition is true, else ``no``."""
    return floats(mask, floats, floats), lambda context, builder, sig, args: builder.select(*args)


@_inline
def any_true(_, condition):
    """Return whether the condition is true in any element."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(SIMD_WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), emit


@_inline
def ramp(_):
    """Return the vector 0, 1, 2, ..."""
    return floats(), lambda *_: ir.Constant(_FLOATS, [float(i) for i in range(SIMD_WIDTH)])


@_inline
def total(_, values):
    """Return the sum of all elements."""

    def emit(context, builder, sig, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{SIMD_WIDTH}f32"
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(add, [ir.Constant(ir.FloatType(), -0.0), args[0]], fastmath=_FLAGS)

    return types.float32(floats), emit


def _place(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@_inline
def load(_, array, index):
    """Load a vector from ``array[index]`` on, of a flat float32 array, without a bounds check."""

    def emit(context, builder, sig, args):
        return builder.load(_place(context, builder, sig.args[0], *args), align=4)

    return floats(array, types.int64), emit


@_inline
def store(_, array, index, values):
    """Store a vector to ``array[index]`` and after, without a bounds check."""

    def emit(context, builder, sig, args):
        builder.store(args[2], _place(context, builder, sig.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, floats), emit
