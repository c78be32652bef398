"""Fifty damaged files of every kind from outside: each is read or refused in one line, in bounded memory and time.

`python -m benchmarks.robustness.fuzz` takes a thousand of each.
"""

from pathlib import Path

import pytest

from tests.fuzz_targets import TARGETS
from tests.fuzzing import attempts, damaged

N_FILES = 50


@pytest.mark.parametrize("kind", TARGETS)
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    found = list(attempts(TARGETS[kind], range(N_FILES), tmp_path))
    assert [(attempt.number, attempt.mistake) for attempt in found if attempt.mistake] == []
    assert all(attempt.rise < 0.5e9 for attempt in found)
    assert any(attempt.line for attempt in found)


def test_damage_follows_from_its_number() -> None:
    content = bytes(range(256)) * 8
    assert damaged(content, 3) == damaged(content, 3)
    found = {damaged(content, number) for number in range(20)}
    assert len(found) > 15 and content not in found
