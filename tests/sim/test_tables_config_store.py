"""The contract of the embedded AWS, kept by the tables of the simulation."""

from tests.contract.test_config_store import *  # noqa: F403  (the very same tests, on the fixtures of this folder)
