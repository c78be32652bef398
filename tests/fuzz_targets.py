"""The table of the fuzzers: every kind of file from outside, with healthy ones to damage, and what reads it."""

import asyncio
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.model import PythonModelContext
from safetensors.numpy import save_file

from avfusion.datasets import SPLITS, read_dataset
from avfusion.errors import UserError
from avfusion.extraction import Settings
from avfusion.extraction.parts_storage import PartsFolder
from avfusion.extraction.pool import WorkerPool
from avfusion.extraction.worker import Task as ClipTask
from avfusion.features import FeatureStore
from avfusion.features.digest import content_digest
from avfusion.features.hdf5 import export_features, import_features
from avfusion.features.layout import ARRAYS, CLIPS, FAILURES, MEDIA, PLAN, STANDARDIZATION, STORE
from avfusion.features.parts import Part, part_name, part_sources, read_part, write_part
from avfusion.features.provenance import note, title
from avfusion.features.sources import read_sources, replaced, sources_of, write_sources
from avfusion.features.writer import writing
from avfusion.fusion import variants
from avfusion.l3.openl3_files import load_official
from avfusion.l3.presets import Branch
from avfusion.l3.untrained import untrained_subnetwork
from avfusion.l3.weights import save_weights
from avfusion.scoring.folders import read_folder
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import read_dcase_tsv, write_course_tsv, write_dcase_tsv
from avfusion.serving.answers import answer
from avfusion.serving.embedding import load_same
from avfusion.serving.gate import Gate
from avfusion.serving.model import SceneModel
from avfusion.serving.queries import find_queries
from avfusion.tracking.models import _signature
from avfusion.training.classifier import DESCRIPTION
from avfusion.training.ensemble import Ensemble, open_classifier
from avfusion.training.experiment import Result, Trained
from avfusion.training.fit import Epoch
from avfusion.training.scene_classifier import WEIGHTS as CLASSIFIER_WEIGHTS
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from tests.fakes import FakeEmbedder
from tests.fuzzing import Read, Target
from tests.hdf5_files import write_baseline, write_course, write_moments
from tests.l3_weight_files import keras_layers, small_openl3, write_keras
from tests.media_files import greys, tone, write_sound, write_video
from tests.stores import CLASSES, make_store
from tests.test_serving_answers import make_classifier, make_features, with_companions

_UNUSED = count()  # names for what readers write


def _by(read: Read) -> Callable[[], AbstractContextManager[Read]]:
    return lambda: nullcontext(read)


# Media


def write_media(folder: Path) -> list[Path]:
    """Small files in the containers and codecs that people have."""
    sounds = [("pcm_s16le", "s16", "wav"), ("flac", "s16", "flac"), ("aac", "fltp", "m4a"), ("libopus", "s16", "ogg")]
    pictures = [("libx264", "yuv420p", "mp4"), ("libx264", "yuv420p", "mkv"), ("libvpx-vp9", "yuv420p", "webm"),
                ("mjpeg", "yuvj420p", "avi"), ("mpeg2video", "yuv420p", "ts")]  # fmt: skip
    for codec, sample_format, suffix in sounds:
        write_sound(folder / f"sound.{suffix}", 0.5 * tone(2, 12_000), codec, sample_format, "stereo")
    for codec, pixels, suffix in pictures:
        write_video(folder / f"pictures.{suffix}", greys(8), codec=codec, pixels=pixels)
    return sorted(folder.iterdir())


@contextmanager
def reading_media() -> Iterator[Read]:
    """By a worker process of extraction."""
    with tempfile.TemporaryDirectory() as name:
        parts = PartsFolder(Path(name))
        with WorkerPool(Settings(FakeEmbedder, "any", timeout=20), 1) as pool:

            def read(path: Path) -> None:
                (outcome,) = pool.run([ClipTask(0, path.name, path, path)], parts)
                if outcome.reason:
                    assert "Traceback" not in outcome.reason and len(outcome.reason) < 400
                    raise UserError(outcome.reason)
                part = parts.read(0, path.name)
                assert len(part.audio) or len(part.video)
                assert np.isfinite(part.audio).all() and np.isfinite(part.video).all()

            pool.provenance()
            yield read


