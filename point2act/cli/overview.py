"""The commands, the options that every command has, and the text of ``point2act --help``."""

from __future__ import annotations

COMMANDS = {
    "capture": "Convert recordings, bags of ROS, photographs or videos.",
    "check": "Report errors and warnings of a capture, and refine it.",
    "run": "Reconstruct a capture, locate the queries in it and plan grasps.",
    "ask": "Ask a model to point at objects in every image of a capture.",
    "batch": "Plan grasps for many captures and questions, also on Ray.",
    "plan": "Ask a model which steps and queries an instruction needs.",
    "grasp": "Plan grasps on a saved run, also for new queries.",
    "grasp-image": "Plan grasps on one image with depth, in seconds.",
    "track": "Follow things through an RGB-D recording.",
    "act": "Carry out a task in closed loop, in the simulator or on a robot.",
    "view": "Show a scene in a browser: ask, point, inspect grasps.",
    "bench-model": "Score pointing models on a published benchmark.",
    "teach": "Teach pointing models what the views of finished runs agree on.",
    "learn-grasps": "Train networks that judge and propose grasps.",
    "compare": "Print two results side by side.",
    "export": "Write a recording for Rerun or Foxglove, or a data set.",
    "demo": "Run the complete pipeline on a simulated table.",
    "serve": "Serve captures, questions and results over HTTP.",
    "simulate": "Render a simulated capture, or execute grasps in physics.",
    "gripper": "Validate the file of a gripper or a hand and draw it.",
    "completion": "Print a completion script for bash, zsh or fish.",
}

EVERYWHERE = {
    "--verbose": "Also log details, such as every request.",
    "--quiet": "Log warnings and errors only.",
    "--json-log": "Log one JSON object per line to stderr.",
    "--debug": "Show the traceback of an error.",
}
"""Options that every command accepts."""

_TEXT = """\
usage: point2act COMMAND [OPTIONS]

Ask for "the handle of the blue mug" and get grasps for it. A model points at it
in many photographs; the points become a region on 3D Gaussians; grasps are
planned in that region.

Commands:
{commands}

First steps on a simulated table (needs MuJoCo: pip install mujoco), all at once
with `point2act demo --view`, or one by one:
  point2act simulate --output table/         images, depth and recorded points
  point2act run table/ --output out/         regions and grasps
  point2act simulate --try out/grasps.json   execute the grasps in physics
  point2act view out/                        ask and point in a browser

With one image and its depth:
  point2act grasp-image color.png depth.png --intrinsics fx,fy,cx,cy --point x,y

With your own photographs:
  point2act capture photos DIR --output capture/
                            converts them; also video FILE, rgbd DIR, …
  capture/transforms.json   or your own: intrinsics and poses in nerfstudio's
                            format, images, and preferably depth
  point2act run capture/ --output out/ --query "the handle of the mug"
      --model qwen3_vl_8b --server http://localhost:8000/v1
                            asks a model; --follow: while the robot still moves
  point2act run capture/ --output out/
                            uses the points of capture/points.json

Files that `run` writes into out/:
  grasps.json    a region and grasps for each query, or the reason for none
  report.html    the results in pictures, on one page
  scene.ply      the Gaussians, for any viewer of Gaussian splats
  geometry.ply   with depth: the Gaussians before the fit
  relevancy.ply  the Gaussians, coloured by their relevancy
  timings.json   seconds per stage
  points.json    the answers of the model, if one was asked
  run.json       input of `point2act grasp` and `point2act view`

More:
  point2act COMMAND --help         the options that most users need
  point2act COMMAND --help-all     every option
  point2act COMMAND --config FILE.toml
                                   options from a file
{flags}
  point2act --version
  ns-train point2act --data capture/   the same pipeline in nerfstudio
"""


def module_of(command: str) -> str:
    """Return the module of a command."""
    return f"point2act.cli.{command.replace('-', '_')}"


def overview() -> str:
    """Return the text of ``point2act --help``."""
    commands = [f"  {name:<12} {summary}" for name, summary in COMMANDS.items()]
    flags = [f"  point2act COMMAND {flag:<15}{summary}" for flag, summary in EVERYWHERE.items()]
    return _TEXT.format(commands="\n".join(commands), flags="\n".join(flags)).rstrip()
