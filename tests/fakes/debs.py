"""Debian packages and a signed repository of them, made on the spot: what is in them is up to the test."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import subprocess
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import zstandard


def ar_archive(members: list[tuple[str, bytes]]) -> bytes:
    """Write an ar archive."""
    parts = [b"!<arch>\n"]
    for name, content in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts += [header.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def make_deb(data: bytes, compression: str = "xz") -> bytes:
    """Write a package whose files are those of a tar archive."""
    packed = {
        "xz": lzma.compress,
        "gz": lambda content: gzip.compress(content, mtime=0),
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
        "": bytes,
    }[compression](data)
    suffix = f".{compression}" if compression else ""
    control = gzip.compress(b"", mtime=0)
    return ar_archive([("debian-binary", b"2.0\n"), ("control.tar.gz", control), (f"data.tar{suffix}", packed)])


def tar_of(files: dict[str, tuple[bytes, int]], links: dict[str, str] | None = None, *, prefix: str = "./") -> bytes:
    """Write a tar archive: name → content and mode; name → where a link points."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(f"{prefix}{name}")
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(f"{prefix}{name}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


@dataclass
class DebRepository:
    """A repository below one folder, signed with a key of its own; `apt` is what apt's settings would be."""

    folder: Path
    packages: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def apt(self) -> Path:
        return self.folder / "apt"

    @property
    def _gpg(self) -> list[str]:
        return ["gpg", "--homedir", str(self.folder / "gpg"), "--batch", "--quiet", "--yes"]

    def make_key(self) -> None:
        """Make a key that signs, and have apt know it."""
        (self.folder / "gpg").mkdir(mode=0o700, parents=True)
        (self.apt / "sources.list.d").mkdir(parents=True)
        subprocess.run(
            [*self._gpg, "--passphrase", "", "--quick-gen-key", "test <test@example.org>", "ed25519", "sign", "never"],
            check=True,
            capture_output=True,
        )
        keyring = subprocess.run([*self._gpg, "--export"], check=True, capture_output=True).stdout
        (self.apt / "key.gpg").write_bytes(keyring)
        (self.apt / "sources.list").write_text(
            f"deb [signed-by={self.apt}/key.gpg] file:{self.folder}/repository test main\n"
        )

    def end_agent(self) -> None:
        """End what gpg leaves running."""
        command = ["gpgconf", "--homedir", str(self.folder / "gpg"), "--kill", "all"]
        subprocess.run(command, check=True, capture_output=True)

    def publish(self, *, sign: bool = True) -> None:
        """Write the packages and the index of them."""
        suite = self.folder / "repository/dists/test"
        index = suite / "main/binary-amd64"
        pool = self.folder / "repository/pool"
        for path in (index, pool):
            path.mkdir(parents=True, exist_ok=True)
        stanzas = []
        for name, (version, content) in self.packages.items():
            file = pool / f"{name}_{hashlib.sha256(content).hexdigest()[:8]}.deb"
            file.write_bytes(content)
            stanzas.append(
                f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
                f"Filename: pool/{file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
            )
        packages = "\n".join(stanzas).encode()
        (index / "Packages").write_bytes(packages)
        now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
        release = (
            f"Origin: test\nSuite: test\nCodename: test\nDate: {now}\nArchitectures: amd64\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} main/binary-amd64/Packages\n"
        )
        (suite / "Release").write_text(release)
        (suite / "InRelease").unlink(missing_ok=True)
        if sign:
            command = [*self._gpg, "--clearsign", "--output", str(suite / "InRelease"), str(suite / "Release")]
            subprocess.run(command, check=True, capture_output=True)
