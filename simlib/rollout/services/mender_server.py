"""What Mender's server answers one poll: which deployment, and which artefact of it.

Source: mender-docs, Overview/Deployment (the algorithm for selecting the deployment for a device) and the
chapters on delta updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as it looks to one device."""

    created_ms: int
    artifact_name: str
    artifact: bool = True  # it has an artefact for the device's type
    phase_active: bool = True  # it has no phases, or one with room has begun
    done: bool = False  # the device has finished it
    force_installation: bool = False


class Answer(StrEnum):
    """What a poll gets."""

    NOTHING = "nothing"
    UPDATE = "update"
    NO_ARTIFACT = "noartifact"
    ALREADY_INSTALLED = "already-installed"


def next_deployment(deployments: Sequence[Deployment], newest_finished_ms: int | None) -> Deployment | None:
    """The oldest deployment that the device has not finished, of those whose filter it matches.

    One created no later than the newest the device has finished is never its turn again: in a chain of
    dynamic deployments a device that finished a newer one gets no older one, although its filter matches
    now.
    """
    open_to_it = [
        d
        for d in deployments
        if not d.done and (newest_finished_ms is None or d.created_ms > newest_finished_ms)
    ]
    return min(open_to_it, key=lambda d: d.created_ms, default=None)


def answer(deployment: Deployment | None, installed: str) -> Answer:
    """What the device that runs the artefact `installed` gets of its `next_deployment`."""
    if deployment is None or not deployment.phase_active:
        return Answer.NOTHING
    if not deployment.artifact:
        return Answer.NO_ARTIFACT
    if deployment.artifact_name == installed and not deployment.force_installation:
        return Answer.ALREADY_INSTALLED
    return Answer.UPDATE


class Artefact(StrEnum):
    """Which form of the artefact a device gets."""

    FULL = "full"
    DELTA = "delta"
    WAIT = "wait"  # told that there is no update while the delta is being built


class Delta(StrEnum):
    """The server's delta from the root file system that the device says it has."""

    MISSING = "missing"
    READY = "ready"
    BUILDING = "building"  # autogeneration, up to about 15 minutes
    FAILED = "failed"  # autogeneration failed or took too long


def artefact_for(delta: Delta, autogenerate: bool, failed_tries: int, full_after_failure: bool) -> Artefact:
    """Which form is served. The server matches the checksum that the device provides, not the one it has.

    `full_after_failure` models the policy with which a device whose delta has failed gets the full image at a
    retry; without it the server knows of no hash mismatch and serves the same delta again.
    """
    if failed_tries and full_after_failure:
        return Artefact.FULL
    if delta is Delta.READY:
        return Artefact.DELTA
    if autogenerate and delta is Delta.BUILDING:
        return Artefact.WAIT
    return Artefact.FULL


def tries(intact: bool, retries: int, full_after_failure: bool) -> tuple[tuple[Artefact, bool], ...]:
    """What a device is served that a ready delta matches, and whether each install went well.

    Not `intact`: its root file system was mounted for writing, and is no longer what its checksum says.
    """
    made: list[tuple[Artefact, bool]] = []
    for failed in range(retries + 1):
        served = artefact_for(Delta.READY, False, failed, full_after_failure)
        well = intact or served is Artefact.FULL
        made.append((served, well))
        if well:
            break
    return tuple(made)
