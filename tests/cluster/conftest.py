"""One cluster for all tests that need one: it takes half a minute to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import local_airflow
import local_cluster
import pytest

from airflow_provider_batch.sandbox import Sandbox

OWN_DAGS = Path(__file__).parent / "dags"

#: Tasks that each of the two workers runs at once.
SLOTS_EACH = 2


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_cluster.Cluster]:
    """Two workers and the DAGs of the tests, whose runs name a connection of their own."""
    home, port = tmp_path_factory.mktemp("cluster"), local_airflow.free_port()
    env = local_airflow.environment(home, OWN_DAGS, Sandbox(), port) | local_cluster.SOON
    with local_cluster.cluster(home, env, port, slots=SLOTS_EACH) as running:
        yield running
