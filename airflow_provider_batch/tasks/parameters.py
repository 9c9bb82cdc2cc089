"""
Parameters of tasks: declared once, shown everywhere, and checked when the DAG file is parsed.

Several operators share most of their parameters. These are keys of typed dictionaries, each declared as
``name: Annotated[type, default]``, and constructors take them as ``**kwargs: Unpack[…]``, which editors and type
checkers read. A class statement with ``takes=…`` gives the constructor the signature that results: Airflow reads it for
``default_args``, ``partial()`` and unknown names; ``inspect.signature`` and Sphinx show it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, Final, ForwardRef, Required, get_args, get_origin

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import arguments
from airflow_provider_batch.protocol.arguments import CHOICES, TRANSFER_MODES, ProfileMode
from airflow_provider_batch.protocol.limits import MAX_IDS_PER_CALL
from airflow_provider_batch.tasks.airflow_arguments import AirflowArguments

#: A parameter has an effect only with one of these values of other ones; if it is in two rows, it needs both. Otherwise
#: it is refused. The tables in the documentation are generated from this one.
USES: Final[tuple[tuple[tuple[str, ...], dict[str, tuple[object, ...]]], ...]] = (
    (("action_column",), {"mode": ("actions",)}),
    # In any mode, files without a single byte can be accepted.
    (("allow_empty",), {"mode": ("replace", "mirror", "changed"), "format": (None, *CHOICES["format"])}),
    (("max_shrink",), {"mode": ("replace", "mirror", "changed")}),
    (("snapshot_path", "full_refresh", "max_changes"), {"mode": ("mirror", "changed")}),
    (("first_run", "is_sorted", "on_drift"), {"mode": ("mirror",)}),
    (("snapshot_schema",), {"mode": ("mirror", "changed")}),
    (("keep_changes",), {"mode": ("mirror",)}),
    (("on_gone",), {"mode": ("changed",)}),
    # Of profiles, Batch rejects some in any call.
    (
        ("rejects_path", "max_rejected"),
        {"on_invalid_id": ("skip",), "on_rejected_chunk": ("bisect",), "mode": get_args(ProfileMode)},
    ),
    (("deferrable", "on_drift"), {"wait_for_indexing": (True,)}),
    # A replace and a mirror also wait between two of their calls.
    (("poke_interval", "indexing_timeout"), {"wait_for_indexing": (True,), "mode": ("replace", "mirror")}),
    (("header", "delimiter"), {"format": (None, "csv")}),
    (("encoding",), {"format": (None, "txt", "csv", "jsonl")}),
)
_LIMITED: Final = frozenset(name for names, _ in USES for name in names)
#: The parameters of which a mode needs one, and no more.
_NEEDED: Final = {
    "mirror": ("snapshot_path", "snapshot_schema"),
    "changed": ("snapshot_path", "snapshot_schema"),
    "actions": ("action_column",),
}
#: What has no effect with a snapshot in tables, and what has none without.
_OF_FOLDERS: Final = {"is_sorted": "the database sorts", "trim_ids": "trim them in the query"}
_OF_TABLES: Final = ("keep_changes",)
#: What ``default_args`` may name, as it is for other tasks of the DAG: the modes of Airflow's sensors and of transfers.
_MODES_OF_OTHERS: Final = ("poke", "reschedule", *TRANSFER_MODES)


def _check_calls(name: str, calls: object) -> None:
    from airflow_provider_batch.transport import MAX_CONNECTIONS  # few DAG files need it

    arguments.check_count(name, calls, MAX_CONNECTIONS)


#: How the value of a parameter is checked, or what is not a template of a templated one.
CHECKS: Final[dict[str, Callable[..., object]]] = {
    **dict.fromkeys(CHOICES, arguments.check_choice),
    **dict.fromkeys(("skip_on_empty", "create_if_missing", "wait_for_indexing", "trim_ids"), arguments.check_switch),
    **dict.fromkeys(("deferrable", "dry_run", "is_sorted", "header", "overwrite"), arguments.check_switch),
    **dict.fromkeys(("allow_empty", "full_refresh"), arguments.read_switch),
    **dict.fromkeys(("max_shrink", "max_changes"), lambda name, limit: arguments.read_limit(limit, name)),
    "max_rejected": lambda name, limit: arguments.check_limit(limit, name),
    **dict.fromkeys(("poke_interval", "indexing_timeout", "export_timeout"), arguments.read_seconds),
    **dict.fromkeys(("attributes", "identifiers", "events"), arguments.check_names),
    **dict.fromkeys(("live", "from_api"), arguments.check_optional_switch),
    "compression": arguments.check_compression,
    "keep_changes": arguments.check_days,
    "chunk_size": partial(arguments.check_count, most=MAX_IDS_PER_CALL),
    "max_concurrency": _check_calls,
    **dict.fromkeys(("id_column", "action_column", "tags_column"), arguments.check_column),
    "attribute_columns": arguments.check_attribute_columns,
    "null_values": arguments.check_null_values,
    "delimiter": arguments.check_delimiter,
    "encoding": arguments.check_encoding,
}


def declare(cls: Any, takes: Any) -> None:
    """Give the constructor of *cls* the parameters of the typed dictionary *takes*, and its docstring their texts."""
    init = cls.__init__
    whole = signature_of(init, takes)

    @wraps(init)
    def checked(self: Any, **given: Any) -> None:
        init(self, **settle(self, whole.parameters, given))

    cls.__init__ = show(checked, whole)
    # A typed dictionary does not know which ones it extends, so the texts of its module are searched.
    docs = "\n".join(cleandoc(each.__doc__ or "") for each in vars(sys.modules[takes.__module__]).values())
    texts = dict(re.findall(r"^:param (\w+):(.*(?:\n .*)*)", docs, re.MULTILINE))
    own_doc = cleandoc(cls.__doc__ or "")
    added = [name for name in whole.parameters if name in texts and f":param {name}:" not in own_doc]
    cls.__doc__ = "\n".join([own_doc, "", *(f":param {name}:{texts[name]}" for name in added)])


def show(function: Callable[..., Any], whole: Signature) -> Callable[..., Any]:
    """Give *function* a signature, for ``inspect.signature``, and for Sphinx, which prefers the annotations."""
    function.__signature__ = whole  # type: ignore[attr-defined]  # functions may have one
    function.__annotations__ = {**function.__annotations__, "kwargs": Any}
    return function


def signature_of(function: Callable[..., Any], takes: Any) -> Signature:
    """Return the signature of a function that takes the typed dictionary *takes* as its keyword arguments."""
    *own, rest = signature(function).parameters.values()
    return Signature([*own, *_shared(takes), rest.replace(annotation=Any)])


def settle(task: Any, parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments with all defaults.

    ``default_args`` are meant for all tasks of a DAG: those without effect are left out.

    :raises InvalidArgumentError: if a value is not valid, has no effect, or is missing.
    """
    defaults = {name: each.default for name, each in parameters.items() if each.default is not Parameter.empty}
    settled = {**defaults, **given}
    inherited = given.get("default_args") or {}
    # Only these are compared: to compare ids may read them.
    names = {"mode", *_LIMITED} & defaults.keys() & inherited.keys()
    inherited = [name for name in names if inherited[name] == settled[name]]
    if "mode" in inherited and settled["mode"] in _MODES_OF_OTHERS and settled["mode"] not in modes(task):
        settled["mode"] = defaults["mode"]
    if "wait_for_indexing" in settled and settled["wait_for_indexing"] is None:
        settled["wait_for_indexing"] = settled["mode"] == "mirror"
    settled |= {name: defaults[name] for name in inherited if _without_effect(task, parameters, settled, name)}
    check(task, parameters, settled)
    _check_needed(task, parameters, settled)
    return settled


