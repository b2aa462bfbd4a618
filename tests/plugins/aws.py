"""Fixtures for what talks to AWS: one embedded endpoint a session, fresh tables a test.

The endpoint and made-up credentials are set in the environment of the test that asks, and of no other.
"""

import itertools
from collections.abc import Iterator

import pytest

from dora_bot.dynamo import Dynamo
from dora_bot.tables import create_tables
from tests.fakes.aws import FaultyProxy, LocalAwsProcess

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAwsProcess]:
    with LocalAwsProcess() as process:
        yield process


@pytest.fixture
def aws_environment(local_aws: LocalAwsProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint's address, with the usual AWS variables pointing to it."""
    use_endpoint(monkeypatch, local_aws.url)
    return local_aws.url


def use_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def db(aws_environment: str) -> Iterator[Dynamo]:
    """Four empty tables of this test's own, seeded as `dora tables create` does."""
    assert aws_environment
    dynamo = Dynamo.connect(f"test{next(_NUMBERS)}_")
    create_tables(dynamo, live=False)
    yield dynamo
    dynamo.close()


@pytest.fixture
def proxy(local_aws: LocalAwsProcess) -> Iterator[FaultyProxy]:
    with FaultyProxy(local_aws.url) as faulty:
        yield faulty


@pytest.fixture
def faulty_db(db: Dynamo, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dynamo]:
    """The tables of ``db``, seen through the proxy: one attempt a call, so that each fault is felt."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    dynamo = Dynamo.connect(db.prefix, attempts=1)
    yield dynamo
    dynamo.close()
