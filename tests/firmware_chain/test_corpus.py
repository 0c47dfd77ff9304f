"""Fetching pinned chains from a registry of made-up packages, with pip and npm themselves where they are.

Held for every client: what is right is not fetched again, nothing is kept that is not the pinned firmware,
and what cannot be had is said in one line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.cache import cache_dir
from simlib.firmware.corpus import State, corpus, fetch, load_corpus, pins, registries, stored_states
from simlib.firmware.corpus.registries import run_command
from simlib.firmware.version import Version
from tests.firmware_chain.registries import NPM_CHAINS, PACKAGE, PYPI_CHAIN, MadeUpRegistry, hex_line, tarred

CLOSED = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpRegistry]:
    folder = tmp_path / "data" / "corpus"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pins, "data_path", lambda *parts: tmp_path.joinpath("data", *parts))
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PIP_CONFIG_FILE", "NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG"):
        monkeypatch.setenv(name, str(tmp_path / f"no-{name}"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made_up = MadeUpRegistry(folder)
    made_up.write_pins()
    point_at(monkeypatch, made_up.address)
    yield made_up
    made_up.close()


def point_at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Everybody's configuration names `address`, as behind a mirror."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{address}/")


def without_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries.shutil, "which", lambda _name: None)


@pytest.fixture(params=["npm", "http"])
def npm_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the npm registry is reached: by npm, or by HTTP where there is no npm."""
    if request.param == "http":
        without_npm(monkeypatch)
    elif shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    return str(request.param)


def cached_files() -> list[str]:
    folder = cache_dir() / "corpus"
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.rglob("*") if path.is_file())


def refused(*names: str) -> Refused:
    with pytest.raises(Refused) as caught:
        fetch(*names)
    assert "\n" not in str(caught.value)
    return caught.value


