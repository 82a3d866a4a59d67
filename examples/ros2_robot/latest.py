"""What has arrived: messages come in a thread of ROS, the control loop reads in another."""

from collections.abc import Iterable, Mapping, Sequence
from threading import Condition
from time import monotonic
from typing import Any

from point2act.core.errors import RobotError


class Latest:
    """Keeps the latest value of every name, with the time of its arrival."""

    def __init__(self, what: str):
        """Start empty; errors name what the values are."""
        self._what = what
        self._values: dict[str, tuple[float, Any]] = {}
        self._arrived = Condition()

    def keep(self, new: Mapping[str, Any]) -> None:
        """Take over new values."""
        with self._arrived:
            self._values.update({name: (monotonic(), value) for name, value in new.items()})
            self._arrived.notify_all()

    def has(self, names: Iterable[str]) -> bool:
        """Return whether there is a value of each name."""
        return all(name in self._values for name in names)

    def read(self, names: Sequence[str], timeout: float) -> tuple[list[float], list[Any]]:
        """Return times of arrival, in seconds, and values in the order of the names.

        Raises:
            RobotError: Some have not arrived in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.has(names), timeout):
                missing = ", ".join(name for name in names if name not in self._values)
                raise RobotError(
                    f"no {self._what} of {missing} within {timeout:g} s: "
                    "start the driver, or correct the names in ros2_robot.yaml"
                )
            found = [self._values[name] for name in names]
        return [time for time, _ in found], [value for _, value in found]