# Features


def write_hdf5(folder: Path) -> list[Path]:
    """Features as the course, the baseline and we ourselves write them, in one piece and packed."""
    write_course(folder / "course")
    write_course(folder / "packed", n_frames=3, chunks=True, compression="gzip", shuffle=True)
    write_baseline(folder / "baseline")
    export_features(make_store(folder / "store", locations=3, clips=1, n_frames=3, dim=4), folder / "own")
    roots = (folder / name for name in ("course", "packed", "baseline", "own"))
    return [next(path for path in sorted(root.glob("audio*/*.hdf5")) if path.stem != "val") for root in roots]


def read_hdf5(path: Path) -> None:
    """Imports the folder; clips that cannot be used have a line each."""
    root = path.parents[1]
    store = import_features(root, root.with_name(f"store-{next(_UNUSED)}"), progress=False)
    assert store.failures["reason"].str.fullmatch(r"\S[^\n]{0,400}").all()
    assert np.isfinite(store.audio).all() and np.isfinite(store.video).all()


def write_npz(folder: Path) -> list[Path]:
    """Global mean and deviation beside features."""
    write_course(folder, n_frames=1)
    for modality in ("audio", "video"):
        for name in ("val", "test"):
            (folder / f"{modality}_features_data" / f"{name}.hdf5").unlink()
    write_moments(folder, "audio")
    write_moments(folder, "video")
    np.savez_compressed(
        folder / "video_features_data" / "global_mean_std.npz", global_mean=np.zeros(4), global_std=np.ones(4, "f4")
    )
    return sorted(folder.glob("*/*.npz"))


def read_npz(path: Path) -> None:
    """Imports the folder."""
    store = import_features(path.parents[1], path.parents[1] / "store", progress=False)
    assert all(np.isfinite(vector).all() for pair in store.standardization.values() for vector in pair)


def _store_files(*names: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        splits = {f"{name}-town-{n}{n_:02d}-0": SPLITS[n_] for n, name in enumerate(CLASSES) for n_ in range(3)}
        make_store(folder, locations=3, clips=1, n_frames=3, dim=4, splits=splits)
        (folder / FAILURES).write_text('id,reason\nbroken,"no sound, no pictures"\n')
        moments = {f"{name}.{what}": np.ones(4, np.float32) for name in ARRAYS for what in ("mean", "std")}
        save_file(moments, folder / STANDARDIZATION)
        write_sources(folder, {"broken": sources_of(folder / FAILURES, None)})
        _forge(folder)
        return [folder / name for name in names]

    return write


def _forge(folder: Path) -> None:
    """What is in the store has the digest that it says, as if whoever changed it had mended that too."""
    header = json.loads((folder / STORE).read_text())
    (folder / STORE).write_text(json.dumps({**header, "digest": content_digest(folder)}))


def read_store(path: Path) -> None:
    """Makes a store ready to learn from."""
    folder = path.parent
    try:
        FeatureStore.open(folder)
    except UserError as error:
        if path.name == STORE or "was changed" not in str(error):
            raise
        _forge(folder)
    store = FeatureStore.open(folder)
    assert title(store.provenance) and len(note(store.provenance) or "") < 100
    data = SplitFeatures(store)
    data.check_trainable()
    data.sequences("train")
    data.pooled("test")
    for known in read_sources(folder).values():
        replaced(known, folder / FAILURES, folder)


def write_plan(folder: Path) -> list[Path]:
    """What an unfinished extraction began with."""
    with writing(folder) as writer:
        writer.begin(_PLAN)
    return [folder / PLAN]


def read_plan(path: Path) -> None:
    """As the same extraction does when it goes on."""
    with writing(path.parent) as writer:
        writer.begin(_PLAN)


_PLAN = {"dataset": {"name": "toys", "clips": 3}, "embedder": {"name": "toy", "trained": False}, "parameters": {}}


def write_parts(folder: Path) -> list[Path]:
    """Outcomes of clips in extraction."""
    random = np.random.default_rng(0)
    audio, video = random.normal(size=(2, 3, 4)).astype(np.float32)
    write_part(folder, 0, Part("clip", note="damaged", audio=audio, video=video, audio_step=0.1))
    write_part(folder, 1, Part("clip", reason="no sound"))
    return [folder / part_name(0), folder / part_name(1)]


def read_parts(path: Path) -> None:
    """As a continued extraction does."""
    part_sources(path.parent, int(path.stem))
    part = read_part(path.parent, int(path.stem), "clip")
    assert part.audio.dtype == part.video.dtype == np.float32 and part.audio.ndim == part.video.ndim == 2
    assert isinstance(part.reason, str) and isinstance(part.note, str)


# Tables


_CLIPS = ("airport-rome-1-0", "bus-rome-2-0", "park-rome-3-0")


def write_predictions(folder: Path) -> list[Path]:
    """Prediction files of this field, with tabs and with commas, long numbers and short ones."""
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 2])
    ids = [f"{name}_{second}" for name in _CLIPS for second in range(2)]
    predictions = Predictions.from_scores(ids, ("airport", "bus", "park"), labels, scores)
    files = [folder / name / f"{name}.tsv" for name in ("course", "rounded")] + [folder / "dcase.txt"]
    write_course_tsv(files[0], predictions)
    files[1].parent.mkdir()
    table = pd.read_csv(files[0], sep="\t")
    table.round(4).to_csv(files[1].with_suffix(".csv"))
    write_dcase_tsv(files[2], predictions)
    return [files[0], files[1].with_suffix(".csv"), files[2]]


