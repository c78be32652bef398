"""The logged model as a server meets it: clips, arrays, and requests that deserve a 4xx of one line."""

import base64
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import mlflow
import numpy as np
import pytest
import uvicorn
from mlflow.pyfunc import scoring_server

from avfusion.errors import UserError
from avfusion.features.parts import Part, no_features
from avfusion.serving import extractor as extractor_module
from avfusion.serving.answers import answer
from avfusion.serving.extractor import SharedExtractors
from avfusion.serving.model import MLFLOWS_SERVER
from avfusion.serving.queries import Query
from avfusion.serving.upload import ServerLimits, Upload, read_clip
from avfusion.system.work_folder import WorkFolder
from avfusion.tracking.models import REQUIREMENTS, log_model
from tests.media_files import greys, tone, write_sound, write_video
from tests.test_serving_answers import CLASSES, DEMO, make_classifier, with_companions

PARENT = Path(__file__).parents[1]
AUDIO_DIM = int(str(DEMO["audio_size"]))


@dataclass(frozen=True)
class Ask:
    """Asks the server at `port`; returns the status, and the predictions or the refusal."""

    port: int

    def __call__(self, *records: dict[str, Any], body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body or {"dataframe_records": records}).encode()
        address = f"http://127.0.0.1:{self.port}/invocations"
        try:
            with urlopen(Request(address, content, {"Content-Type": kind}), timeout=60) as reply:
                return reply.status, json.loads(reply.read())["predictions"]
        except HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media files: a video without sound, a sound, black pictures, and a file beside them that is no clip."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "pictures.mp4", greys(8)[2:])
    write_sound(folder / "sound.wav", 0.5 * tone(1, 24_000), "pcm_s16le", "s16", "mono")
    write_video(folder / "black.mp4", greys(8)[:1] * 5)
    write_sound(folder / "long.flac", 0.5 * tone(1, 5 * 8_000), "flac", "s16", "mono", rate=8_000)
    write_video(folder / "long.mp4", greys(8)[2:] * 9)
    (folder / "text.mp4").write_text("this is no clip")
    return folder


def log_demo_model(companions: bool) -> str:
    """Log a late fusion on the demo embedder's features; returns its URI."""
    fusion = with_companions("late", embedder=True) if companions else make_classifier("late", embedder=True)
    with mlflow.start_run():
        return log_model(fusion)


@pytest.fixture(scope="module")
def model_uri(tracking_uri: str) -> str:
    return log_demo_model(companions=True)


