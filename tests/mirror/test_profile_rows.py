"""The rows of a mirror of profiles in a folder."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_batch.mirror.plan import FolderMirror
from airflow_provider_batch.mirror.profile_rows import FolderRows
from airflow_provider_batch.mirror.target import Target
from airflow_provider_batch.protocol.profiles.intake import ProfileIntake
from airflow_provider_batch.protocol.rows import Rejection
from tests.profiles.test_push import ROWS, push_of


def test_a_rejected_profile_is_named_by_its_place_in_the_source(tmp_path: Path) -> None:
    mirror = FolderMirror(tmp_path, Target("profiles", "custom_ids", "digest"))
    intake = ProfileIntake(ROWS, name="profiles")
    with push_of().spooled(intake) as spooled:
        rows = FolderRows(mirror, spooled, intake, lambda: None)
        assert rows.rejection(0, "c", "no") == Rejection("profiles", 3, "no")
        assert rows.rejection(5, "gone", "no") == Rejection("profiles", 5, "no")
