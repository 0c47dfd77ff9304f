"""A release: signed images, and for each base version the artefact a device downloads with its manifest."""

from simlib.release.artefact import Artefact, unpack_blob
from simlib.release.build import Release, build_release
from simlib.release.manifest import MAX_MANIFEST_BYTES, Manifest, open_manifest, sign_manifest

__all__ = [
    "MAX_MANIFEST_BYTES",
    "Artefact",
    "Manifest",
    "Release",
    "build_release",
    "open_manifest",
    "sign_manifest",
    "unpack_blob",
]