def serve(uri: str) -> Iterator[Ask]:
    """Asks the scoring server of MLflow for answers of the model `uri`, in a thread; as `mlflow models serve` does."""
    path = mlflow.artifacts.download_artifacts(uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(scoring_server._SERVER_MODEL_PATH, path)
        patch.delitem(sys.modules, MLFLOWS_SERVER, raising=False)
        config = uvicorn.Config(f"{MLFLOWS_SERVER}:app", port=0, log_level="error")
        config.load_app()  # the command does so, too
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
    yield Ask(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def ask(model_uri: str, media: Path) -> Iterator[Ask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVFUSION_CLIP_ROOT", str(media))
        patch.setenv("AVFUSION_CLIP_MEGABYTES", "0.2")
        patch.setenv("AVFUSION_CLIP_SECONDS", "4")
        patch.setenv("AVFUSION_CLIP_ROWS", "3")
        patch.setenv("AVFUSION_CLIP_WORKERS", "1")
        yield from serve(model_uri)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_clips_by_content_and_by_path(ask: Ask, media: Path) -> None:
    status, (by_content,) = ask({"clip": encoded(media / "sound.wav")})
    assert status == 200
    assert by_content["scene"] in CLASSES
    assert by_content["modalities"] == "audio"
    assert by_content["note"] == "no pictures: the file has no such stream"
    assert sum(by_content[f"probability/{name}"] for name in CLASSES) == pytest.approx(1)
    assert ask({"clip": "sound.wav"}) == (200, [by_content])
    assert ask({"clip": "file:sound.wav"}) == (200, [by_content])
    assert ask({"clip": f"data:audio/wav;base64,{encoded(media / 'sound.wav')}"}) == (200, [by_content])
    assert ask(body={"inputs": {"clip": [encoded(media / "sound.wav")]}}) == (200, [by_content])
    _, (pictures, sound) = ask({"clip": "pictures.mp4"}, {"clip": "sound.wav"})
    assert pictures["modalities"] == "video" and sound == by_content


def test_arrays_give_what_the_classifier_gives(ask: Ask) -> None:
    fusion = with_companions("late", embedder=True)
    shape = fusion.description.shape
    generator = np.random.default_rng(0)
    sound = generator.normal(size=(4, shape.audio_dim))
    pictures = generator.normal(size=(4, shape.video_dim))
    status, (both,) = ask({"audio": sound.tolist(), "video": pictures.tolist()})
    expected = answer(fusion, {"audio": sound.astype(np.float32), "video": pictures.astype(np.float32)})
    assert status == 200 and both["modalities"] == "audio+video" and both["note"] == ""
    np.testing.assert_allclose([both[f"probability/{name}"] for name in CLASSES], expected.probabilities, rtol=1e-5)
    _, (alone,) = ask({"video": pictures.tolist()})
    assert alone["modalities"] == "video" and alone["note"] == "no sound given"


def one_line(reply: Any) -> str:
    """The last line of a refusal, which must hold no traceback."""
    assert "Traceback" not in json.dumps(reply) and "stack_trace" not in reply
    return str(reply["message"]).splitlines()[-1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"clip": base64.b64encode(b"this is not a clip").decode()}, "`clip` cannot be used: .*Invalid data"),
        ({"clip": "A" * 300_000}, "`clip` is too large: 0.2 MB; this server accepts 0.2 MB"),
        ({"clip": "text.mp4"}, "`clip` cannot be used: .*Invalid data"),
        ({"clip": "black.mp4"}, "`clip` cannot be used: no sound: .*; no pictures: they are black"),
        ({"clip": "../outside.mp4"}, "neither base64 nor the path of a file under the server's root"),
        ({"clip": "/etc/passwd"}, "neither base64 nor the path of a file under the server's root"),
        ({"clip": "file:/etc/passwd"}, "neither base64 nor the path of a file under the server's root"),
        ({"clip": "a\0b.mp4"}, "neither base64 nor the path of a file under the server's root"),
        ({"clip": ""}, "`clip` is empty"),
        ({"clip": 5}, "`clip` is int; expected text"),
        ({"clip": None}, "nothing given; send `clip`"),
        ({"other": 1}, "nothing given; send `clip`"),
        ({"clip": "AAAA", "audio": [[1.0]]}, "either `clip` or the arrays"),
        ({"audio": [[1.0, 2.0]]}, r"`audio` has shape \[1, 2\]; expected \[T, \d+\]"),
        ({"audio": []}, r"`audio` has shape \[0\]"),
        ({"video": [[1.0], [1.0, 2.0]]}, "`video` is not an array of numbers"),
        ({"clip": "long.flac"}, r"`clip` cannot be used: .*more than 4 s of sound"),
        ({"clip": "long.mp4"}, r"`clip` cannot be used: .*more than 4 s of pictures"),
        ({"audio": [[3e38] * AUDIO_DIM] * 5}, "audio_only has no answer: its numbers are not finite"),
    ],
)
def test_refusals(ask: Ask, record: dict[str, Any], message: str) -> None:
    status, reply = ask(record)
    assert 400 <= status < 500
    assert re.search(message, one_line(reply)), reply


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (b" " * 2_000_000, "application/json", 413, r"the request is too large; this server accepts 1\.3 MB"),
        (b"[" * 200_000, "application/json", 400, "the request is no JSON: .*recursion"),
        (b"\xff" * 200_000, "application/json", 400, "the request is no JSON: 'utf-8' codec"),
        (b"", "application/json", 400, "the request is empty"),
        (b"PAR1", "application/vnd.apache.parquet", 415, "takes application/json"),
        (b"[" + b"{}," * 200_000 + b"{}]", "application/json", 413, "the request holds too much"),
    ],
)
def test_requests_that_do_not_reach_the_model(ask: Ask, body: bytes, kind: str, status: int, message: str) -> None:
    answered, reply = ask(body=body, kind=kind)
    assert answered == status and re.search(message, one_line(reply))


