"""Dataclasses whose fields are arrays with one entry per item: selection and concatenation of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Record = TypeVar("Record", bound="Records")


class Records:
    """Base of dataclasses whose fields are all arrays, or records, with one entry per item."""

    def only(self: Record, chosen: np.ndarray | slice) -> Record:
        """Return some of the items, by mask, index or slice."""
        return type(self)(*(v.only(chosen) if isinstance(v, Records) else v[chosen] for v in _values(self)))


def concatenate(records: Sequence[Record]) -> Record:
    """Return the items of at least one record, one record after another."""
    return type(records[0])(*map(np.concatenate, zip(*map(_values, records), strict=True)))


def _values(record: Records) -> list[Any]:
    return [getattr(record, field.name) for field in fields(record)]  # type: ignore[arg-type]
