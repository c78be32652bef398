"""Fifty damaged files through a whole extraction: each gives finite features or one line."""

import time
from pathlib import Path

import numpy as np

from avfusion.datasets import read_dataset
from avfusion.extraction import extract
from tests.fakes import FakeEmbedder
from tests.fuzzing import damaged, write_damaged, write_healthy

N_FILES = 50


def test_damaged_files(tmp_path: Path) -> None:
    dataset = read_dataset(write_damaged(tmp_path, N_FILES))
    started = time.monotonic()
    store = extract(dataset, FakeEmbedder, tmp_path / "store", workers=1, modalities="any", timeout=5, progress=False)
    assert time.monotonic() - started < 60
    assert len(store.clips) + len(store.failures) == N_FILES
    assert len(store.clips) > 5 and len(store.failures) > 5  # neither too little damage nor too much
    assert np.isfinite(store.audio).all() and np.isfinite(store.video).all()
    assert store.failures["reason"].str.fullmatch(r"\S[^\n]{0,400}").all()
    assert (store.clips[["audio_frames", "video_frames"]].max(axis=1) > 0).all()


def test_damage_follows_from_its_number(tmp_path: Path) -> None:
    content = write_healthy(tmp_path)[0].read_bytes()
    assert damaged(content, 3) == damaged(content, 3)
    assert len({damaged(content, number) for number in range(20)} | {content}) == 21
