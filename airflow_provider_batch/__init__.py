"""Airflow provider for Batch's APIs of audiences and profiles (https://doc.batch.com/developer/api)."""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider's metadata for Airflow: its modules and the connection form.

    Airflow 3 builds the form from ``conn-fields`` and ``ui-field-behaviour`` without importing the hook; for Airflow
    2.11 :class:`~airflow_provider_batch.hooks.batch.BatchHook` translates the same entries.
    """
    audiences = {
        "schemes": ["batch"],
        "handler": "airflow_provider_batch.assets.custom_audience.sanitize_uri",
        "factory": "airflow_provider_batch.assets.custom_audience.custom_audience_asset",
        "to_openlineage_converter": "airflow_provider_batch.assets.custom_audience.convert_asset_to_openlineage",
    }
    return {
        "package-name": "airflow-provider-batch",
        "name": "Batch",
        "description": (
            "Push ids to `Batch <https://batch.com/>`__ custom audiences, and attributes to its profiles; "
            "get exports and statistics."
        ),
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Batch",
                "external-doc-url": "https://doc.batch.com/developer/api/mep/custom-audience",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Batch", "python-modules": ["airflow_provider_batch.hooks.batch"]}],
        "operators": [
            {
                "integration-name": "Batch",
                "python-modules": [
                    "airflow_provider_batch.operators.custom_audience",
                    "airflow_provider_batch.operators.exports",
                    "airflow_provider_batch.operators.statistics",
                    "airflow_provider_batch.operators.profiles",
                ],
            }
        ],
        "sensors": [
            {"integration-name": "Batch", "python-modules": ["airflow_provider_batch.sensors.custom_audience"]}
        ],
        "triggers": [
            {
                "integration-name": "Batch",
                "python-modules": [
                    "airflow_provider_batch.triggers.custom_audience",
                    "airflow_provider_batch.triggers.exports",
                ],
            }
        ],
        "transfers": [
            {
                "source-integration-name": source,
                "target-integration-name": "Batch",
                "python-module": f"airflow_provider_batch.transfers.{source.lower()}_to_{target}",
            }
            for target in ("custom_audience", "profiles")
            for source in ("SQL", "Files")
        ],
        "task-decorators": [
            {
                "name": "custom_audience",
                "class-name": "airflow_provider_batch.decorators.custom_audience.custom_audience_task",
            },
            {
                "name": "batch_profiles",
                "class-name": "airflow_provider_batch.decorators.profiles.batch_profiles_task",
            },
        ],
        # For Airflow 3 and Airflow 2.
        "asset-uris": [dict(audiences)],
        "dataset-uris": [dict(audiences)],
        "extra-links": ["airflow_provider_batch.links.batch.BatchDashboardLink"],
        "connection-types": [
            {
                "connection-type": "batch",
                "hook-class-name": "airflow_provider_batch.hooks.batch.BatchHook",
                "hook-name": "Batch",
                "ui-field-behaviour": {
                    # Every extra has a field of its own, and a port is part of the base URL.
                    "hidden-fields": ["schema", "extra", *([] if _needs_port() else ["port"])],
                    "relabeling": {
                        "login": "Batch API key or project key",
                        "password": "REST API key",
                        "host": "Base URL",
                        "port": "Port",
                    },
                    "placeholders": {
                        "login": "mep: the app's Live, Dev or SDK key; cep: the project's key (Settings > General)",
                        "password": "the company's REST API key, from Batch's dashboard: Settings > General",
                        "host": "empty for https://api.batch.com",
                        "port": "443 (Airflow 3.3 needs it to test the connection)",
                    },
                },
                "conn-fields": {
                    "platform": {
                        "label": "Platform",
                        "description": "mep: Mobile Engagement Platform (default); cep: Customer Engagement Platform.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["mep", "cep", None],
                            # Airflow 3 shows these in place of the values; without them it shows "null" for no choice.
                            "values_display": {
                                "mep": "mep: Mobile Engagement Platform",
                                "cep": "cep: Customer Engagement Platform",
                                "null": "not set: mep",
                            },
                        },
                    },
                    "api_version": {
                        "label": "API version",
                        "description": "Version of the Customer Engagement Platform's API (default 2.11).",
                        "schema": {"type": ["string", "null"], "pattern": r"^2\.[0-9]{1,3}$"},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "The most seconds that one attempt of a call may take in all (default 60).",
                        "schema": {"type": ["number", "null"], "minimum": 0.001, "maximum": 86400},
                    },
                    "max_attempts": {
                        "label": "Attempts",
                        "description": "The most attempts of one call before the task fails (default 5).",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_concurrency": {
                        "label": "Concurrent calls",
                        "description": "The most calls of one push in flight at once (default 4).",
                        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 64},
                    },
                    "requests_per_second": {
                        "label": "Requests per second",
                        "description": "The most requests of one task per second, polls included (default: no limit).",
                        "schema": {"type": ["number", "null"], "minimum": 0.001, "maximum": 1000000},
                    },
                    "dashboard_url": {
                        "label": "Dashboard",
                        "description": "Target of a task's link; must not contain a key (default: Batch's dashboard).",
                        "schema": {"type": ["string", "null"], "pattern": "^https?://[^@/?#\\s]+([/?#].*)?$"},
                    },
                },
            }
        ],
    }


def _needs_port() -> bool:
    """Whether this Airflow is 3.3: it tests no connection without a port (https://github.com/apache/airflow/pull/73298)."""
    # Imported here: with the package it would cost whoever imports an error.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("apache-airflow-core").startswith("3.3.")
    except PackageNotFoundError:  # Airflow 2
        return False