def read_predictions(path: Path) -> None:
    """A DCASE file, or the folder of a model's answers."""
    if path.suffix == ".txt":
        read = read_dcase_tsv(
            path, {f"{name}-rome-{n}-0": name for n, name in enumerate(("airport", "bus", "park"), 1)}
        )
    else:
        models = read_folder(path.parents[1])
        if path.parent.name not in models:
            raise UserError("it is no prediction file any more")
        read = models[path.parent.name].predictions
    assert np.isfinite(read.probabilities).all()


def write_lists(folder: Path) -> list[Path]:
    """Lists of clips: ours, TAU's, and those that `predict` takes."""
    rows = [(f"audio/bus-rome-{n}-0.wav", f"video/bus-rome-{n}-0.mp4", "bus", f"{n}", "train") for n in range(5)]
    table = pd.DataFrame(rows, columns=["audio", "video", "label", "location", "split"])
    table.to_csv(folder / "pairs.csv", index=False)
    table.rename(columns={"video": "clip"})[["clip", "label", "location"]].to_csv(folder / "clips.csv", index=False)
    (folder / "lines.txt").write_text("".join(f"{audio}\t{video}\n" for audio, video, *_ in rows))
    (folder / "tau").mkdir()
    columns = {"audio": "filename_audio", "video": "filename_video", "label": "scene_label"}
    table.rename(columns=columns).iloc[:, :3].to_csv(folder / "tau" / "meta.csv", sep="\t", index=False)
    return [folder / "pairs.csv", folder / "clips.csv", folder / "tau" / "meta.csv", folder / "lines.txt"]


def read_lists(path: Path) -> None:
    """As a dataset, and as clips whose scene is asked for."""
    if path.suffix == ".txt":
        queries = find_queries(path)
        assert all(query.id.isprintable() or not re.search(r"[\x00-\x1f]", query.id) for query in queries)
        return
    dataset = read_dataset(path.parent if path.name == "meta.csv" else path)
    assert len(dataset.digest) == 64 and dataset.table()["id"].is_unique
    if path.name != "meta.csv":
        find_queries(path)


# Models


def write_classifier(folder: Path) -> list[Path]:
    """A fusion with companions."""
    fusion = with_companions("early")
    fusion.save(folder)
    return [folder / DESCRIPTION]


def write_ensemble(folder: Path) -> list[Path]:
    """The description of an ensemble of two classifiers."""
    members = {name: make_classifier(name, embedder=False) for name in ("late", "audio_only")}
    Ensemble(members, {"late": 0.75, "audio_only": 0.5}).save(folder)
    return [folder / DESCRIPTION]