def test_an_empty_request_and_the_number_of_the_bad_row(ask: Ask) -> None:
    assert "nothing given" in one_line(ask(body={"dataframe_records": []})[1])
    status, reply = ask({"clip": "sound.wav"}, {"clip": "text.mp4"})
    assert status == 400 and "row 1: `clip` cannot be used" in one_line(reply)
    assert "4 rows; this server answers 3 at a time" in one_line(ask(*[{"clip": "sound.wav"}] * 4)[1])


def test_a_fusion_without_companions_says_so(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVFUSION_CLIP_ROOT", raising=False)
    sound = np.zeros((3, with_companions(embedder=True).description.shape.audio_dim)).tolist()
    with contextmanager(serve)(log_demo_model(companions=False)) as ask:
        message = one_line(ask({"audio": sound})[1])
        assert "no pictures given; late needs pictures, and this model has no companion for sound alone" in message
        refusal = one_line(ask({"clip": "sound.wav"})[1])
        assert "this server reads no paths: it was started without AVFUSION_CLIP_ROOT" in refusal


def test_the_model_holds_no_pickle_and_names_what_it_imports(model_uri: str, tmp_path: Path) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(tmp_path)))
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    assert (folder / "code/avfusion/serving/model.py").is_file()
    code = "import avfusion.serving.model, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder / "code", capture_output=True, text=True, check=True)
    distributions = packages_distributions()
    project = {name.split("==")[0] for name in (folder / "requirements.txt").read_text().split()}
    assert project == set(REQUIREMENTS)
    listed = tomllib.loads((PARENT / "pyproject.toml").read_text())["project"]["dependencies"]
    ours = {text.split(">")[0] for text in listed}
    used = {name for module in done.stdout.split() for name in distributions.get(module, [])} & ours
    mlflows_own = {"click", "matplotlib", "optuna", "scikit-learn"}
    assert used - mlflows_own <= set(REQUIREMENTS), used


def test_limits_come_from_the_environment(tmp_path: Path) -> None:
    assert ServerLimits.from_environment({}) == ServerLimits(None, 64.0, 60.0, 60.0, 2, 16, 64)
    names = ("ROOT", "MEGABYTES", "SECONDS", "TIMEOUT", "WORKERS", "QUEUE", "ROWS")
    given = {
        f"AVFUSION_CLIP_{name}": value
        for name, value in zip(names, (str(tmp_path), "1.5", "2.5", "3", "4", "5", "6"), strict=True)
    }
    assert ServerLimits.from_environment(given) == ServerLimits(tmp_path, 1.5, 2.5, 3.0, 4, 5, 6)
    with pytest.raises(UserError, match="AVFUSION_CLIP_TIMEOUT=0: expected a number above 0"):
        ServerLimits.from_environment({"AVFUSION_CLIP_TIMEOUT": "0"})
    with pytest.raises(UserError, match="AVFUSION_CLIP_ROOT=/no/such: no such folder"):
        ServerLimits.from_environment({"AVFUSION_CLIP_ROOT": "/no/such"})


def test_paths_do_not_leave_the_root_by_a_link(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "inside.mp4").write_bytes(b"x")
    limits = ServerLimits(root)
    assert read_clip("inside.mp4", limits) == root / "inside.mp4"
    for name in ("link.mp4", str(tmp_path / "secret.mp4"), "missing.mp4", ".", "x" * 5000 + ".mp4"):
        with pytest.raises(UserError, match="nor the path of a file under the server's root"):
            read_clip(name, limits)


