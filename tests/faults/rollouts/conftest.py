"""The world of the API's component tests, with its real PostgreSQL."""

from component.api.conftest import *  # noqa: F403 - fixtures are found by their names here
