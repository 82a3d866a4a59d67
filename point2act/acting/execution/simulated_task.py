"""A simulated task from its sentence to physics: captured, pointed at, localized, carried out and judged."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from point2act.acting.execution.asking import Ask
from point2act.acting.execution.executor import Outcome
from point2act.acting.execution.perception import TrackedThings, Unchanging
from point2act.acting.execution.preparation import PreparedTask, acting_config, prepare
from point2act.acting.execution.prepared_run import RunConfig, run_prepared
from point2act.acting.execution.simulated_robot import SimulatedRobot, SimulatedRobotConfig
from point2act.acting.execution.timeline import NoObserver, Observer
from point2act.core.constraints import queries_of
from point2act.core.errors import PlanError
from point2act.core.geometry import distance_to_box, invert, transform_points
from point2act.core.types import Query, View
from point2act.data.points import read_points
from point2act.grasping.reachability.arm import Arm
from point2act.physics.scene import Scene, part_box
from point2act.pipeline.run import place
from point2act.simulation.camera import SimView
from point2act.simulation.disturbances import Disturbance, Disturber, Roles, mistaken
from point2act.simulation.pointing import TYPICAL, PointingConfig, answers_to_query, part_choices
from point2act.simulation.record import CaptureConfig, capture_scene
from point2act.simulation.task import Success, Task, TaskMonitor

# Images of a film per second of the robot's clock.
FILM_RATE = 5.0
# Time for which everything comes to rest before a run is judged, seconds.
_RESTS = 1.0


@dataclass(frozen=True)
class SimulatedTaskConfig(RunConfig):
    """A run of a simulated task."""

    pointing: PointingConfig = TYPICAL
    """Error model of the pointing model."""
    robot: SimulatedRobotConfig = field(default_factory=SimulatedRobotConfig)


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """A run, judged by physics."""

    outcome: Outcome
    success: Success
    disturbed_at: float | None = None
    """Time of the disturbance, seconds; None if there was none or its moment never came."""
    film: tuple[UInt8[np.ndarray, "_h _w 3"], ...] = ()
    """Images of the camera, ``FILM_RATE`` per second."""

    @property
    def reason(self) -> str:
        """Why it ended, one sentence."""
        return self.outcome.reason

    @property
    def succeeded(self) -> bool:
        """Whether all conditions of the task hold."""
        return bool(self.success)


def prepare_simulated(
    task: Task, arm: Arm, config: SimulatedTaskConfig = SimulatedTaskConfig(), *, seed: int = 0
) -> PreparedTask:
    """Capture a task's scene, simulate the answers of a pointing model, and locate what the plan names.

    Args:
        task: The task in its settled scene.
        arm: The arm with its gripper.
        config: Error model of the answers.
        seed: Seed of images and answers.

    Raises:
        PlanError: Something is not found, or has no grasp.
    """
    return _prepare(task, task.scene, arm, config, seed)


def prepare_mistaken(
    task: Task, arm: Arm, config: SimulatedTaskConfig = SimulatedTaskConfig(), *, seed: int = 0
) -> PreparedTask:
    """Prepare a task with a wrong first answer: one query is located on another object of the scene.

    Mistakes that are noticed before anything moves do not count: where the other object has no grasp or no
    opening that the plan needs, or where another query contradicts it.

    Args:
        task: The task in its settled scene.
        arm: The arm with its gripper.
        config: Error model of the answers.
        seed: Seed of images and answers, and of the mistake.

    Raises:
        PlanError: All mistakes are noticed.
    """
    rng = np.random.default_rng([seed, 4])
    for query, scene in mistaken(task.scene, [one.name for one in task.plan.queries], rng):
        try:
            prepared = _prepare(task, scene, arm, config, seed)
        except PlanError:
            continue
        T_world_base = invert(scene.T_base_world)
        middle = transform_points(T_world_base, prepared.scene.features[query].box.center)
        wrong, right = (distance_to_box(middle[None], part_box(one, query)) for one in (scene, task.scene))
        if wrong[0] < right[0]:
            return prepared
    raise PlanError(f"'{task.name}' has no wrong first answer that goes unnoticed")


def _prepare(task: Task, scene: Scene, arm: Arm, config: SimulatedTaskConfig, seed: int) -> PreparedTask:
    """Prepare a task; the answers mean what the scene says."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng([seed, 1])
        capture_scene(scene, folder, CaptureConfig(pointing=config.pointing), rng)
        session = place(folder)
        points = read_points(Path(folder) / "points.json")
        answer = acting_config(arm.gripper.name)
        return prepare(session, points, task.plan, arm.gripper, answer)