def read_ensemble(path: Path) -> None:
    """An ensemble that answers."""
    found = answer(open_classifier(path.parent), make_features(4, 4))
    assert found.scene in found.classes and np.isfinite(found.probabilities).all()


def write_classifier_weights(folder: Path) -> list[Path]:
    """The same, for its weights."""
    write_classifier(folder)
    return [folder / CLASSIFIER_WEIGHTS]


def read_classifier(path: Path) -> None:
    """A classifier that answers."""
    classifier = open_classifier(path.parent)
    if path.name == DESCRIPTION:
        load_same(classifier.description.features["embedder"], device="cpu")
    found = answer(classifier, make_features(4, 4))
    assert found.scene in found.classes and np.isfinite(found.probabilities).all()
    json.dumps(found.probabilities.tolist(), allow_nan=False)
    "".join(found.classes).encode()


def write_weights(folder: Path) -> list[Path]:
    """Weights of small L3 networks as safetensors, of one and of both."""
    config = small_openl3()
    names: tuple[Branch, ...] = ("audio", "image")
    networks = {name: untrained_subnetwork(config, name) for name in names}
    save_weights(folder / "both.safetensors", networks, {"source": "a test"})
    save_weights(folder / "audio.safetensors", {"audio": networks["audio"]}, {})
    return [folder / "both.safetensors", folder / "audio.safetensors"]


def write_keras_weights(folder: Path) -> list[Path]:
    """Weights of the same as Keras writes them, packed too, and beside a model's."""
    layers = keras_layers(small_openl3().audio)
    files = [write_keras(folder / "plain.h5", layers), write_keras(folder / "model.h5", layers, "model_weights")]
    packed = folder / "packed.h5.gz"
    packed.write_bytes(gzip.compress(files[0].read_bytes(), mtime=0))
    return [*files, packed]


def read_weights(path: Path) -> None:
    """A network of finite numbers."""
    network, _ = load_official(small_openl3(), "audio", path)
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())


def write_results(folder: Path) -> list[Path]:
    """A result as an interrupted job keeps it."""
    variant = variants()["audio_only"]
    classifier = make_classifier("audio_only")
    scores, labels = np.random.default_rng(0).normal(size=(3, 3)), np.arange(3)
    predictions = Predictions.from_scores(["a", "b", "c"], ("airport", "bus", "park"), labels, scores)
    history = [Epoch("all", 1, 0.1, 1.0, 0.5, 1.0, 0.5, best=True, seconds=1.0)]
    params = classifier.description.params
    trained = Trained(variant, params, 0, history, classifier, predictions, 1.0, 0, {})
    StoredResults(folder).keep(Result(trained, predictions, None))
    (place,) = folder.iterdir()
    return [place / "result.json", place / "val.npz", place / "test.npz"]


def read_results(path: Path) -> None:
    """As a job that goes on does: what is damaged is trained again."""
    params = make_classifier("audio_only").description.params
    if StoredResults(path.parents[1]).find(variants()["audio_only"], params, 0) is None:
        raise UserError("it is trained again")


# Requests


def write_requests(folder: Path) -> list[Path]:
    """Requests to a served model: a head, a blank line, a body."""
    features = {name: values.tolist() for name, values in make_features(2, 2).items()}
    bodies = [
        json.dumps({"dataframe_records": [features]}),
        json.dumps({"dataframe_split": {"columns": ["audio"], "data": [[features["audio"]]]}}),
        json.dumps({"dataframe_records": [{"video": features["video"]}, {"video": features["video"]}], "params": {}}),
    ]
    paths = []
    for number, body in enumerate(bodies):
        paths.append(folder / f"{number}.http")
        head = f"content-type: application/json\ncontent-length: {len(body)}\naccept: */*\n\n"
        paths[-1].write_text(head + body)
    return paths


@contextmanager
def _model() -> Iterator[Any]:
    """A model as MLflow loads it, whose embedder is not there: clips get as far as the queue."""
    with tempfile.TemporaryDirectory() as name:
        fusion = with_companions("late")
        fusion.save(Path(name, "classifier"))
        mlflow.pyfunc.save_model(
            Path(name, "model"),
            python_model=str(Path(__file__).parents[1] / "avfusion" / "serving" / "model.py"),
            artifacts={"classifier": str(Path(name, "classifier"))},
            pip_requirements=[],
            signature=_signature(fusion),
        )
        yield mlflow.pyfunc.load_model(str(Path(name, "model")))


