"""What answering costs beside extraction: from clips to answers, against extraction alone with the same embedder.

    python -m benchmarks.predict --model models:/avfusion@champion --clips FOLDER [--count 60] [--repeats 3]

Both are done by one worker process of one thread, in turn; loading models and starting processes is not counted. With
`--timelines` every clip also gets its timeline, which is not part of the target (at most 10 %).
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from avfusion.jobs.predict import Prediction
from avfusion.serving.embedding import carried_weights
from avfusion.serving.extractor import Extractor
from avfusion.serving.queries import find_queries
from avfusion.tracking.models import fetch_model
from avfusion.tracking.session import connect
from avfusion.training.scene_classifier import SceneClassifier


def main() -> None:
    """Print seconds a clip of both, and the overhead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", required=True, type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timelines", action="store_true")
    given = parser.parse_args()
    connect()
    queries = find_queries(given.clips)[: given.count]
    with tempfile.TemporaryDirectory() as temporary:
        folder = fetch_model(given.model, Path(temporary))
        classifier = SceneClassifier.load(folder)
        output, timeline = Path(temporary) / "out", 0.0 if given.timelines else math.inf
        embedder = classifier.description.features["embedder"]
        weights = carried_weights(folder)
        with Extractor(embedder, weights=weights, device="cpu", workers=1, timeout=600.0) as extractor:
            _measure(extractor, lambda: Prediction(classifier, queries, output, timeline), given.repeats)


def _measure(extractor: Extractor, begin: Callable[[], Prediction], repeats: int) -> None:
    queries, modalities = begin().queries, begin().classifier.modalities

    def extract() -> None:
        for _ in extractor.parts(queries, modalities):
            pass

    def predict() -> None:
        prediction = begin()
        prediction.run(extractor)
        prediction.table()

    extract()  # warms up caches and the worker
    seconds: dict[str, list[float]] = {"extraction": [], "prediction": []}
    own: dict[str, list[float]] = {"extraction": [], "prediction": []}
    for _ in range(repeats):
        for name, work in (("extraction", extract), ("prediction", predict)):
            took, own_took = _timed(work)
            seconds[name].append(took)
            own[name].append(own_took)
    best = {name: min(times) / len(queries) for name, times in seconds.items()}
    middle = {name: statistics.median(times) / len(queries) for name, times in seconds.items()}
    for name in seconds:
        print(f"{name}: median {middle[name]:.4f}, best {best[name]:.4f} s a clip")
    ratios = [b / a - 1 for a, b in zip(seconds["extraction"], seconds["prediction"], strict=True)]
    overhead = f"{statistics.median(ratios):+.1%} (pairs: {', '.join(f'{r:+.1%}' for r in ratios)})"
    added = (statistics.median(own["prediction"]) - statistics.median(own["extraction"])) / len(queries)
    print(f"processor time that answering adds: {added * 1e3:.2f} ms a clip, {added / best['extraction']:.1%}")
    of_best = best["prediction"] / best["extraction"] - 1
    print(f"overhead of prediction over {len(queries)} clips: {overhead}; of the best times {of_best:+.1%}")


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of this process's own work, which other programs do not disturb."""
    started, own_started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - own_started


if __name__ == "__main__":
    main()
