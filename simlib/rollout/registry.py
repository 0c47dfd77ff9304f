"""The update services by name, and what a scenario's rollout means to one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib import import_module
from typing import Any, Final

from simlib.errors import InputError
from simlib.rollout.policy import Policy
from simlib.rollout.service import Service
from simlib.scenario.json_text import parse_json
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.schema import POLICIES
from simlib.scenario.toml_text import one_line, shown

_ONE_OF_MANY: Final = GroupSpec(Fraction(1), Fraction(1), Fraction(1), 1, 0)
"""A group whose rules are its service's, not the scenario's."""


def service_names() -> tuple[str, ...]:
    """The names `rollout.policy` and a configuration's ``service`` may have."""
    return POLICIES


@cache
def service_named(name: str) -> Service:
    """The service of that name. The scenario's schema, or who reads a configuration, has checked it."""
    module = import_module(f"simlib.rollout.services.{name.replace('-', '_')}")
    service: Service = module.SERVICE
    return service


def configured(spec: ScenarioSpec) -> tuple[Service, Any]:
    """The service of a scenario's rollout and its configuration, made from the groups if none is given.

    Raises `InputError` for one that the service would refuse.
    """
    service = service_named(spec.rollout.policy)
    source = _source(spec)
    document: Mapping[str, object]
    if spec.rollout.config:
        document = parse_json(spec.rollout.config, source)
        if document.get("service", service.name) != service.name:
            found = shown(str(document["service"]))
            raise InputError(f"{source}: service: found {found}, expected {service.name}, the rollout.policy")
        document = {key: value for key, value in document.items() if key != "service"}
    else:
        document = service.translate(spec).document
    return service, service.read(document, source)


def _source(spec: ScenarioSpec) -> str:
    """Where the configuration of a scenario's rollout stands."""
    return f"{one_line(spec.name)}: rollout.config"


def dictated(spec: ScenarioSpec) -> ScenarioSpec:
    """The scenario with the service's groups in place of its own, and its devices as the service has them.

    Its configuration is written out, as it may have been made from the groups. The groups of `staged` are the
    scenario's own. Raises `InputError`.
    """
    if spec.rollout.policy == "staged":
        return spec
    service, config = configured(spec)
    sizes = service.sizes_of(config, spec.devices, _source(spec))
    groups = tuple(replace(_ONE_OF_MANY, share=Fraction(size, spec.devices)) for size in sizes)
    written = spec.rollout.config or json_of(service.translate(spec).document)
    rollout = replace(spec.rollout, groups=groups, config=written)
    return service.dictate(config, replace(spec, rollout=rollout))


def json_of(document: Mapping[str, object]) -> str:
    """A configuration as JSON, decimal numbers as they read."""
    return json.dumps(document, default=float, separators=(",", ":"))


def make_policy(spec: ScenarioSpec, sizes: tuple[int, ...]) -> Policy:
    """A fresh policy for one run of `spec`, whose groups have `sizes`."""
    service, config = configured(spec)
    return service.policy(config, sizes)


def pulls(spec: ScenarioSpec) -> bool:
    """Whether devices knock at the service of a scenario's rollout (see `Policy.pull`)."""
    service, config = configured(spec)
    return service.policy(config, service.sizes_of(config, spec.devices, _source(spec))).pull
