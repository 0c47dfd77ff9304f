"""`simlib firmware`: chains of a registry of made-up packages, fetched, listed, checked and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simlib.firmware.corpus import corpus, pins, registries
from tests.firmware_chain.registries import NPM_CHAINS, MadeUpRegistry, image, tarred

Call = Callable[..., Any]


@pytest.fixture
def registry(tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpRegistry]:
    """Reached by HTTP, npm or not; the chains to begin with are its two."""
    folder = tmp_path / "data" / "corpus"
    folder.mkdir(parents=True)
    monkeypatch.setattr(pins, "data_path", lambda *parts: tmp_path.joinpath("data", *parts))
    monkeypatch.setattr(registries.shutil, "which", lambda _name: None)
    monkeypatch.setattr("simlib.firmware.corpus.START", tuple(NPM_CHAINS))
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "chains"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made_up = MadeUpRegistry(folder)
    made_up.write_pins()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", made_up.address)
    yield made_up
    made_up.close()


def states(simlib: Call, command: str) -> dict[str, list[str]]:
    chains = simlib(f"{command} --json").json["chains"]
    return {chain["name"]: [each["state"] for each in chain["firmwares"]] for chain in chains}


def test_without_a_name_the_chains_to_begin_with_are_fetched(
    simlib: Call, registry: MadeUpRegistry, tmp_path: Path
) -> None:
    answer = simlib("firmware fetch")
    assert (answer.status, answer.err) == (0, "")
    folder = tmp_path / "chains" / "corpus"
    assert answer.out.splitlines() == [f"{name}: 2 firmwares in {folder / name}" for name in NPM_CHAINS]
    assert registry.downloads() == ["up-7.0.0.tgz", "up-8.0.0.tgz"]
    assert simlib("firmware fetch left right").out == answer.out
    assert len(registry.downloads()) == 2


def test_all_chains_are_fetched_in_one_command(simlib: Call, registry: MadeUpRegistry) -> None:
    del registry.chains["madeup"]  # pip's; fetching by pip is tested where it is
    (registry.pins_folder / "madeup.json").unlink()
    registry.chains["more"] = {**registry.chains["left"], "name": "more"}
    registry.write_pins()
    assert [line.split(":")[0] for line in simlib("firmware fetch --all").out.splitlines()] == [
        "left",
        "more",
        "right",
    ]
    assert len(registry.downloads()) == 2


def test_names_beside_all_are_bad_input(refuses: Call, registry: MadeUpRegistry) -> None:
    refuses(2, "firmware fetch left --all", "--all", "left")


def test_a_list_says_what_is_in_the_cache(simlib: Call, registry: MadeUpRegistry) -> None:
    assert not any(chain["cached"] for chain in simlib("firmware list --json").json["chains"])
    simlib("firmware fetch left")
    registry.chains["right"]["licence"] = "of its own"
    registry.write_pins()
    chain = corpus("right")
    chain.cached_path(chain.pins[0]).parent.mkdir()
    chain.cached_path(chain.pins[0]).write_bytes(NPM_CHAINS["right"]["1.0.0b1"])
    left, madeup, right = simlib("firmware list --json").json["chains"]
    assert [each["cached"] for each in (left, madeup, right)] == [True, False, False]
    assert [each["start"] for each in (left, madeup, right)] == [True, False, True]
    assert (right["licence"], right["registry"], right["package"]) == ("of its own", "npm", "@made/up")
    sizes = {version: len(content) for version, content in NPM_CHAINS["right"].items()}
    assert {each["version"]: each["size_bytes"] for each in right["firmwares"]} == sizes
    assert [each["cached"] for each in right["firmwares"]] == [True, False]
    lines = simlib("firmware list").out.splitlines()
    shown = {line.split(":")[0]: line for line in lines if not line.startswith(" ")}
    assert shown["left"].endswith("(in the cache)")
    assert shown["madeup"].endswith("(not fetched: simlib firmware fetch madeup)")
    assert shown["right"].endswith("(1 of them in the cache: simlib firmware fetch right)")
    assert "licence of its own" in shown["right"]
    assert shown["licence"] == "licence: made up"
    assert f"{sizes['1.0.0']:,} bytes" in "\n".join(lines)


def test_verifying_finds_the_firmware_that_changed_and_says_how_to_mend_it(
    simlib: Call, registry: MadeUpRegistry
) -> None:
    simlib("firmware fetch")
    assert states(simlib, "firmware verify") == {
        "left": ["right", "right"],
        "madeup": ["not-fetched"] * 3,
        "right": ["right", "right"],
    }
    answer = simlib("firmware verify")
    assert (answer.status, answer.err) == (0, "")
    assert "left: 2 of 2 firmwares right" in answer.out
    assert "madeup: not fetched" in answer.out
    chain = corpus("right")
    path = chain.cached_path(chain.pins[1])
    path.write_bytes(path.read_bytes()[:-1])
    for command in ("firmware verify", "firmware verify right", "firmware verify --json"):
        answer = simlib(command)
        assert (answer.status, answer.err.count("\n")) == (1, 1)
        assert answer.err.endswith("simlib firmware fetch right\n")
    assert states(simlib, "firmware verify right") == {"right": ["right", "changed"]}
    assert str(path) in simlib("firmware verify").out
    assert simlib("firmware verify left").status == 0
    simlib("firmware fetch right")
    assert simlib("firmware verify").status == 0


def test_a_missing_firmware_of_a_fetched_chain_is_said_so(simlib: Call, registry: MadeUpRegistry) -> None:
    simlib("firmware fetch left")
    chain = corpus("left")
    chain.cached_path(chain.pins[0]).unlink()
    answer = simlib("firmware verify left")
    assert (answer.status, answer.out) == (0, "left: 1 of 2 firmwares right, 1 not fetched\n")


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_chain_is_bad_input(refuses: Call, registry: MadeUpRegistry, command: str) -> None:
    refuses(2, f"firmware {command} left lefd", "lefd", "nearest is left")


def test_a_damaged_archive_ends_with_status_1_and_leaves_nothing(
    refuses: Call, registry: MadeUpRegistry
) -> None:
    for path in registry.served:
        if path.endswith(".tgz"):
            registry.served[path] = registry.served[path][:-1] + b"x"
    refuses(1, "firmware fetch", "up-7.0.0.tgz", "SHA-256")


def test_a_registry_that_went_away_ends_with_status_2(
    refuses: Call, registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")  # the discard port: nobody listens
    refuses(2, "firmware fetch right", "the npm registry", "out of reach", "@made/up", "is kept")


def test_a_scenario_runs_on_a_fetched_chain_of_pre_releases(
    simlib: Call, registry: MadeUpRegistry, here: Path
) -> None:
    old = (here / "old.bin").read_bytes()
    images = []
    for number, version in enumerate(("4.0.0b4", "4.0.0b5", "4.0.0")):
        firmware = old[: 9000 + 64 * number] + bytes([number]) * 1000
        content = tarred({"package/f.bin": firmware})
        name = f"up-{number}.0.0.tgz"
        registry.served[f"/@made/up/-/{name}"] = content
        registry.packument["versions"][f"{number}.0.0"] = {
            "dist": {"tarball": f"{registry.address}/@made/up/-/{name}"}
        }
        images.append(image(version, f"{number}.0.0", name, content, "package/f.bin", firmware))
    registry.describe()
    registry.chains["left"]["images"] = images
    registry.write_pins()
    simlib("firmware fetch left")
    answer = simlib("run smoke --devices 40 --set release.source=corpus:left --json --out ran")
    assert answer.status == 0, answer.err
    assert "updated" in answer.out
    assert simlib("explain ran --device 1").status == 0