def not_had(*names: str) -> str:
    with pytest.raises(InputError) as caught:
        fetch(*names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def failing(status: int, stderr: str) -> Callable[[Sequence[str]], subprocess.CompletedProcess[str]]:
    """A client that ends with `status` and says `stderr`."""
    return lambda command: subprocess.CompletedProcess(list(command), status, "", stderr)


def test_a_chain_from_a_mirror_loads_oldest_first_and_is_not_fetched_again(registry: MadeUpRegistry) -> None:
    assert not corpus("madeup").is_cached()
    told: list[tuple[int, int, str]] = []
    paths = fetch("madeup", progress=lambda *news: told.append(news))
    assert [path.read_bytes() for path in paths["madeup"]] == list(PYPI_CHAIN.values())
    assert [(done, total) for done, total, _ in told] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [what for *_, what in told[1:]] == [f"madeup {version}" for version in PYPI_CHAIN]
    firmwares = load_corpus("madeup")
    assert [(each.label, each.payload) for each in firmwares] == list(PYPI_CHAIN.items())
    assert [each.version for each in firmwares] == [Version(23, 4, 1), Version(24, 0, 0), Version(25, 11, 2)]
    assert corpus("madeup").is_cached()
    assert fetch("madeup") == paths
    assert len(registry.downloads()) == 3
    assert cached_files() == [f"madeup/{version}.bin" for version in PYPI_CHAIN]


def test_chains_that_share_archives_download_each_once(registry: MadeUpRegistry, npm_client: str) -> None:
    fetch("left", "right", "left")
    assert registry.downloads() == ["up-7.0.0.tgz", "up-8.0.0.tgz"]
    for name, firmwares in NPM_CHAINS.items():
        chain = load_corpus(name)
        assert {each.label: each.payload for each in chain} == firmwares
        assert [str(each.version) for each in chain] == ["1.0.0", "1.0.0+1"]
    assert cached_files() == sorted(f"{name}/{v}.bin" for name in NPM_CHAINS for v in ("1.0.0b1", "1.0.0"))


def test_a_mirror_that_names_its_origin_is_asked_itself(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_npm(monkeypatch)
    for version in registry.packument["versions"].values():
        version["dist"]["tarball"] = version["dist"]["tarball"].replace(registry.address, CLOSED)
    registry.describe()
    fetch("left")
    assert load_corpus("left")[1].payload == NPM_CHAINS["left"]["1.0.0"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(registry: MadeUpRegistry) -> None:
    def interrupted(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if len(registry.downloads()) == 2:
            raise KeyboardInterrupt
        return run_command(command)

    with pytest.raises(KeyboardInterrupt):
        fetch("madeup", runner=interrupted)
    assert cached_files() == ["madeup/2023.4.1.bin", "madeup/2024.0.0.bin"]
    told: list[int] = []
    fetch("madeup", progress=lambda done, _total, _what: told.append(done))
    assert told == [2, 3]
    assert len(registry.downloads()) == 3
    assert load_corpus("madeup")[2].payload == PYPI_CHAIN["2025.11.2"]


def test_a_firmware_that_changed_in_the_cache_is_refused_and_fetched_again(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_npm(monkeypatch)
    path = fetch("left")["left"][1]
    path.write_bytes(b"other")
    assert stored_states(corpus("left")) == (State.RIGHT, State.CHANGED)
    with pytest.raises(Refused, match="simlib firmware fetch left") as caught:
        load_corpus("left")
    assert caught.value.reason is Reason.HASH_MISMATCH
    fetch("left")
    assert registry.downloads() == ["up-7.0.0.tgz", "up-8.0.0.tgz", "up-8.0.0.tgz"]
    assert load_corpus("left")[1].payload == NPM_CHAINS["left"]["1.0.0"]


def test_a_chain_that_is_not_fetched_says_how_to_fetch_it(registry: MadeUpRegistry) -> None:
    assert stored_states(corpus("madeup")) == (State.NOT_FETCHED,) * 3
    with pytest.raises(InputError, match="simlib firmware fetch madeup"):
        load_corpus("madeup")


@pytest.mark.parametrize("damage", ["other byte", "longer", "shorter", "foreign"])
def test_an_archive_other_than_the_pinned_one_is_refused_before_it_is_opened(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    without_npm(monkeypatch)
    (path,) = [path for path in registry.served if path.endswith("up-8.0.0.tgz")]
    content = registry.served[path]
    registry.served[path] = {
        "other byte": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "longer": content + bytes(1 << 20),
        "shorter": content[:100],
        "foreign": tarred({"package/build/left.zip": b"made up by somebody else"}),
    }[damage]
    monkeypatch.setattr("simlib.firmware.corpus.fetching.read_member", opened_no_damaged_archive(content))
    refusal = refused("left", "right")
    assert refusal.reason is Reason.HASH_MISMATCH
    sizes = {"longer": len(content) + 1, "shorter": 100}  # of a longer one a byte more than pinned is read
    found = f"found {sizes[damage]} bytes" if damage in sizes else "found"
    assert found in str(refusal)
    assert cached_files() == ["left/1.0.0b1.bin", "right/1.0.0b1.bin"]


def opened_no_damaged_archive(content: bytes) -> Callable[..., bytes]:
    """Reads members as ever, but never of an archive that stands in for `content`."""
    from simlib.firmware.corpus.archives import read_member

    def read(archive: bytes, name: str, member: str, limit_bytes: int) -> bytes:
        assert "8.0.0" not in name or archive == content
        return read_member(archive, name, member, limit_bytes)

    return read


def test_a_firmware_other_than_the_pinned_one_is_refused_with_all_of_its_archive(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_npm(monkeypatch)
    registry.chains["right"]["images"][1]["sha256"] = "0" * 64
    registry.write_pins()
    refusal = refused("left", "right")
    assert refusal.reason is Reason.HASH_MISMATCH
    assert "up-8.0.0.tgz: package/build/right.zip!base.bin: found SHA-256" in str(refusal)
    assert cached_files() == ["left/1.0.0b1.bin", "right/1.0.0b1.bin"]


def test_a_firmware_larger_than_pinned_is_not_read_to_its_end(registry: MadeUpRegistry) -> None:
    registry.chains["madeup"]["images"][0]["size_bytes"] -= 1
    registry.write_pins()
    assert refused("madeup").reason is Reason.OVERSIZE
    assert cached_files() == []


def test_an_archive_without_the_firmware_is_refused(registry: MadeUpRegistry) -> None:
    registry.chains["madeup"]["images"][0]["member"] = "madeup/elsewhere.bin"
    registry.write_pins()
    refusal = refused("madeup")
    assert refusal.reason is Reason.ARTEFACT_MISMATCH
    assert "found no file madeup/elsewhere.bin" in str(refusal)


def test_a_firmware_in_hex_is_kept_as_it_lies_in_flash(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_npm(monkeypatch)
    lines = [hex_line(0, 0, b"\x01\x02"), hex_line(6, 0, b"\x07\x08"), hex_line(0, 1, b"")]
    member = "\n".join(lines).encode()
    flash = b"\x01\x02\xff\xff\xff\xff\x07\x08"
    content = tarred({"package/a.hex": member})
    registry.served[f"/{PACKAGE}/-/up-7.0.0.tgz"] = content
    pin = {
        **registry.chains["left"]["images"][0],
        "archive_size_bytes": len(content),
        "archive_sha256": sha256(content).hexdigest(),
        "member": "package/a.hex",
        "member_size_bytes": len(member),
        "member_sha256": sha256(member).hexdigest(),
        "size_bytes": len(flash),
        "sha256": sha256(flash).hexdigest(),
    }
    registry.chains["left"] |= {"form": "intel-hex", "images": [pin]}
    registry.write_pins()
    assert fetch("left")["left"][0].read_bytes() == flash
    pin["sha256"] = sha256(b"another span").hexdigest()
    registry.write_pins()
    assert "as it lies in flash" in str(refused("left"))


def test_a_wheel_that_is_gone_is_bad_input(registry: MadeUpRegistry) -> None:
    del registry.served["/files/madeup-2025.11.2-py3-none-any.whl"]
    message = not_had("madeup")
    assert "package madeup 2025.11.2" in message
    assert "the Python package index" in message
    assert cached_files() == ["madeup/2023.4.1.bin", "madeup/2024.0.0.bin"]


def test_an_npm_version_that_is_gone_is_bad_input(registry: MadeUpRegistry, npm_client: str) -> None:
    del registry.packument["versions"]["8.0.0"]
    registry.packument["dist-tags"] = {"latest": "7.0.0"}
    registry.describe()
    message = not_had("left")
    assert f"package {PACKAGE} 8.0.0" in message
    assert "the npm registry" in message
    assert "out of reach" not in message
    assert cached_files() == ["left/1.0.0b1.bin"]


def test_an_npm_package_that_is_gone_is_bad_input(registry: MadeUpRegistry, npm_client: str) -> None:
    del registry.served["/@made%2fup"]
    message = not_had("left")
    assert f"package {PACKAGE} 7.0.0" in message
    assert "out of reach" not in message


def test_a_python_index_out_of_reach_is_said_so(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(monkeypatch, CLOSED)
    monkeypatch.setenv("PIP_RETRIES", "0")
    message = not_had("madeup")
    assert "package madeup 2023.4.1: found the Python package index out of reach" in message
    assert "is kept" in message
    assert cached_files() == []


def test_an_npm_registry_out_of_reach_is_said_so_and_what_was_there_is_kept(
    registry: MadeUpRegistry, npm_client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = corpus("left")
    path = chain.cached_path(chain.pins[1])
    path.parent.mkdir(parents=True)
    path.write_bytes(NPM_CHAINS["left"]["1.0.0"])
    point_at(monkeypatch, CLOSED)
    message = not_had("left")
    assert f"package {PACKAGE} 7.0.0: found the npm registry out of reach" in message
    assert "is kept" in message
    assert cached_files() == ["left/1.0.0.bin"]


@pytest.mark.parametrize("answer", ["status 503", "no JSON", "no package", "no archive"])
def test_a_web_page_instead_of_a_registry_is_out_of_reach(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    without_npm(monkeypatch)
    if answer == "status 503":
        registry.status = 503
    about = {
        "no JSON": b"<html>sign in</html>",
        "no package": b"[]",
        "no archive": b'{"versions": {"7.0.0": 1}}',
    }
    registry.served["/@made%2fup"] = about.get(answer, b"{}")
    assert "out of reach" in not_had("left")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "made.up", ""])
def test_without_npm_and_a_registrys_address_that_is_said(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    without_npm(monkeypatch)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
    message = not_had("left")
    assert "NPM_CONFIG_REGISTRY" in message
    assert ("found neither npm nor" in message) == (address == "")


@pytest.mark.parametrize(
    ("chain", "stderr", "named"),
    [
        ("madeup", f"{sys.executable}: No module named pip\n", "No module named pip"),
        ("madeup", "", "pip gave no reason"),
        ("madeup", "WARNING: after connection broken by 'X'\nERROR: No matching", "out of reach"),
        ("madeup", "ERROR: No matching distribution\nhint", "No matching distribution"),
        (
            "left",
            "npm error code ENOTFOUND\nnpm error errno ENOTFOUND\n",
            "out of reach (npm says ENOTFOUND)",
        ),
        ("left", "npm ERR! code ETIMEDOUT\nnpm ERR! network\n", "out of reach (npm says ETIMEDOUT)"),
        ("left", "npm error code E404\nnpm error 404 Not Found\n", "no such package or version"),
        ("left", "npm error code E401\n", "npm says E401"),
        ("left", "Exit:\n cause\n", "(Exit: cause)"),
        ("left", "", "npm gave no reason"),
    ],
)
def test_what_a_client_complains_of_is_told_in_one_line(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch, chain: str, stderr: str, named: str
) -> None:
    monkeypatch.setattr(registries.shutil, "which", lambda name: name)
    with pytest.raises(InputError) as caught:
        fetch(chain, runner=failing(1, stderr))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_client_is_told_to_install_or_to_run_anything(
    registry: MadeUpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(registries.shutil, "which", lambda name: name)

    def noted(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(list(command), 1, "", "")

    for name in ("madeup", "left"):
        with pytest.raises(InputError):
            fetch(name, runner=noted)
    pip, npm = commands
    assert "download" in pip
    assert "--no-deps" in pip
    assert pip[pip.index("--only-binary") + 1] == ":all:"
    assert npm[:3] == ("npm", "pack", "--ignore-scripts")
    assert not {"install", "wheel", "exec", "ci"} & {*pip, *npm}


def test_an_unknown_chain_names_the_nearest_and_fetches_nothing(registry: MadeUpRegistry) -> None:
    with pytest.raises(InputError, match="nearest is madeup"):
        fetch("left", "made-up")
    assert registry.asked == []


@pytest.mark.network
def test_a_real_chain_of_each_registry_can_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path))
    fetch("greatfet_usb", "pybricks_cityhub")
    for name in ("greatfet_usb", "pybricks_cityhub"):
        sizes = [pin.size_bytes for pin in corpus(name).pins]
        assert [len(each.payload) for each in load_corpus(name)] == sizes
