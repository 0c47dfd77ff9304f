"""Machine code is compiled once for its sources and processor, kept, found, and never loaded damaged."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from simlib.engine import native


class Builder:
    """Gives the text of a module whose `answer` is a number, and counts how often it is asked."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    def __call__(self) -> str:
        self.calls += 1
        return f"define i64 @answer(i64 %x) {{\n  %y = add i64 %x, {self.number}\n  ret i64 %y\n}}\n"


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / "one.py", tmp_path / "two.py"]
    for path in paths:
        path.write_text(f"# {tmp_path} {path.name}", encoding="utf-8")  # no two tests share a source
    return paths


@pytest.fixture
def another_process(monkeypatch):
    """Forget what this process has loaded, as another one would not have it."""

    def forget() -> None:
        monkeypatch.setattr(native, "_loaded", {})

    forget()
    return forget


def answer(library: native.Library) -> int:
    return library.function("answer", 1)(0)


def kept(folder: Path) -> Path:
    (path,) = folder.iterdir()
    assert path.suffix == native.SUFFIX
    return path


def test_code_is_compiled_once_in_a_process_and_found_by_the_next(sources, tmp_path, another_process):
    folder, build = tmp_path / "a" / "code", Builder(1 << 40)
    assert not native.is_kept(sources, folder)
    first = native.load(sources, build, folder)
    assert native.load(sources, build, folder) is first and build.calls == 1
    assert native.is_kept(sources, folder) and kept(folder)
    another_process()
    again = native.load(sources, Builder(7), folder)
    assert again is not first and answer(again) == answer(first) == 1 << 40


@pytest.mark.parametrize("change", ["content", "name", "one more", "order of bytes"])
def test_a_changed_source_is_compiled_anew_and_both_are_kept(sources, tmp_path, another_process, change):
    folder = tmp_path / "code"
    native.load(sources, Builder(1), folder)
    if change == "content":
        sources[1].write_text("# other", encoding="utf-8")
    elif change == "name":
        sources[1] = sources[1].rename(tmp_path / "three.py")
    elif change == "one more":
        sources.append(tmp_path / "three.py")
        sources[-1].write_text("", encoding="utf-8")
    else:  # the same bytes, divided otherwise among the files
        whole = b"".join(path.read_bytes() for path in sources)
        sources[0].write_bytes(whole[:5])
        sources[1].write_bytes(whole[5:])
    assert not native.is_kept(sources, folder)
    assert answer(native.load(sources, Builder(2), folder)) == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("part", ["processor", "features", "llvmlite"])
def test_code_for_another_processor_or_llvm_is_not_found(
    sources, tmp_path, another_process, monkeypatch, part
):
    folder = tmp_path / "code"
    native.load(sources, Builder(1), folder)
    if part == "processor":
        monkeypatch.setattr(native.llvm, "get_host_cpu_name", lambda: "another")
    elif part == "features":
        monkeypatch.setattr(native.llvm, "get_host_cpu_features", lambda: native.llvm.FeatureMap({"x": True}))
    else:
        monkeypatch.setattr(native.llvmlite, "__version__", "0.0.1")
    assert not native.is_kept(sources, folder)


def truncated(content: bytes) -> bytes:
    return content[:-100]


def flipped(at: int):
    def flip(content: bytes) -> bytes:
        return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]

    return flip


def without_checksum(content: bytes) -> bytes:
    return content.partition(b"\n")[2]


def only_checksum(content: bytes) -> bytes:
    return content.partition(b"\n")[0]


def other_code(content: bytes) -> bytes:
    """Good machine code that gives another answer, under the old checksum."""
    return content.partition(b"\n")[0] + b"\n" + native.compiled(Builder(99)())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(truncated, id="truncated"),
        pytest.param(lambda content: content[:70], id="nearly all lost"),
        pytest.param(flipped(3), id="byte of the checksum flipped"),
        pytest.param(flipped(64), id="end of the checksum flipped"),
        pytest.param(flipped(70), id="byte of the header flipped"),
        pytest.param(flipped(-1), id="last byte flipped"),
        pytest.param(other_code, id="other code"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"\n", id="a line of nothing"),
        pytest.param(without_checksum, id="no checksum line"),
        pytest.param(only_checksum, id="no code"),
        pytest.param(lambda _: native._checksum(b"") + b"\n", id="a checksum of nothing"),
        pytest.param(lambda content: content + b"\0", id="a byte more"),
    ],
)
def test_a_damaged_file_is_compiled_anew_and_mended(sources, tmp_path, another_process, monkeypatch, damage):
    folder, build = tmp_path / "code", Builder(12)
    native.load(sources, build, folder)
    path = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    another_process()
    loaded = []
    own = native.Library.__init__

    def noted(self, code):
        loaded.append(code)
        own(self, code)

    monkeypatch.setattr(native.Library, "__init__", noted)
    assert answer(native.load(sources, build, folder)) == 12
    assert build.calls == 2 and loaded == [whole.partition(b"\n")[2]]
    assert kept(folder).read_bytes() == whole


def test_a_folder_that_cannot_be_made_costs_a_compilation_only(sources, tmp_path, another_process):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for _ in range(2):
        another_process()
        build = Builder(5)
        assert answer(native.load(sources, build, tmp_path / "file" / "code")) == 5 and build.calls == 1


def test_a_file_that_cannot_be_written_costs_a_compilation_only_and_leaves_nothing(
    sources, tmp_path, another_process
):
    folder = tmp_path / "code"
    native.load(sources, Builder(5), folder)
    name = kept(folder).name
    kept(folder).unlink()
    (folder / name / "in the way").mkdir(parents=True)
    another_process()
    assert answer(native.load(sources, Builder(6), folder)) == 6
    assert [path.name for path in folder.iterdir()] == [name]


def test_an_interrupt_while_the_file_is_written_leaves_nothing(
    sources, tmp_path, another_process, monkeypatch
):
    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        native.load(sources, Builder(5), tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []


def test_without_a_folder_code_is_kept_in_the_process_only(sources, tmp_path, another_process):
    build = Builder(3)
    before = set(tmp_path.iterdir())
    assert native.load(sources, build, None) is native.load(sources, build, None)
    assert build.calls == 1 and set(tmp_path.iterdir()) == before


def test_threads_that_load_at_once_compile_once(sources, tmp_path, another_process):
    count = 4
    begin, building, found = threading.Barrier(count), threading.Event(), []

    class Slow(Builder):
        """Lets the others come while it builds."""

        def __call__(self) -> str:
            building.wait(0.2)  # nobody sets it: time for the others
            return super().__call__()

    build = Slow(11)

    def load() -> None:
        begin.wait()
        found.append(native.load(sources, build, tmp_path / "code"))

    threads = [threading.Thread(target=load) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.calls == 1 and len(found) == count and len(set(map(id, found))) == 1
    assert answer(found[0]) == 11


def test_a_build_that_fails_leaves_the_way_free_for_the_next(sources, tmp_path, another_process):
    def broken() -> str:
        raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        native.load(sources, broken, tmp_path / "code")
    assert answer(native.load(sources, Builder(4), tmp_path / "code")) == 4


def test_an_unknown_function_is_told_by_its_name():
    library = native.Library(native.compiled(Builder(1)()))
    with pytest.raises(LookupError, match=r"^no_such_thing: found no such function, expected"):
        library.function("no_such_thing", 0)


def test_a_function_outlives_the_name_of_its_library():
    function = native.Library(native.compiled(Builder(20)())).function("answer", 1)
    assert function(-21) == -1 and function((1 << 63) - 1) == -(1 << 63) + 19