def _check_needed(task: Any, parameters: Mapping[str, Parameter], settled: Mapping[str, Any]) -> None:
    mode = settled.get("mode")
    names = [name for name in _NEEDED.get(str(mode), ()) if name in settled]
    # The constructor of a subclass has kept what this one does not take.
    given = [name for name in _NEEDED.get(str(mode), ()) if settled.get(name, getattr(task, name, None)) is not None]
    if names and not given:
        raise InvalidArgumentError(f"{names[0]}: mode={mode!r} needs one. Pass {' or '.join(names)}.")
    if len(given) > 1:
        raise InvalidArgumentError(f"{given[1]}: passed together with {given[0]}. Pass one of them.")
    if settled.get("snapshot_schema") is None:
        if without := [name for name in _OF_TABLES if name in parameters and settled.get(name)]:
            raise InvalidArgumentError(f"{without[0]}: has no effect without snapshot_schema. Drop it.")
        return
    for name, reason in _OF_FOLDERS.items():
        if settled.get(name):
            raise InvalidArgumentError(f"{name}: has no effect with snapshot_schema; {reason}. Drop it.")


def check(task: Any, parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """
    Check those parameters that are *given* to a task, or to its class: the value of each, and that it has an effect.

    :raises InvalidArgumentError: if a value is not valid or has no effect.
    """
    for name in [each for each in parameters if each in given]:
        value, default = given[name], parameters[name].default
        check_not_one_pass(name, value)
        if name in CHECKS and not (value is default is None or is_template(task, name, value)):
            CHECKS[name](name, value, *((modes(task),) if name == "mode" else ()))
        if name in _LIMITED and value != default and (fault := _without_effect(task, parameters, given, name)):
            raise InvalidArgumentError(f"{name}: {value!r:.80} {fault}")


def modes(task: Any) -> tuple[str, ...]:
    """Return the modes of a task, or of its class, which has those of audiences if it names no other ones."""
    found: tuple[str, ...] = getattr(task, "modes", CHOICES["mode"])
    return found


def check_not_one_pass(name: str, value: object) -> None:
    """Check that *value* can be read repeatedly: of a generator, a DAG's stored form would have the address."""
    inside = set(map(type, value)) if isinstance(value, list | tuple) else set()
    if kind := next((kind for kind in (type(value), *inside) if issubclass(kind, Iterator)), None):
        raise InvalidArgumentError(
            f"{name}: a {kind.__name__} can be read only once, and a DAG file is parsed again and again. Pass a "
            "list or an upstream task's output, or yield the values in a function with @task.custom_audience or "
            "@task.batch_profiles."
        )


def is_template(task: Any, name: str, value: object) -> bool:
    """Whether the value of a parameter is known only when the task runs."""
    return name in task.template_fields and (isinstance(value, XComArg) or (isinstance(value, str) and "{" in value))


def _without_effect(task: Any, parameters: Mapping[str, Parameter], given: Mapping[str, Any], name: str) -> str | None:
    """Return why the parameter has no effect and what to do; None if it has one, or may have one."""
    for _, use in (row for row in USES if name in row[0]):
        # What the constructor does not take may be fixed by the class.
        known = [other for other in use if other in parameters or hasattr(task, other)]
        use = {other: tuple(each for each in use[other] if other != "mode" or each in modes(task)) for other in known}
        others = {other: given.get(other, getattr(task, other, None)) for other in known if use[other]}
        if any((other in parameters and other not in given) or value in use[other] for other, value in others.items()):
            continue
        if not others:  # the task has none of them
            continue
        now = " and ".join(f"{other}={value!r}" for other, value in others.items())
        then = " or ".join(f"{other}={value!r}" for other in others for value in use[other])
        changeable = [other for other in others if other in signature(task.__init__).parameters]
        remedy = f", or change {' or '.join(changeable)}" if changeable else ""
        return f"has no effect with {now}, only with {then}. Drop it{remedy}."
    return None


def _shared(takes: Any) -> Iterator[Parameter]:
    """Yield the keys of a typed dictionary, except for Airflow's own, as parameters of a function."""
    for name, hint in takes.__annotations__.items():
        if name not in AirflowArguments.__annotations__:
            type_ = get_args(hint.__origin__)[0] if get_origin(hint.__origin__) is Required else hint.__origin__
            annotation = type_.__forward_arg__ if isinstance(type_, ForwardRef) else type_
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=hint.__metadata__[0], annotation=annotation)
