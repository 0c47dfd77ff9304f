"""Eclipse hawkBit: groups with success and error thresholds, which only reports can cross.

Configuration: `simlib.rollout.services.hawkbit_config`; sizes of groups: `hawkbit_groups`; rules:
`hawkbit_policy`; what becomes of a scenario's rollout: `hawkbit_translate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import KNOCK, Service
from simlib.rollout.services.hawkbit_config import Config, read
from simlib.rollout.services.hawkbit_groups import sizes
from simlib.rollout.services.hawkbit_policy import HawkBit
from simlib.rollout.services.hawkbit_translate import translate
from simlib.scenario.model import ScenarioSpec

STATUSES: Final = {
    "scheduled": KNOCK,  # these are the server's own and say nothing of the device
    "canceling": KNOCK,
    "cancel_rejected": KNOCK,
    "retrieved": Told.OFFERED,
    "wait_for_confirmation": Told.OFFERED,
    "download": Told.STARTED,
    "downloaded": Told.STARTED,
    "running": Told.STARTED,
    "proceeding": Told.STARTED,  # as the direct device integration has it
    "warning": Told.STARTED,
    "finished": Told.SUCCEEDED,
    "error": Told.FAILED,
    "canceled": Told.SKIPPED,
}
"""An action's status. A device that will not update has its action canceled: ended, neither success nor
error.
"""

_DOWNLOADED: Final = {**STATUSES, "downloaded": Told.SKIPPED}
"""Those of a rollout of DOWNLOAD_ONLY actions: with ``downloaded`` an action is complete, neither success nor
error. What a device reports after it is not counted, as its first verdict counts.
"""


def words(config: Config) -> Mapping[str, Told]:
    """What a status means to this rollout."""
    return _DOWNLOADED if config.download_only else STATUSES


def policy(config: Config, group_sizes: tuple[int, ...]) -> Policy:
    """A fresh policy."""
    del group_sizes  # the view has them
    return HawkBit(config)


def dictate(config: Config, spec: ScenarioSpec) -> ScenarioSpec:
    """A rollout offers a target its release once, at any time, and withdraws nothing that has started."""
    del config
    return replace(
        spec,
        transfer=replace(spec.transfer, rounds=1),
        rollout=replace(spec.rollout, abort_downloads=False, window=None),
    )


SERVICE: Final = Service("hawkbit", read, sizes, policy, translate, STATUSES, dictate, words)
