"""The benchmark harness, with small inputs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import CannotMeasureError, Metric, Plan, __main__, gate
from benchmarks.gate import Gated, read_baseline, verdicts
from benchmarks.suites import LONG, SUITES

REPOSITORY = Path(__file__).resolve().parents[2]
FEW = Plan(seconds=0.01, rounds=2, every=4)


def of_suite(monkeypatch: pytest.MonkeyPatch, *figures: Metric) -> None:
    """Replace the suite ``startup`` by these metrics; without metrics it cannot be measured."""

    def measure(plan: Plan) -> Iterator[Metric]:
        if not figures:
            raise CannotMeasureError("there is no clock")
        yield from figures

    monkeypatch.setattr("benchmarks.quality.startup.measure", measure)


def baseline(monkeypatch: pytest.MonkeyPatch, folder: Path, **entry: object) -> None:
    path = folder / "baseline.json"
    path.write_text(json.dumps([{"name": "startup.heavy_modules", "reason": "a count", **entry}]))
    monkeypatch.setattr(__main__, "read_baseline", lambda: read_baseline(path))


# ── command line ─────────────────────────────────────────────────────────────────────────────────
def test_an_unknown_suite_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["raster", "speed"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "no suite is named speed" in printed
    assert "raster" in printed


def test_the_suites_that_are_promised_are_there() -> None:
    promised = {
        "raster",
        "features",
        "fit",
        "lift",
        "question",
        "run",
        "startup",
        "memory",
        "growth",
        "tabletop",
        "teach",
        "act",
        "bags",
        "tracking",
        "gpu",
        "grasps",
        "hands",
        "localisation",
        "zoom",
        "choose",
        "clicks",
        "fleet",
        "follow",
        "frame",
        "real",
        "robots",
        "sensors",
        "view",
        "check",
        "fuzz",
        "kills",
        "large",
        "learned",
        "masks",
        "own_data",
        "soak",
    }
    assert set(SUITES) == promised


def test_json_has_the_keys_of_a_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_suite(monkeypatch, Metric("startup.help_s", 0.25, "s"), Metric("startup.glory", 3.0, "x", "higher"))
    assert __main__.main(["startup", "--json", str(tmp_path / "figures.json")]) == 0
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written[0] == {"name": "startup.help_s", "value": 0.25, "unit": "s", "better": "lower"}
    assert written[1]["better"] == "higher"
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["startup.help_s", "0.25", "s"],
        ["startup.glory", "3", "x"],
    ]


def test_a_suite_that_cannot_be_measured_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_suite(monkeypatch)
    assert __main__.main(["startup", "--gate"]) == 0
    assert "startup is skipped: there is no clock" in capsys.readouterr().out


def test_what_takes_long_runs_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], Plan]] = []
    monkeypatch.setattr(__main__, "run_suites", lambda chosen, plan: ran.append((chosen, plan)) or ([], []))
    for arguments in (["--quick"], [], ["tabletop", "--quick"]):
        __main__.main(arguments)
    (quick, few), (everything, many), (named, _) = ran
    assert everything == quick == [name for name in SUITES if name not in LONG]
    assert set(LONG) < set(SUITES)
    assert named == ["tabletop"]
    assert few.rounds < many.rounds


# ── the gate ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("value", "better", "code"),
    [
        (2.0, "lower", 0),
        (2.5, "lower", 0),
        (2.6, "lower", 1),
        (1.4, "higher", 1),
        (9.0, "higher", 0),
        (math.nan, "lower", 1),
        (math.nan, "higher", 1),
    ],
)
def test_the_gate_allows_the_tolerance_and_no_more(
    value: float, better: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_suite(monkeypatch, Metric("startup.heavy_modules", value, "modules", better))  # type: ignore[arg-type]
    baseline(monkeypatch, tmp_path, value=2.0, tolerance=0.5)
    assert __main__.main(["startup", "--gate"]) == code
    assert __main__.main(["startup"]) == 0


def test_a_gated_figure_must_not_vanish() -> None:
    gated = [Gated("startup.heavy_modules", 0, 0, "a count")]
    assert verdicts([], gated, ["raster"]) == (0, [])
    assert verdicts([], gated, ["startup"]) == (1, ["startup.heavy_modules was not measured"])


def test_the_committed_baseline_gates_no_seconds() -> None:
    gated = read_baseline()
    names = [entry.name for entry in gated]
    assert len(set(names)) == len(names)
    assert {name.split(".")[0] for name in names} <= set(SUITES)
    assert not [name for name in names if name.endswith(("_s", "seconds")) or "_ms" in name]
    assert all(entry.tolerance >= 0 and entry.reason for entry in gated)
    assert gate.BASELINE.is_file()


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────
def test_startup_counts_heavy_modules() -> None:
    from benchmarks.quality.startup import HEAVY, measure

    assert len(HEAVY) == 4
    figures = {metric.name: metric.value for metric in measure(Plan(rounds=0))}
    assert figures["startup.heavy_modules"] == 0
    assert 0 < figures["startup.import_s"] < figures["startup.run_help_s"]


def test_drawing_is_measured_beside_gsplat() -> None:
    from benchmarks.splatting.raster import measure_size

    figures = {metric.name: metric.value for metric in measure_size(2000, 48, 64, FEW)}
    assert all(math.isfinite(value) and value > 0 for value in figures.values())
    assert {"raster.ms_2k_64x48", "raster.speedup_2k_64x48", "raster.gsplat_ms_2k_64x48"} <= figures.keys()
    assert figures["raster.difference_2k_64x48"] < 1e-6


@pytest.mark.parametrize("loop", [True, False])
def test_the_peer_draws_the_same_picture(loop: bool) -> None:
    from gsplat.cuda import _torch_impl

    from benchmarks.common.synthetic_gaussians import camera, leaves, poses, tabletop
    from benchmarks.splatting import gsplat_torch
    from point2act.splatting.render import render

    lens, (pose,) = camera(33, 45), poses(1)
    listed = _torch_impl._isect_tiles if loop else gsplat_torch.isect_tiles
    random = torch.Generator().manual_seed(0)
    features, weights = torch.rand(800, 4, generator=random), torch.rand(33, 45, 4, generator=random)

    def ours(*scene: Tensor) -> tuple[Tensor, Tensor]:
        drawn = render(*scene, pose, lens)  # type: ignore[call-arg]
        return drawn.features, drawn.depth

    def theirs(*scene: Tensor) -> tuple[Tensor, Tensor]:
        return gsplat_torch.render(*scene, pose, lens, isect_tiles=listed)[:2]  # type: ignore[call-arg]

    images, gradients = [], []
    for draw in (ours, theirs):
        scene = (*leaves(tabletop(800, np.random.default_rng(1))), features.clone().requires_grad_())
        image, depth = draw(*scene)
        ((image * weights).sum() + depth.sum()).backward()
        images.append(torch.cat([image, depth[..., None]], dim=-1).detach())
        gradients.append([leaf.grad for leaf in scene])
    off = (images[0] - images[1]).abs().amax(dim=-1)
    assert off.median() < 1e-6
    assert (off > 1e-4).float().mean() < 0.01
    for v_ours, v_theirs in zip(*gradients, strict=True):
        assert (v_ours - v_theirs).norm() < 0.01 * v_ours.norm()


def test_growth_finds_the_exponent() -> None:
    from benchmarks.quality.growth import AXES, Curve, Size, along, drawing, follow, lifting, table_line

    assert Curve("draw", "pixels", (1, 2, 4), (3.0, 6.0, 12.0)).exponent == pytest.approx(1)
    assert Curve("draw", "pixels", (1, 2, 4), (3.0, 3.0, 3.0)).exponent == pytest.approx(0)
    for axis, sizes in AXES.items():
        points = [along(axis, size) for size in sizes]
        assert points == sorted(set(points))
    few = [Size(gaussians=n, side=32, views=2) for n in (50, 100)]
    for prepare in (drawing, lifting):
        curve = follow("draw", prepare, "gaussians", few, FEW)
        assert curve.sizes == (50, 100)
        assert "50:" in table_line(curve)


def test_growth_is_drawn_small(tmp_path: Path) -> None:
    from benchmarks.quality.growth import Curve
    from benchmarks.quality.growth_plot import draw_growth

    axes = ("gaussians", "pixels", "views", "queries")
    curves = [Curve(job, axis, (1, 2, 4), (0.1, 0.2, 0.5)) for axis in axes for job in ("lift", "draw")]
    draw_growth(curves, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "growth.png").stat().st_size < 100_000


# ── CUDA ─────────────────────────────────────────────────────────────────────────────────────────
def test_checks_of_the_graphics_card_find_no_difference_between_the_processor_and_itself() -> None:
    from benchmarks.splatting import gpu

    figures = list(gpu.agreement("cpu", n=500, height=32, width=48))
    assert len(figures) == 4
    assert all(metric.value == 0 for metric in figures)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
@pytest.mark.parametrize("command", [["-m", "benchmarks", "gpu"], ["benchmarks/splatting/gpu.py"]])
def test_gpu_runs_without_other_libraries_and_says_that_there_is_no_cuda(command: list[str]) -> None:
    refused = ("nerfstudio", "open3d", "mujoco", "transformers", "viser", "tyro", "pycolmap")
    code = (
        "import runpy, sys\n"
        f"for name in {refused!r}: sys.modules[name] = None\n"
        f"sys.argv = {command[-2 if command[0] == '-m' else 0 :]!r}\n"
    )
    if command[0] == "-m":
        code += "runpy.run_module('benchmarks', run_name='__main__', alter_sys=True)"
    else:
        code += "sys.path[0] = 'benchmarks/splatting'\n"
        code += "runpy.run_path('benchmarks/splatting/gpu.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "torch finds no CUDA device" in done.stdout
