"""A release: signed images, and for each target and base version the artefact a device downloads."""

from simlib.release.artefact import Artefact, check_envelope, unpack_blob
from simlib.release.build import Release, build_release
from simlib.release.manifest import MAX_MANIFEST_BYTES, Manifest, open_manifest, sign_manifest
from simlib.release.recovery import RECOVERIES, Recovery

__all__ = [
    "MAX_MANIFEST_BYTES",
    "RECOVERIES",
    "Artefact",
    "Manifest",
    "Recovery",
    "Release",
    "build_release",
    "check_envelope",
    "open_manifest",
    "sign_manifest",
    "unpack_blob",
]