def run_simulated(
    task: Task,
    arm: Arm,
    prepared: PreparedTask,
    config: SimulatedTaskConfig = SimulatedTaskConfig(),
    *,
    closed_loop: bool = True,
    disturbance: Disturbance | None = None,
    reask: Ask | None = None,
    observer: Observer = NoObserver(),
    filmed: bool = False,
    seed: int = 0,
) -> SimulatedRun:
    """Carry out a task in the simulator.

    Args:
        task: The task in its settled scene.
        arm: The arm with its gripper.
        prepared: What ``prepare_simulated`` returned for it; ``prepare_mistaken`` for a wrong first answer,
            ``prepare_by_model`` for a plan of a model.
        config: All options.
        closed_loop: Whether things are followed and the pointing model is asked again; otherwise everything
            is taken to stay where it was.
        disturbance: What happens meanwhile; None for nothing.
        reask: Asks a pointing model again in closed loop; None for the simulated one.
        observer: Follows the run while it lasts.
        filmed: Whether images of the camera are kept.
        seed: Seed of noise, disturbance and start postures.
    """
    robot = SimulatedRobot(task.scene, arm, config.robot, seed)
    monitor, film, disturber = TaskMonitor(task, robot.model), _Film(), None
    robot.before_step.append(lambda one: monitor.update(one.data))
    if filmed:
        robot.before_step.append(film)
    if disturbance is not None and disturbance != "wrong_first_answer":
        disturber = Disturber(disturbance, task.scene, roles_of(task), np.random.default_rng([seed, 2]))
        robot.before_step.append(disturber)
    try:
        view = robot.view()
        watched = TrackedThings(view, prepared.things(view)) if closed_loop else Unchanging(prepared.names)
        reask = reask or simulated_answers(
            robot, task.scene, config.pointing, np.random.default_rng([seed, 5])
        )
        again = reask if closed_loop else None
        draws = np.random.default_rng([seed, 3])
        outcome = run_prepared(robot, arm, prepared, watched, config, draws, again, observer)
        robot.rest(_RESTS)
        # Before the run.
        first = 0.0 if disturbance == "wrong_first_answer" else None
        started = first if disturber is None else disturber.started
        return SimulatedRun(outcome, monitor.success(robot.data), started, tuple(film.images))
    finally:
        robot.close()


def simulated_answers(
    robot: SimulatedRobot, scene: Scene, config: PointingConfig, rng: np.random.Generator
) -> Ask:
    """Return a pointing model that errs, and answers in the present image of a robot's camera.

    Args:
        robot: The robot.
        scene: Its scene, with what every query means.
        config: Error model.
        rng: Generator of all noise.
    """

    def ask(query: Query, view: View) -> Float[np.ndarray, " 2"] | None:
        assert view.depth is not None
        shot = SimView(view, robot.part_ids(), view.depth)
        choices = part_choices(scene, query.name, rng)
        (answer,) = answers_to_query(query.name, [shot], choices, config, rng)
        return answer.points[0] if answer.visible else None

    return ask


def roles_of(task: Task) -> Roles:
    """Return the object that a task grasps first, and the one that it is brought to."""
    things = {target.query.name: target.thing for target in task.scene.layout.targets}
    movable = set(task.scene.T_world_thing)
    grasped = [
        things[target.query.name]
        for step in task.plan.steps
        for target in step.targets
        if target.query.role == "grasp"
    ]
    named = [things[name] for step in task.plan.steps for one in step.constraints for name in queries_of(one)]
    target = next((name for name in (*grasped, *named) if name in movable), None)
    goals = [name for name in named if name in movable and name not in grasped]
    return Roles(target, next(iter(goals), None))


class _Film:
    """Keeps images of a run."""

    def __init__(self) -> None:
        self.images: list[UInt8[np.ndarray, "_h _w 3"]] = []

    def __call__(self, robot: SimulatedRobot) -> None:
        if robot.data.time * FILM_RATE >= len(self.images):
            self.images.append(robot.picture())
