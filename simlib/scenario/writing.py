"""From the facts of a scenario to its document, every default written out.

`simlib.scenario.reading` reads the document back to equal facts.
"""

from __future__ import annotations

from simlib.scenario.model import CohortSpec, FaultsSpec, GroupSpec, ReleaseSpec, RolloutSpec, ScenarioSpec
from simlib.scenario.schema import REST, SCHEMA, format_window
from simlib.scenario.toml_text import Document
from simlib.scenario.units import format_duration, format_rate, format_share, format_size


def document_of(spec: ScenarioSpec) -> Document:
    """The complete document of `spec`, in the schema's order, quantities as text with their unit."""
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "title": spec.title,
        "seed": spec.seed,
        "devices": spec.devices,
        "horizon": format_duration(spec.horizon_ms),
        "timeline": format_duration(spec.timeline_ms),
        "release": _release(spec.release),
        "links": [{"name": link.name, "capacity": format_rate(link.capacity_bps)} for link in spec.links],
        "cohorts": [_cohort(cohort) for cohort in spec.cohorts],
        "precheck": {
            "storage": spec.precheck.storage,
            "battery": format_share(spec.precheck.battery),
            "link": spec.precheck.link,
            "deferrals": spec.precheck.deferrals,
        },
        "transfer": {
            "resume": spec.transfer.resume,
            "granule": format_size(spec.transfer.granule_bytes),
            "attempts": spec.transfer.attempts,
            "backoff": format_duration(spec.transfer.backoff_ms),
            "backoff_max": format_duration(spec.transfer.backoff_max_ms),
        },
        "faults": _faults(spec.faults),
        "report": {"delay": format_duration(spec.report.delay_ms)},
        "rollout": _rollout(spec.rollout),
    }


def _release(release: ReleaseSpec) -> Document:
    return {
        "source": release.source,
        "files": list(release.files),
        "seed": release.seed,
        "size": format_size(release.size_bytes),
        "base_size": format_size(release.base_size_bytes),
        "steps": list(release.steps),
        "payload": release.payload,
        "codec": release.codec,
        "full_above": format_share(release.full_above),
        "encrypted": release.encrypted,
        "signature": release.signature,
        "hardware": list(release.hardware),
    }


def _cohort(cohort: CohortSpec) -> Document:
    return {
        "name": cohort.name,
        "share": format_share(cohort.share),
        "hardware": cohort.hardware,
        "layout": cohort.layout,
        "slot_size": format_size(cohort.slot_size_bytes),
        "download_size": format_size(cohort.download_size_bytes),
        "sector_size": format_size(cohort.sector_size_bytes),
        "write_size": cohort.write_size_bytes,
        "erased_value": cohort.erased_value,
        "flash": cohort.flash,
        "core": cohort.core,
        "radio": cohort.radio,
        "base_mix": [format_share(s) for s in cohort.base_mix],
        "link": cohort.link,
        "rates": [format_rate(r) for r in cohort.rates_bps],
        "weak_link": format_share(cohort.weak_link),
        "battery": [format_share(cohort.battery_low), format_share(cohort.battery_high)],
        "wake_period": format_duration(cohort.wake_period_ms),
        "wake_presence": format_share(cohort.wake_presence),
        "reboot": format_duration(cohort.reboot_ms),
        "self_test": format_duration(cohort.self_test_ms),
    }


def _faults(faults: FaultsSpec) -> Document:
    return {
        "drop": format_share(faults.drop),
        "drop_weak": format_share(faults.drop_weak),
        "corruption": format_share(faults.corruption),
        "power_cut": format_share(faults.power_cut),
        "tear": faults.tear,
        "power_off": format_duration(faults.power_off_ms),
        "defect": format_share(faults.defect),
        "defect_hardware": list(faults.defect_hardware),
        "stale_inventory": format_share(faults.stale_inventory),
    }


def _rollout(rollout: RolloutSpec) -> Document:
    return {
        "policy": rollout.policy,
        "interval": format_duration(rollout.interval_ms),
        "deadline": format_duration(rollout.deadline_ms),
        "abort_downloads": rollout.abort_downloads,
        "window": format_window(rollout.window),
        "groups": [_group(group) for group in rollout.groups],
    }


def _group(group: GroupSpec) -> Document:
    return {
        "share": REST if group.share is None else format_share(group.share),
        "success_threshold": format_share(group.success_threshold),
        "error_threshold": format_share(group.error_threshold),
        "min_sample": group.min_sample,
        "soak": format_duration(group.soak_ms),
    }
