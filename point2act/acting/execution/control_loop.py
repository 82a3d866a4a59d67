"""One control step after the other: measurements and images in, smooth and safe commands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float

from point2act.acting.control.arm_model import ArmModel
from point2act.acting.control.controller import ControlConfig, Controller, GoalPosture
from point2act.acting.control.safety import Envelope, SafetyConfig, SafetyFilter
from point2act.acting.control.smoothing import SmoothConfig, SmoothMotion
from point2act.acting.execution.perception import BesideControl
from point2act.acting.execution.robot import Robot, RobotState
from point2act.acting.execution.scene_memory import SceneMemory
from point2act.acting.execution.timeline import Event, EventKind, Observer
from point2act.acting.tracking.thing import Thing
from point2act.core.geometry import distance_to_box
from point2act.core.types import OrientedBox, View
from point2act.grasping.reachability.arm import Arm

Result = TypeVar("Result")

# Time of a search for a posture near a known one where the robot's clock does not run on by itself, seconds:
# measured 0.02 to 0.1 on busy cores.
_SEARCH_SECONDS = 0.05
# Measured velocity that counts as beyond the limit, as a multiple of it: encoders and clocks are noisy.
_OVER = 1.05
# Distance to the limits of position that commands keep, radians: a joint swings about its command, by less
# than 0.001 in the simulator.
_INSIDE = 0.005


@dataclass(frozen=True)
class LoopConfig:
    """Limits of every control step."""

    control: ControlConfig = field(default_factory=ControlConfig)
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    speed: float = 0.5
    """Fraction of the joints' largest velocities that is used."""
    seconds: float = 90.0
    """Longest duration of the run."""


class GiveUpError(Exception):
    """The reason why a run ends early."""


@dataclass(frozen=True, eq=False)
class Aside(Generic[Result]):
    """A computation beside the control loop."""

    future: Future[Result]
    due: float
    """When it ends where the robot's clock does not run on by itself, seconds on it."""


