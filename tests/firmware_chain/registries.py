"""A registry of made-up packages on this machine, and the pins of the firmware in them.

Wheels and npm archives are real ones, handed out by a web server that answers as both kinds of registry do;
what a client says of itself does not matter to it.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

PYPI_CHAIN = {"2023.4.1": b"first" * 100, "2024.0.0": b"second" * 100, "2025.11.2": b"third" * 100}
NPM_CHAINS = {
    "left": {"1.0.0b1": b"left one" * 50, "1.0.0": b"left two" * 50},
    "right": {"1.0.0b1": b"right one" * 60, "1.0.0": b"right two" * 60},
}
PACKAGE = "@made/up"


def wheel(version: str, members: Mapping[str, bytes]) -> bytes:
    """A wheel that asks for a Python nobody has, so that nothing but downloading it can work."""
    about = f"madeup-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: madeup\nVersion: {version}\nRequires-Python: >=99\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return content.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A ZIP of `members`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    """A tar of `members`, compressed with gzip."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def hex_line(address: int, kind: int, data: bytes) -> str:
    """A line of Intel's HEX format with its checksum."""
    record = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return ":" + (record + bytes([-sum(record) % 256])).hex().upper()


class MadeUpRegistry:
    """What the server hands out by path, the pins in a folder, and which paths were asked for."""

    def __init__(self, pins_folder: Path) -> None:
        self.pins_folder = pins_folder
        self.served: dict[str, bytes] = {}
        self.status = 200
        self.asked: list[str] = []
        self.chains: dict[str, dict[str, Any]] = {}
        handler = type("Handler", (_Handler,), {"registry": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self._fill_pypi()
        self._fill_npm()

    def close(self) -> None:
        """Nobody answers any more."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def write_pins(self) -> None:
        """The pins as `chains` has them now."""
        for name, facts in self.chains.items():
            (self.pins_folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")

    def downloads(self) -> list[str]:
        """The archives that were handed out, in the order in which they were asked for."""
        return [path.rsplit("/", 1)[1] for path in self.asked if path.endswith((".whl", ".tgz"))]

    def _fill_pypi(self) -> None:
        images = []
        for version, firmware in PYPI_CHAIN.items():
            name, content = (
                f"madeup-{version}-py3-none-any.whl",
                wheel(version, {"madeup/firmware.bin": firmware}),
            )
            self.served[f"/files/{name}"] = content
            images.append(image(version, version, name, content, "madeup/firmware.bin", firmware))
        links = "".join(
            f'<a href="{path}" data-requires-python="&gt;=99">{path[7:]}</a>' for path in self.served
        )
        self.served["/simple/madeup/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        self.chains["madeup"] = chain("madeup", "pypi", "madeup", images)

    def _fill_npm(self) -> None:
        """One package, each version with an inner archive for each chain."""
        versions = {}
        images: dict[str, list[dict[str, Any]]] = {name: [] for name in NPM_CHAINS}
        for number, version in enumerate(("1.0.0b1", "1.0.0")):
            package_version, file = f"{7 + number}.0.0", f"up-{7 + number}.0.0.tgz"
            about = json.dumps({"name": PACKAGE, "version": package_version}).encode()
            inner = {
                f"package/build/{name}.zip": zipped(
                    {"base.bin": firmwares[version], "readme": b"no firmware"}
                )
                for name, firmwares in NPM_CHAINS.items()
            }
            content = tarred({"package/package.json": about, "../../etc/passwd": b"not read", **inner})
            self.served[f"/{PACKAGE}/-/{file}"] = content
            dist = {"tarball": f"{self.address}/{PACKAGE}/-/{file}"}
            versions[package_version] = {"name": PACKAGE, "version": package_version, "dist": dist}
            for name, firmwares in NPM_CHAINS.items():
                member = f"package/build/{name}.zip!base.bin"
                images[name].append(
                    image(version, package_version, file, content, member, firmwares[version])
                )
        self.packument: dict[str, Any] = {
            "name": PACKAGE,
            "dist-tags": {"latest": "8.0.0"},
            "versions": versions,
        }
        self.describe()
        for name in NPM_CHAINS:
            self.chains[name] = chain(name, "npm", PACKAGE, images[name])

    def describe(self) -> None:
        """The npm package as `packument` has it now."""
        self.served["/@made%2fup"] = json.dumps(self.packument).encode()


class _Handler(BaseHTTPRequestHandler):
    registry: MadeUpRegistry

    def do_GET(self) -> None:
        self.registry.asked.append(self.path)
        path = self.path.replace("%2F", "%2f").replace("%40", "@")
        content = self.registry.served.get(path)
        status = self.registry.status if content is not None else 404
        body = content if content is not None and status == 200 else b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if path.startswith("/simple") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A test is no place for a log."""


def image(
    version: str, package_version: str, archive: str, content: bytes, member: str, firmware: bytes
) -> dict[str, Any]:
    """The pin of a firmware."""
    return {
        "version": version,
        "package_version": package_version,
        "archive": archive,
        "archive_size_bytes": len(content),
        "archive_sha256": sha256(content).hexdigest(),
        "member": member,
        "size_bytes": len(firmware),
        "sha256": sha256(firmware).hexdigest(),
    }


def chain(name: str, registry: str, package: str, images: list[dict[str, Any]]) -> dict[str, Any]:
    """A file of pins."""
    about = dict.fromkeys(("title", "architecture", "licence", "licence_note"), "made up")
    return {"name": name, "registry": registry, "package": package, **about, "images": images}
