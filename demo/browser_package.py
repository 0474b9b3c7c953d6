"""``python -m demo.browser_package PACKAGE TARGET``: unpack the Chromium of the npm package @sparticuz/chromium.

The package holds a headless Chromium for x86_64 Linux, the libraries that a minimal system lacks, and a font, each
compressed with Brotli. Its own JavaScript unpacks them into the system's folder for temporary files, where they would
be gone after a restart.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from xml.sax.saxutils import escape

import cramjam

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""


def unpack(package: Path, target: Path) -> None:
    """Write the program, its libraries and its fonts below ``target``. Raises ``OSError`` if a file is
    missing.
    """
    target.mkdir(parents=True, exist_ok=True)
    for archive, part in (("al2023.tar.br", "lib"), ("fonts.tar.br", "fonts")):
        with tarfile.open(fileobj=io.BytesIO(_decompressed(package / "bin" / archive))) as files:
            # Both archives hold one folder with that name.
            files.extractall(target, members=_below(files, part), filter="data")
    fonts = FONTS.format(fonts=escape(str(target / "fonts")), cache=escape(str(target / "fonts-cache")))
    (target / "fonts.conf").write_text(fonts)
    program = target / "chromium"
    program.write_bytes(_decompressed(package / "bin" / "chromium.br"))
    program.chmod(0o755)


def _below(files: tarfile.TarFile, folder: str) -> list[tarfile.TarInfo]:
    return [member for member in files if Path(member.name).parts[:1] == (folder,)]


def _decompressed(path: Path) -> bytes:
    return bytes(cramjam.brotli.decompress(path.read_bytes()))


if __name__ == "__main__":
    unpack(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
