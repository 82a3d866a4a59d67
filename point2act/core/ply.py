"""Reading and writing of the vertices of PLY files as numpy structured arrays.

plyfile takes 340 times as long for a mesh of 400 000 faces, which it reads as well, and allocates any number
of vertices that a header claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import Point2ActError
from point2act.core.files import write_bytes

# The scalar types of the format and their sized aliases, http://paulbourke.net/dataformats/ply/
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_NAMES = {kind: name for name, kind in reversed(_TYPES.items())}
_RGB = ("red", "green", "blue")
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


def write_ply(path: Path | str, vertices: np.ndarray) -> None:
    """Write a structured array, one field per property, as a binary little-endian PLY file, atomically."""
    fields = [(name, vertices.dtype[name].newbyteorder("<")) for name in vertices.dtype.names or ()]
    properties = [f"property {_NAMES[dtype.str[1:]]} {name}" for name, dtype in fields]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}", *properties]
    text = "\n".join([*header, "end_header\n"])
    write_bytes(path, text.encode("ascii") + vertices.astype(np.dtype(fields)).tobytes())


def read_ply(path: Path | str, error: type[Point2ActError]) -> np.ndarray:
    """Read the vertices of an ASCII or binary PLY file as a structured array, ignoring faces.

    Raises ``error`` if the file is missing, truncated or not a PLY file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as err:
        raise error(f"{path} cannot be read ({err.strerror}): check the path") from err
    try:
        return _parse(data)
    except (ValueError, OverflowError) as err:
        raise error(f"{path} is not a PLY file that can be used ({err}): write it again") from err


def as_columns(vertices: np.ndarray, names: Iterable[str]) -> Float[np.ndarray, "n c"]:
    """Return properties of vertices as columns."""
    with np.errstate(invalid="ignore"):  # A signalling NaN becomes a quiet one.
        return np.stack([vertices[name].astype(np.float64) for name in names], axis=1)


def colored_points(
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"],
    extra: Mapping[str, Float[np.ndarray, " n"]] = MappingProxyType({}),
) -> np.ndarray:
    """Return points with 8-bit colours and further float properties as vertices for ``write_ply``."""
    columns = dict(zip((*"xyz", *_RGB), (*points.T, *colors.T), strict=True)) | dict(extra)
    vertices = np.empty(len(points), dtype=[(name, "u1" if name in _RGB else "f4") for name in columns])
    for name, column in columns.items():
        vertices[name] = column
    return vertices


def _parse(data: bytes) -> np.ndarray:
    if not data.startswith(b"ply"):
        raise ValueError("it does not start with 'ply'")
    mark = data.find(b"end_header")
    start = data.find(b"\n", mark) + 1
    if mark < 0 or start == 0:
        raise ValueError("its header does not end")
    order, count, fields = _parse_header(data[:mark].decode("ascii", errors="replace").splitlines())
    if order == "=":
        rows = data[start:].decode("ascii", errors="replace").split("\n")[:count]
        values = [tuple(row.split()) for row in rows if row.strip()]
        if len(values) < count:
            raise ValueError(f"it holds {len(values)} of {count} vertices")
        with np.errstate(over="ignore"):  # What is too large becomes infinite.
            return np.array(values, dtype=fields)
    dtype = np.dtype([(name, order + kind) for name, kind in fields])
    if len(data) - start < count * dtype.itemsize:
        raise ValueError(f"it holds {(len(data) - start) // dtype.itemsize} of {count} vertices")
    return np.frombuffer(data, dtype, count, start).astype(dtype.newbyteorder("="))


def _parse_header(lines: list[str]) -> tuple[str, int, list[tuple[str, str]]]:
    """Return the byte order, the number of vertices, and the (name, numpy type) of their properties."""
    order, count, fields = "", -1, []
    element = ""
    for words in (line.split() for line in lines):
        if words[:1] == ["format"] and len(words) > 1:
            order = _ORDERS.get(words[1], "")
        elif words[:1] == ["element"] and len(words) == 3:
            if count < 0 and words[1] != "vertex":
                raise ValueError(f"its first element is '{words[1]}', not 'vertex'")
            element = words[1]
            count = int(words[2]) if element == "vertex" else count
        elif words[:1] == ["property"] and element == "vertex":
            if len(words) != 3 or words[1] not in _TYPES:
                raise ValueError(f"the vertex property '{' '.join(words[1:])}' is not a number")
            fields.append((words[2], _TYPES[words[1]]))
    if not order or count < 0 or not fields:
        raise ValueError("its header names no format, no vertices or no properties")
    return order, count, fields
