"""A scenario's rollout as the configuration of an update service, and what that service cannot express."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from simlib.errors import InputError
from simlib.rollout.registry import dictated, service_named
from simlib.rollout.service import Service, Translation
from simlib.scenario.json_text import parse_json
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.toml_text import Document, one_line


@dataclass(frozen=True, slots=True)
class Exported:
    """The configuration, with the key ``service`` first, and a sentence for each thing that is lost."""

    service: str
    config: Document
    lost: tuple[str, ...]


def export(spec: ScenarioSpec, name: str) -> Exported:
    """The rollout of `spec` in the words of the service `name`, which must be one of `service_names()`.

    A rollout that has a configuration of that service gives that one. Raises `InputError` for a configuration
    in the scenario that its service would refuse.
    """
    service = service_named(name)
    source = f"{one_line(spec.name)}: rollout.config"
    if not spec.rollout.config:
        made = service.translate(spec)
    elif spec.rollout.policy == name:
        made = Translation(parse_json(spec.rollout.config, source))
    else:
        made = _from_another(service, spec)
    document = {key: value for key, value in made.document.items() if key != "service"}
    lost = (*made.lost, *_refused(service, document, spec, source))
    return Exported(name, {"service": name} | document, lost)


def _from_another(service: Service, spec: ScenarioSpec) -> Translation:
    """Of another service's configuration only its groups can be taken along."""
    other = spec.rollout.policy
    made = service.translate(dictated(spec))
    lost = f"rollout.config: of the {other} configuration only the sizes of its groups are taken along"
    return Translation(made.document, (lost, *made.lost))


def _refused(service: Service, document: Document, spec: ScenarioSpec, source: str) -> tuple[str, ...]:
    """What the service itself would say to a fleet of this size."""
    config = service.read(document, source)
    try:
        service.sizes_of(config, spec.devices, source)
    except InputError as error:
        return (f"devices: {service.name} refuses this fleet: {error}",)
    return ()


def json_text(value: object, indent: str = "") -> str:
    """`value` as JSON in lines, two spaces a level. Decimal numbers are written exactly.

    Takes objects, lists, text, booleans, null, integers and finite `decimal.Decimal`.
    """
    inside = indent + "  "
    if isinstance(value, Mapping):
        items = [f"{json.dumps(key)}: {json_text(item, inside)}" for key, item in value.items()]
        opening, closing = "{", "}"
    elif isinstance(value, list | tuple):
        items = [json_text(item, inside) for item in value]
        opening, closing = "[", "]"
    else:
        return str(value) if isinstance(value, Decimal) else json.dumps(value)
    if not items:
        return opening + closing
    lines = f",\n{inside}".join(items)
    return f"{opening}\n{inside}{lines}\n{indent}{closing}"
