"""The arguments of Airflow's own operators and sensors, for type checkers; a test compares them with each Airflow."""

from datetime import datetime, timedelta
from typing import Any, TypedDict

# fmt: off
#: ``Any`` where the versions of Airflow differ, or where a type would have to be imported for nothing else.
AirflowArguments = TypedDict("AirflowArguments", {  # noqa: UP013 - one name a line would take three pages
    "task_id": str, "task_display_name": str | None, "task_group": Any, "dag": Any,
    "default_args": dict[str, Any] | None, "owner": str, "params": Any, "start_date": datetime | None,
    "end_date": datetime | None, "resources": Any,
    "email": Any, "email_on_failure": bool, "email_on_retry": bool, "sla": timedelta | None, "run_as_user": str | None,
    "retries": int | None, "retry_delay": timedelta | float, "retry_exponential_backoff": float, "retry_policy": Any,
    "max_retry_delay": timedelta | float | None, "execution_timeout": timedelta | None, "trigger_rule": str,
    "depends_on_past": bool, "ignore_first_depends_on_past": bool, "wait_for_downstream": bool,
    "wait_for_past_depends_before_skipping": bool, "weight_rule": Any, "priority_weight": int, "queue": str,
    "pool": str | None, "pool_slots": int, "executor": str | None, "executor_config": dict[str, Any] | None,
    "max_active_tis_per_dag": int | None, "max_active_tis_per_dagrun": int | None, "map_index_template": str | None,
    "on_execute_callback": Any, "on_failure_callback": Any, "on_retry_callback": Any, "on_skipped_callback": Any,
    "on_success_callback": Any, "pre_execute": Any, "post_execute": Any, "do_xcom_push": bool, "multiple_outputs": bool,
    "inlets": Any, "outlets": Any, "doc": str | None, "doc_md": str | None, "doc_json": str | None,
    "doc_yaml": str | None, "doc_rst": str | None, "logger_name": str | None, "allow_nested_operators": bool,
    "render_template_as_native_obj": bool | None,
}, total=False)
# fmt: on


class SensorArguments(AirflowArguments, total=False):
    """What every sensor passes on to Airflow's ``BaseSensorOperator``."""

    poke_interval: timedelta | float
    timeout: timedelta | float
    soft_fail: bool
    mode: str
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool
