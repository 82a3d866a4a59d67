"""Run benchmarks by name and print what they measured."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module

import benchmarks
from point2act.threads import configure_threads


def names() -> list[str]:
    """Modules of this package that have a ``measure()``."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(chosen: Sequence[str]) -> int:
    """Print a table for each chosen benchmark; all of them by default."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}: choose from {', '.join(names())}", file=sys.stderr)
        return 2
    configure_threads()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    for name in chosen or names():
        print(f"\n{name}")
        for metric in import_module(f"benchmarks.{name}").measure():
            print(f"  {metric.name:<48} {metric.value:>10.3g} {metric.unit:<6} {metric.better} is better")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