class ControlLoop:
    """Connects a robot with what is known of its scene."""

    def __init__(
        self,
        robot: Robot,
        arm: Arm,
        memory: SceneMemory,
        perception: BesideControl,
        keep_out: Sequence[OrientedBox],
        observer: Observer,
        config: LoopConfig,
    ):
        self.robot, self.memory = robot, memory
        self._observer = observer
        self._arm, self._perception, self._config = arm, perception, config
        velocity = config.speed * arm.velocity
        self.control, self.search = (
            Controller(ArmModel.of(arm, memory.scene.table), velocity, config.control) for _ in range(2)
        )
        limits = arm.limits + np.array([_INSIDE, -_INSIDE])
        self._safety = SafetyFilter(
            Envelope(limits, arm.velocity, tuple(keep_out)), robot.period, config.safety
        )
        self.state: RobotState = robot.state()
        """The latest measurements."""
        self.sent = self.state.joints
        """The latest command, radians."""
        self.width = arm.gripper.max_width
        """Commanded distance of the pads, metres."""
        self._smooth = SmoothMotion(self.sent, velocity, robot.period, config.smooth)
        self._start = self.state.time
        self._taken_at = np.eye(4)
        self._keep_out = tuple(keep_out)
        # Answers of a model take longer than a search: they do not wait for each other.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._step_start = perf_counter()
        self.blind = False
        """Whether the arm waits since the latest image is too old."""
        self.events: list[Event] = []
        """What has happened."""
        self.step_seconds: list[float] = []
        """Time that each control step took to compute."""
        self.violations = 0
        """Number of states beyond the arm's limits of position or velocity, or in a keep-out box."""

    @property
    def seconds(self) -> float:
        """Time since the start on the robot's clock."""
        return self.state.time - self._start

    @property
    def image_seconds(self) -> list[float]:
        """Time that each image took to follow things to it."""
        return self._perception.seconds

    @property
    def interventions(self) -> int:
        """Number of commands that the safety filter changed."""
        return self._safety.interventions

    @property
    def T_base_gripper(self) -> Float[np.ndarray, "4 4"]:
        """Pose of the gripper at the latest command."""
        return self.control.T_base_gripper(self.sent)

    def sense(self) -> bool:
        """Measure, and take over an image that has been computed; return whether there was one.

        Raises:
            GiveUpError: The run has taken too long.
        """
        before, self.state = self.state, self.robot.state()
        self.violations += self._beyond_limits(before)
        if self.seconds > self._config.seconds:
            raise GiveUpError(f"it took longer than {self._config.seconds:.0f} s")
        # Where the clock stands still it waits for the image.
        seen = self._perception.poll(self.state.time)
        self._step_start = perf_counter()
        if seen is not None:
            for thing, away in self.memory.see(seen, self._taken_at).items():
                self.note("moved", f"{thing} by {100 * away:.0f} cm")
        if self._perception.wants_image(self.state.time):
            self._taken_at = self.control.T_base_gripper(self.state.joints)
            self._perception.submit(self.state.time, self.look(), self.memory.carried(self._taken_at))
        return seen is not None

    def look(self) -> Callable[[], View]:
        """Take the camera's latest image; what is returned removes the depth of what is on the arm.

        That takes longer than a control step, and may be called in any thread.
        """
        start = perf_counter()
        view = self.robot.view()
        self._observer.view(view)
        self._step_start += perf_counter() - start
        return partial(self.control.without_arm, view, self.state.joints)

    def point_at(self, thing: str, place: Float[np.ndarray, " 3"]) -> None:
        """Seek a lost thing also at a place in the next image.

        Args:
            thing: Its name.
            place: Surface point, base frame, metres.
        """
        self._perception.point_at(thing, place)

    def follow(self, thing: str, find: Callable[[View], Mapping[str, Thing]]) -> None:
        """Follow another thing under the name of one, from the next image on.

        Args:
            thing: The name.
            find: Returns the things that an image shows, by their names.
        """
        self._perception.restart(thing, find)

    # ── computations beside it ─────────────────────────────────────────────────────────────────
    def start(self, job: Callable[[], Result], seconds: float) -> Aside[Result]:
        """Start a computation beside the control loop, after those that were started before.

        Args:
            job: The computation.
            seconds: Its duration where the robot's clock does not run on by itself.
        """
        return self._start_in(self._pool, job, seconds)

    def start_search(self, job: Callable[[Controller], GoalPosture]) -> Aside[GoalPosture]:
        """Start to search for a posture beside the control loop.

        Args:
            job: The search with a controller of its own.
        """
        return self._start_in(self._searches, partial(job, self.search), _SEARCH_SECONDS)

    def _start_in(self, pool: ThreadPoolExecutor, job: Callable[[], Result], seconds: float) -> Aside[Result]:
        future: Future[Result] = pool.submit(job) if self.robot.real_time else Future()
        if not self.robot.real_time:
            # At once: a simulated model answers about the present state of the physics.
            start = perf_counter()
            future.set_result(job())
            self._step_start += perf_counter() - start
        return Aside(future, self.state.time + seconds)

    def ended(self, aside: Aside[Result]) -> bool:
        """Return whether a computation has ended."""
        return aside.future.done() if self.robot.real_time else self.state.time >= aside.due - 1e-9

    def result(self, aside: Aside[Result]) -> Result:
        """Return what a computation has found; until it has ended the arm holds still."""
        while not self.ended(aside):
            self.sense()
            self.wait()
        return aside.future.result()

    def send(self, velocity: Float[np.ndarray, " d"]) -> float:
        """Command joint velocities through the smoothing and the safety filter.

        Args:
            velocity: Radians per second.

        Returns:
            Largest change of a joint's command, radians.

        Raises:
            GiveUpError: The safety filter has stopped the robot, or its measurements are not numbers.
        """
        state = self.state
        if not np.isfinite([*state.joints, *self.sent]).all():
            raise GiveUpError("the robot measures joint positions that are not numbers")
        if np.abs(self.sent - state.joints).max() > self._config.safety.lag:
            self.note("waits", "something holds the arm: it goes on from where it is")
            self.relax()
        wanted = self._smooth.follow(velocity)
        age = state.time - max(self._perception.seen_at, self._start)
        self.blind = age > self._config.safety.max_age
        sent = self._safety.check(self.sent, wanted, self._place_at, force=state.force, age=age)
        if not np.array_equal(sent, wanted):
            self._smooth.restart(sent)
        step, self.sent = float(np.abs(sent - self.sent).max()), sent
        self.step_seconds.append(perf_counter() - self._step_start)
        self.robot.command(sent, self.width)
        if self._safety.stopped:
            self.note("stopped", self._safety.stopped)
            raise GiveUpError(self._safety.stopped)
        return step

    def relax(self) -> None:
        """Go on from where the arm is: its servos no longer press against what it touches."""
        self.sent = self.state.joints
        self._smooth.restart(self.sent)

    def wait(self) -> None:
        """Command the arm to come to rest."""
        self.send(np.zeros_like(self.sent))

    def note(self, kind: EventKind, detail: str) -> None:
        """Remember what has happened."""
        self.events.append(Event(self.seconds, kind, detail))
        self._observer.event(self.events[-1])

    def close(self) -> None:
        """Hold still, and end perception."""
        try:
            self.robot.stop()
        finally:
            for pool in (self._pool, self._searches):
                pool.shutdown(wait=True, cancel_futures=True)
            self._perception.close()

    def _place_at(self, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, " 3"]:
        return self.control.T_base_gripper(joints)[:3, 3]

    def _beyond_limits(self, before: RobotState) -> bool:
        joints, elapsed = self.state.joints, self.state.time - before.time
        low, high = self._arm.limits.T
        reach = elapsed * _OVER * self._arm.velocity
        fast = elapsed > 0 and bool((np.abs(joints - before.joints) > reach).any())
        place = self._place_at(joints)
        inside = any(distance_to_box(place[None], box)[0] <= 0 for box in self._keep_out)
        return fast or inside or bool(((joints < low) | (joints > high)).any())
