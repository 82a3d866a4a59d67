"""Nodes of one part of the scene that are drawn again in place, so that nothing blinks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import viser
import viser.transforms
from jaxtyping import Float

from point2act.visualization.drawing import Color
from point2act.visualization.shapes import Mesh


class NodeLayer:
    """Nodes under one name; a node that is drawn again replaces the one with its name."""

    def __init__(self, server: viser.ViserServer, part: str, unit: float):
        """Start without nodes.

        Args:
            server: viser's server.
            part: First name of every node.
            unit: viser's units per unit of the world.
        """
        self.scene, self.part, self.unit = server.scene, part, unit
        self.nodes: dict[str, Any] = {}
        """Handles by name."""

    @contextmanager
    def redrawn(self) -> Iterator[None]:
        """Remove, at the end, every node that was not drawn again within this context."""
        before, self.nodes = self.nodes, {}
        yield
        for name, handle in before.items():
            if name not in self.nodes:
                handle.remove()

    def clear(self) -> None:
        """Remove all nodes."""
        with self.redrawn():
            pass

    def add_mesh(
        self, name: str, mesh: Mesh, color: Color, T_world_mesh: Float[np.ndarray, "4 4"] | None = None
    ) -> Any:
        """Draw a mesh, and return its handle.

        Args:
            name: Name of the node within the part.
            mesh: The mesh, unit of the world.
            color: Colour of all of it.
            T_world_mesh: Its pose; None for the world frame.
        """
        T = np.eye(4) if T_world_mesh is None else T_world_mesh
        self.nodes[name] = self.scene.add_mesh_simple(
            f"/{self.part}/{name}",
            self.unit * mesh.vertices,
            mesh.faces,
            color=color,
            flat_shading=True,
            wxyz=wxyz(T),
            position=self.unit * T[:3, 3],
        )
        return self.nodes[name]

    def add_frame(
        self, name: str, T_world_frame: Float[np.ndarray, "4 4"], length: float, radius: float
    ) -> None:
        """Draw the axes of a frame; lengths in the unit of the world."""
        self.nodes[name] = self.scene.add_frame(
            f"/{self.part}/{name}",
            axes_length=self.unit * length,
            axes_radius=self.unit * radius,
            wxyz=wxyz(T_world_frame),
            position=self.unit * T_world_frame[:3, 3],
        )

    def add_ball(self, name: str, center: Float[np.ndarray, "3"], radius: float, color: Color) -> None:
        """Draw a ball; lengths in the unit of the world."""
        self.nodes[name] = self.scene.add_icosphere(
            f"/{self.part}/{name}", radius=self.unit * radius, color=color, position=self.unit * center
        )

    def add_label(self, name: str, text: str, position: Float[np.ndarray, "3"]) -> None:
        """Write a text at a point of the world."""
        self.nodes[name] = self.scene.add_label(f"/{self.part}/{name}", text, position=self.unit * position)

    def add_points(
        self,
        name: str,
        points: Float[np.ndarray, "n 3"],
        color: Color | Float[np.ndarray, "n 3"],
        side: float,
    ) -> None:
        """Draw points of the world.

        Args:
            name: Name of the node within the part.
            points: The points, world.
            color: One colour, or one in [0, 1] for each point.
            side: Side of a point, unit of the world.
        """
        self.nodes[name] = self.scene.add_point_cloud(
            f"/{self.part}/{name}", self.unit * points, color, point_size=self.unit * side
        )

    def move(self, name: str, T_world_mesh: Float[np.ndarray, "4 4"]) -> None:
        """Move a node that is drawn."""
        handle = self.nodes[name]
        handle.wxyz, handle.position = wxyz(T_world_mesh), self.unit * T_world_mesh[:3, 3]


def wxyz(T: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4"]:
    """Return the rotation of a pose as viser takes it."""
    return viser.transforms.SO3.from_matrix(T[:3, :3]).wxyz
