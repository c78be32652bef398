"""Five hundred damaged files through extraction with the demo embedder: finite features or one line each."""

import logging
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from avfusion.datasets import read_dataset
from avfusion.embedders import load_embedder
from avfusion.extraction import extract
from avfusion.extraction.clip import MODALITIES
from tests.fuzzing import write_damaged

N_FILES = 500


def main() -> None:
    """Prints a line per setting and the commonest reasons; raises if a file has neither features nor a reason."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = read_dataset(write_damaged(folder, N_FILES))
        for modalities in MODALITIES:
            started = time.monotonic()
            load = partial(load_embedder, "demo", device="cpu")
            store = folder / modalities
            if modalities == "both":  # each file holds one stream, so none can be used
                try:
                    extract(data, load, store, modalities=modalities, timeout=20, progress=False)
                except Exception as error:
                    print(f"both: {error}")
                continue
            result = extract(data, load, store, modalities=modalities, timeout=20, progress=False)
            seconds = time.monotonic() - started
            usable, reasons = len(result.clips), result.failures["reason"]
            assert usable + len(reasons) == N_FILES and (reasons != "").all()
            assert np.isfinite(result.audio).all() and np.isfinite(result.video).all()
            print(f"any: {N_FILES} files: {usable} with finite features, {len(reasons)} with a reason; {seconds:.0f} s")
            print(reasons.str.slice(0, 90).value_counts().head(8).to_string())


if __name__ == "__main__":
    main()
