"""From a document to the facts of a scenario, or to one line that says why not.

The order: every key known and every leaf well formed (`simlib.scenario.schema`), then what must hold between
keys (`simlib.scenario.consistency`). Of several complaints the one told is an unknown key before anything
else, because the rest often follows from it, and otherwise the first in the schema's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from simlib.errors import InputError
from simlib.scenario.consistency import check
from simlib.scenario.model import (
    CohortSpec,
    FaultsSpec,
    GroupSpec,
    LinkSpec,
    PrecheckSpec,
    ReleaseSpec,
    ReportSpec,
    RolloutSpec,
    ScenarioSpec,
    TransferSpec,
)
from simlib.scenario.schema import CohortTable, ReleaseTable, RolloutTable, ScenarioTable, Table
from simlib.scenario.toml_text import Document, one_line, shown

_CONTAINERS = {"model_type": "a table", "model_attributes_type": "a table", "list_type": "a list"}


def read_document(document: Mapping[str, object], source: str) -> ScenarioSpec:
    """The facts `document` states; `source` names it in the `InputError` for anything wrong."""
    try:
        table = ScenarioTable.model_validate(dict(document))
    except ValidationError as error:
        raise InputError(f"{one_line(source)}: {_complaint(error)}") from None
    spec = _scenario(table)
    check(spec, one_line(source))
    return spec


def absolute_files(document: Document, folder: Path) -> None:
    """Make the paths in ``release.files`` absolute, in place: a relative one starts at `folder`."""
    release = document.get("release")
    files = release.get("files") if isinstance(release, dict) else None
    if isinstance(release, dict) and isinstance(files, list):
        release["files"] = [
            str((folder / f).absolute()) if isinstance(f, str) and f and "\0" not in f else f for f in files
        ]


def _complaint(error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(one_line(str(part)) for part in first["loc"]) or "the document"
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: found an unknown key, expected {_known(first)}"
        case "missing":
            return f"{key}: found no such key, expected it to be set"
        case "leaf":
            return f"{key}: found {shown(first['input'])}, expected {first['ctx']['expected']}"
    return f"{key}: found {shown(first['input'])}, expected {_CONTAINERS.get(first['type'], first['msg'])}"


def _known(error: ErrorDetails) -> str:
    """The keys of the table that holds the unknown key, the nearest one if there is one."""
    *path, last = error["loc"]
    table: type[Table] = ScenarioTable
    for part in path:
        if isinstance(part, str):
            table = _table_of(table, part)
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = get_close_matches(str(last), known, n=1)
    return f"{near[0]} (the nearest known key)" if near else f"one of {', '.join(known)}"


def _table_of(table: type[Table], key: str) -> type[Table]:
    inside: object = table.model_fields[key].annotation
    if isinstance(inside, type) and issubclass(inside, Table):
        return inside
    (element,) = get_args(inside)
    assert isinstance(element, type)
    assert issubclass(element, Table)
    return element


def _scenario(table: ScenarioTable) -> ScenarioSpec:
    return ScenarioSpec(
        name=table.name,
        title=table.title,
        seed=table.seed,
        devices=table.devices,
        horizon_ms=table.horizon,
        timeline_ms=table.timeline,
        release=_release(table.release),
        links=tuple(LinkSpec(name=link.name, capacity_bps=link.capacity) for link in table.links),
        cohorts=tuple(_cohort(cohort) for cohort in table.cohorts),
        precheck=PrecheckSpec(
            storage=table.precheck.storage,
            battery=table.precheck.battery,
            link=table.precheck.link,
            deferrals=table.precheck.deferrals,
        ),
        transfer=TransferSpec(
            resume=table.transfer.resume,
            granule_bytes=table.transfer.granule,
            attempts=table.transfer.attempts,
            backoff_ms=table.transfer.backoff,
            backoff_max_ms=table.transfer.backoff_max,
        ),
        faults=FaultsSpec(
            drop=table.faults.drop,
            drop_weak=table.faults.drop_weak,
            corruption=table.faults.corruption,
            power_cut=table.faults.power_cut,
            tear=table.faults.tear,
            power_off_ms=table.faults.power_off,
            defect=table.faults.defect,
            defect_hardware=tuple(table.faults.defect_hardware),
            stale_inventory=table.faults.stale_inventory,
        ),
        report=ReportSpec(delay_ms=table.report.delay),
        rollout=_rollout(table.rollout),
    )


def _release(table: ReleaseTable) -> ReleaseSpec:
    return ReleaseSpec(
        source=table.source,
        files=tuple(table.files),
        seed=table.seed,
        size_bytes=table.size,
        base_size_bytes=table.size if table.base_size is None else table.base_size,
        steps=tuple(table.steps),
        payload=table.payload,
        codec=table.codec,
        full_above=table.full_above,
        encrypted=table.encrypted,
        signature=table.signature,
        hardware=tuple(table.hardware),
    )


def _cohort(table: CohortTable) -> CohortSpec:
    return CohortSpec(
        name=table.name,
        share=table.share,
        hardware=table.hardware,
        layout=table.layout,
        slot_size_bytes=table.slot_size,
        download_size_bytes=table.download_size,
        sector_size_bytes=table.sector_size,
        write_size_bytes=table.write_size,
        erased_value=table.erased_value,
        flash=table.flash,
        core=table.core,
        radio=table.radio,
        base_mix=tuple(table.base_mix),
        link=table.link,
        rates_bps=tuple(table.rates),
        weak_link=table.weak_link,
        battery_low=table.battery[0],
        battery_high=table.battery[1],
        wake_period_ms=table.wake_period,
        wake_presence=table.wake_presence,
        reboot_ms=table.reboot,
        self_test_ms=table.self_test,
    )


def _rollout(table: RolloutTable) -> RolloutSpec:
    return RolloutSpec(
        policy=table.policy,
        interval_ms=table.interval,
        deadline_ms=table.deadline,
        abort_downloads=table.abort_downloads,
        window=table.window,
        groups=tuple(
            GroupSpec(
                share=group.share,
                success_threshold=group.success_threshold,
                error_threshold=group.error_threshold,
                min_sample=group.min_sample,
                soak_ms=group.soak,
            )
            for group in table.groups
        ),
    )
