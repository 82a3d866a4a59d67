"""Installation of the package by colcon."""

from setuptools import setup

NAME = "point2act_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/point2act.launch.py"]),
        (f"share/{NAME}/config", ["config/point2act.yaml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The point2act authors",
    maintainer_email="point2act@example.org",
    description="From a sentence to grasps while a robot moves its RGB-D camera",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"point2act_node = {NAME}.node:main"]},
)