class HeldExtractor:
    """In place of the processes: answers with `part` once `released` is set, and leaves its query's file in `files`."""

    part = Part("clip", audio=np.ones((2, AUDIO_DIM), np.float32), video=no_features())
    released = threading.Event()
    files: ClassVar[list[tuple[Path, bytes]]] = []

    def __init__(self, **_: Any) -> None:
        self.work = WorkFolder()
        self.folder = self.work.path

    def parts(self, queries: list[Query], *_: Any) -> Iterator[tuple[int, Part]]:
        self.files.extend((query.video, query.video.read_bytes()) for query in queries if query.video)
        assert self.released.wait(60)
        yield from enumerate([self.part] * len(queries))

    def close(self) -> None:
        self.work.close()

    @classmethod
    @contextmanager
    def held(cls) -> Iterator[None]:
        """Until the end of the block, unless `released` is set before."""
        cls.released.clear()
        try:
            yield
        finally:
            cls.released.set()


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SharedExtractors]]:
    """The shared extractors of the servers that a test starts, whose clips wait for `HeldExtractor.released`."""
    made: list[SharedExtractors] = []
    start = SharedExtractors.__init__

    def remember(self: SharedExtractors, *args: Any, **options: Any) -> None:
        made.append(self)
        start(self, *args, **options)

    monkeypatch.setattr(SharedExtractors, "__init__", remember)
    monkeypatch.setattr(extractor_module, "Extractor", HeldExtractor)
    monkeypatch.setattr(HeldExtractor, "files", [])
    yield made


def until(condition: Callable[[], bool]) -> None:
    """Waits, for a minute at most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def test_clips_wait_in_a_queue_with_an_end_and_arrays_never(
    model_uri: str, shared: list[SharedExtractors], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVFUSION_CLIP_WORKERS", "1")
    monkeypatch.setenv("AVFUSION_CLIP_QUEUE", "40")  # more than the threads that a loop has by itself
    clip = {"clip": base64.b64encode(b"content").decode()}
    with contextmanager(serve)(model_uri) as ask, ThreadPoolExecutor(41) as clients, HeldExtractor.held():
        waiting = [clients.submit(ask, clip) for _ in range(41)]
        until(lambda: shared[0].waiting == 40)
        status, (sound,) = ask({"audio": np.ones((2, AUDIO_DIM)).tolist()})
        assert status == 200 and sound["modalities"] == "audio"
        status, reply = ask(clip)
        assert status == 503 and one_line(reply) == "Error: 40 requests with clips wait already; try again later"
        HeldExtractor.released.set()
        for future in waiting:
            status, (answered,) = future.result()
            assert status == 200 and answered["scene"] == sound["scene"]
    assert [content for _, content in HeldExtractor.files] == [b"content"] * 41
    assert not any(path.parents[1].exists() for path, _ in HeldExtractor.files)  # the server has ended


def test_a_client_that_leaves_is_not_computed_for(
    model_uri: str, shared: list[SharedExtractors], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVFUSION_CLIP_WORKERS", "1")
    body = json.dumps({"dataframe_records": [{"clip": base64.b64encode(b"content").decode()}]}).encode()
    with contextmanager(serve)(model_uri) as ask, ThreadPoolExecutor(1) as clients, HeldExtractor.held():
        first = clients.submit(ask, body=body)
        until(lambda: len(HeldExtractor.files) == 1)
        connection = HTTPConnection("127.0.0.1", ask.port)
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        until(lambda: shared[0].waiting == 1)
        connection.close()
        until(lambda: shared[0].waiting == 0)
        HeldExtractor.released.set()
        assert first.result()[0] == 200
    assert len(HeldExtractor.files) == 1


def test_outside_a_server_nothing_is_guarded(model_uri: str) -> None:
    model = mlflow.pyfunc.load_model(model_uri)
    (row,) = model.predict([{"audio": np.ones((2, AUDIO_DIM)).tolist()}]).to_dict("records")
    assert row["scene"] in CLASSES


def test_uploads_are_written_as_they_came(tmp_path: Path) -> None:
    upload = read_clip(base64.b64encode(b"content").decode(), ServerLimits())
    assert isinstance(upload, Upload)
    assert upload.write(tmp_path / "clip").read_bytes() == b"content"
