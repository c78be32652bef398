"""A hundred extractions killed at random moments and repeated: each store must be the undisturbed one, to the bit."""

import logging
import tempfile
import time
from pathlib import Path

from avfusion.datasets import read_dataset
from avfusion.extraction import Settings, extract
from tests.fakes import FakeEmbedder
from tests.kills import content, kill_somewhere
from tests.media_files import make_clip

N_KILLS = 100


def main() -> None:
    """Prints one line; raises if a store differs."""
    logging.disable(logging.WARNING)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [make_clip(folder, f"clip{i}", seconds=0.3 + 0.1 * i, frames=3 + i) for i in range(6)]
        lines.append("missing.wav,missing.avi,a,m")
        (folder / "clips.csv").write_text("\n".join(["audio,video,label,location", *lines]) + "\n")
        data = read_dataset(folder / "clips.csv")
        extract(data, folder / "expected", Settings(FakeEmbedder, workers=1), progress=False)
        expected = content(folder / "expected")
        for number in range(N_KILLS):
            store = folder / f"store{number}"
            kill_somewhere(data, store, number, longest=1.2)
            extract(data, store, Settings(FakeEmbedder, workers=1), progress=False)
            if content(store) != expected:
                raise SystemExit(f"kill {number}: the store differs")
    print(f"{N_KILLS} kills: every store bit-identical to the undisturbed one; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
