"""The picture of the report in README and docs: the first screens of a page of `harness report`, as headless Chromium shows them.

    python -m benchmarks.report_picture PAGE.html docs/report.png

Chromium has to be installed; nothing is fetched, for a report loads nothing.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1280, 1120
COLOURS = 96
"""As many as keep the picture below 200 kB and its lines clear."""
LARGEST = 200_000


def main() -> None:
    """Writes the picture; fails if it would be too large for a README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    data = reduced(screenshot(options.page))
    if len(data) > LARGEST:
        raise SystemExit(f"{len(data):,} bytes, more than {LARGEST:,}")
    options.out.write_bytes(data)
    print(f"{options.out}: {len(data):,} bytes")


def screenshot(page: Path) -> Image.Image:
    """The upper part of a page in a light window."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "page.png"
        window = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
        command = ["chromium", *window, f"--user-data-dir={folder}", f"--screenshot={out}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        return Image.open(io.BytesIO(out.read_bytes())).convert("RGB")


def reduced(picture: Image.Image) -> bytes:
    """The picture as a PNG of few colours."""
    data = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()


if __name__ == "__main__":
    main()
