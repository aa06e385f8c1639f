"""The same bench as the component tests have."""

from component.console.conftest import bench

__all__ = ["bench"]
