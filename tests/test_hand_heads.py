"""Heads of hands: grasps from a network's proposals, from random starts, or from both."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic_volumes import FLOOR, cylinder, region_at, volume_of
from quick_hands import QUICK

from point2act.cli.main import main as cli
from point2act.core.errors import HandError
from point2act.core.types import Head
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandConfig, chosen_head
from point2act.grasping.learned.embodiment import embodiment_of
from point2act.grasping.learned.networks import EvaluatorConfig, FlowConfig, GraspEvaluator, GraspFlow
from point2act.grasping.learned.weights import file_name, write_network
from point2act.pipeline.planning import chosen_end_effector
from point2act.pipeline.query import AnswerConfig

PROPOSED = replace(QUICK, proposals=8)
SMALL = (16, 16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that were never trained."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    embodiment = embodiment_of(load_hand("allegro"))
    judge = GraspEvaluator(embodiment, EvaluatorConfig(num_points=64, encoder=SMALL, head=SMALL))
    flow = GraspFlow(embodiment, FlowConfig(num_points=64, encoder=SMALL, code=8, width=16, blocks=1))
    for network in (judge, flow):
        write_network(folder / file_name("allegro", network.kind), network, "allegro")
    return folder


def planned(head: Head, weights: Path | None):
    counts: list[tuple[int, int]] = []
    found, failure = plan_hand_grasps(
        volume_of(cylinder(0.03, 0.07, (0, 0, FLOOR + 0.07))),
        region_at((0.0, 0.0, FLOOR + 0.12), (0.04, 0.04, 0.03)),
        load_hand("allegro"),
        config=replace(PROPOSED, head=head, weights=weights),
        progress=lambda *count: counts.append(count),
    )
    return found, failure, counts


def test_proposals_of_a_network_pass_the_same_checks(weights):
    """Those of one that knows nothing do not: there is a reason, and nothing else."""
    found, failure, counts = planned("learned", weights)
    steps = HandConfig().refinement.iterations
    assert counts == [(step, steps) for step in range(1, steps + 1)]
    assert not found
    assert failure is not None
    # Of 8, the one that is not given up on the way.
    assert failure.counts["hand_poses"] == 1


def test_both_goes_on_with_random_starts_in_the_order_of_the_network(weights):
    found, failure, counts = planned("both", weights)
    assert failure is None
    total = HandConfig().refinement.iterations + 90
    assert counts == [(step, total) for step in range(1, total + 1)]
    assert len(found) > 1
    for grasp in found:
        assert grasp.terms["held"] == grasp.quality
        expected = 0.2 * grasp.terms["held"] + 0.8 * grasp.terms["by_part"]
        assert grasp.score == pytest.approx(expected * (0.8 + 0.2 * grasp.terms["clearance"]))
    assert [grasp.score for grasp in found] == sorted((grasp.score for grasp in found), reverse=True)


def test_no_network_judges_the_analytic_head(weights):
    found, _, _ = planned("analytic", weights)
    assert found
    for grasp in found:
        firm = grasp.terms["closure"] * np.sqrt(grasp.terms["payload"])
        assert grasp.quality == pytest.approx(1 / (1 + np.exp(0.2 - 2.3 * firm)))


def test_weights_ship_that_propose_and_judge_grasps_of_an_allegro_hand():
    found, failure = plan_hand_grasps(
        volume_of(cylinder(0.03, 0.07, (0, 0, FLOOR + 0.07))),
        region_at((0.0, 0.0, FLOOR + 0.09), (0.04, 0.04, 0.05)),
        load_hand("allegro"),
        config=replace(PROPOSED, head="learned", proposals=128),
    )
    assert failure is None
    assert all({"held", "by_part"} <= grasp.terms.keys() for grasp in found)
    shipped = list((resources.files("point2act") / "grasping/learned/weights").iterdir())
    sizes = {Path(str(one)).name: len(one.read_bytes()) for one in shipped}
    assert {"allegro_evaluator.safetensors", "allegro_flow.safetensors"} <= sizes.keys()
    assert sum(sizes.values()) < 8e6


def test_one_proposal_that_passes_is_enough():
    counts: list[tuple[int, int]] = []
    found, _ = plan_hand_grasps(
        volume_of(cylinder(0.03, 0.07, (0, 0, FLOOR + 0.07))),
        region_at((0.0, 0.0, FLOOR + 0.09), (0.04, 0.04, 0.05)),
        load_hand("allegro"),
        config=replace(PROPOSED, head="learned", proposals=128, rounds=2, max_grasps=100),
        progress=lambda *count: counts.append(count),
    )
    steps = HandConfig().refinement.iterations
    assert found
    assert counts == [(step, 2 * steps) for step in range(1, steps + 1)]


def test_proposals_come_first_where_weights_ship():
    config, allegro = HandConfig(), load_hand("allegro")
    assert chosen_head(allegro, config) == "both"
    assert chosen_head(load_hand("leap"), config) == "analytic"
    # A hand of one's own of the same name.
    assert chosen_head(replace(load_hand("leap"), name="allegro"), config) == "analytic"
    assert chosen_head(allegro, replace(config, head="learned")) == "learned"


@pytest.mark.parametrize("head", ["learned", "both"])
def test_a_hand_without_weights_is_refused_before_any_work(head, tmp_path):
    for folder, where in ((None, "no weights ship"), (tmp_path, f"no weights are in {tmp_path}")):
        config = AnswerConfig(hand="leap", hands=HandConfig(head=head, weights=folder))
        with pytest.raises(HandError, match="use --head analytic") as caught:
            chosen_end_effector(config)
        assert where in str(caught.value)


def test_a_gripper_has_no_head():
    with pytest.raises(HandError, match="is for hands: name one with --hand"):
        chosen_end_effector(AnswerConfig(hands=HandConfig(head="learned")))


def test_the_command_refuses_it_in_a_sentence(tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("color.png", "depth.png", "camera.json")]
    words = ["grasp-image", *files[:2], "--intrinsics", files[2], "--point", "1,1"]
    with pytest.raises(SystemExit) as ended:
        cli([*words, "--hand", "leap", "--head", "learned"])
    assert ended.value.code == 2
    assert "use --head analytic" in " ".join(capsys.readouterr().err.split())