@contextmanager
def reading_requests() -> Iterator[Read]:
    """By the gate and by MLflow's server behind it, without a network between."""
    with _model() as model:
        gate = Gate(scoring_server.init(model), megabytes=1, seconds=5, clips=1, close=lambda: None)

        def read(path: Path) -> None:
            head, _, body = path.read_bytes().partition(b"\n\n")
            fields = (line.partition(b":") for line in head.split(b"\n"))
            headers = [(name.strip().lower(), value.strip()) for name, _, value in fields]
            status, reply = asyncio.run(_ask(gate, headers, body))
            content = json.loads(reply)
            if status != 200:
                assert 400 <= status < 500 or status == 503, reply
                assert b"Traceback" not in reply and "stack_trace" not in content, reply
                raise UserError(content["message"].splitlines()[-1])
            assert all(np.isfinite(row["probability"]) for row in content["predictions"])

        yield read


async def _ask(app: Gate, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, bytes]:
    """Status and body of the reply."""
    sent: list[Any] = []
    arriving: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if not arriving:
            await asyncio.Event().wait()
        return arriving.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"},
        **{"path": "/invocations", "raw_path": b"/invocations", "query_string": b"", "root_path": ""},
        **{"headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)},
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def write_rows(folder: Path) -> list[Path]:
    """Rows of a table as JSON."""
    features = {name: values.tolist() for name, values in make_features(2, 2).items()}
    tables = [[features], [{"clip": None, "audio": features["audio"]}, {"video": features["video"]}]]
    paths = []
    for number, rows in enumerate(tables):
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps(rows))
    return paths


@contextmanager
def reading_rows() -> Iterator[Read]:
    """By the model itself, with whatever MLflow's signature would not let through."""
    with tempfile.TemporaryDirectory() as name:
        with_companions("late").save(Path(name))
        model = SceneModel()
        context = PythonModelContext({"classifier": name}, {})  # type: ignore[no-untyped-call]
        model.load_context(context)

        def read(path: Path) -> None:
            try:
                table = pd.DataFrame(json.loads(path.read_bytes()))
            except Exception as error:
                raise UserError("it is no table") from error
            try:
                found = model.predict(context, table)
            except MlflowException as error:
                status = error.get_http_status_code()  # type: ignore[no-untyped-call]
                assert 400 <= status < 500 or status == 503
                raise UserError(error.message) from error
            assert np.isfinite(found["probability"]).all()

        yield read


TARGETS: dict[str, Target] = {
    "media": Target(write_media, reading_media),
    "hdf5": Target(write_hdf5, _by(read_hdf5)),
    "npz": Target(write_npz, _by(read_npz)),
    "npy": Target(_store_files(*ARRAYS.values()), _by(read_store)),
    "store_tables": Target(_store_files(CLIPS, FAILURES, MEDIA), _by(read_store)),
    "store_json": Target(_store_files(STORE), _by(read_store)),
    "plan_json": Target(write_plan, _by(read_plan)),
    "store_safetensors": Target(_store_files(STANDARDIZATION), _by(read_store)),
    "parts": Target(write_parts, _by(read_parts)),
    "predictions": Target(write_predictions, _by(read_predictions)),
    "lists": Target(write_lists, _by(read_lists)),
    "classifier_json": Target(write_classifier, _by(read_classifier)),
    "ensemble_json": Target(write_ensemble, _by(read_ensemble)),
    "classifier_safetensors": Target(write_classifier_weights, _by(read_classifier)),
    "l3_safetensors": Target(write_weights, _by(read_weights)),
    "keras": Target(write_keras_weights, _by(read_weights)),
    "results": Target(write_results, _by(read_results)),
    "requests": Target(write_requests, reading_requests),
    "rows": Target(write_rows, reading_rows),
}
"""By the name of a kind of file."""
