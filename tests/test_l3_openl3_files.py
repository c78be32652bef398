"""Where official weights are found, and the download, against a server on loopback that misbehaves."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avfusion.errors import UserError
from avfusion.l3 import download
from avfusion.l3.openl3_files import load_official, official_name
from avfusion.l3.weights import weights_digest
from tests.l3_weight_files import keras_layers, small_openl3, write_keras

CONFIG = small_openl3()
STEM = "openl3_audio_mel256_env"
NAME = f"{STEM}-v0_4_0.h5.gz"


class Server(ThreadingHTTPServer):
    """Serves `content`; each request uses up one of `faults` (cut, damaged, endless, silent, none).

    Content that is endless is announced; from a server that is silent about its length it just comes.
    """

    daemon_threads = True
    content = b""
    faults: list[str]
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if not self.path.endswith(NAME):
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and fault != "no ranges" else 0
        content = self.server.content
        if fault == "damaged":
            content = content[:-20] + b"!" + content[-19:]
        self.send_response(206 if start else 200)
        if fault in ("endless", "silent"):
            content = bytes(download.LARGEST + 1)
        if fault != "silent":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + (len(content) - start) // 2 if fault == "cut" else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AVFUSION_CACHE", str(folder))
    monkeypatch.delenv("AVFUSION_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    return folder


@pytest.fixture
def server(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    plain = write_keras(tmp_path / "served.h5", keras_layers(CONFIG.audio, seed=5))
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content, running.faults, running.ranges = gzip.compress(plain.read_bytes()), [], []
        monkeypatch.setitem(download.BLOB_IDS, NAME, download.git_blob_id(running.content))
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/models/"


def digest(given: str | Path | None = None, base_url: str = "http://127.0.0.1:9/") -> str:
    network, _ = load_official(CONFIG, "audio", given, base_url)
    return weights_digest({"audio": network})


def test_git_blob_id() -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    assert download.git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert len(download.BLOB_IDS) == 12
    assert all(len(bytes.fromhex(blob_id)) == 20 for blob_id in download.BLOB_IDS.values())


def test_a_download_survives_cuts_and_damage(server: Server, cache: Path) -> None:
    server.faults = ["cut", "cut", "damaged", "damaged", "cut", ""]
    network, origin = load_official(CONFIG, "audio", base_url=url(server))
    half = len(server.content) // 2
    # resumed after each cut; what came from the damaged file was not kept
    assert server.ranges[:2] == [None, f"bytes={half}-"]
    assert server.ranges[2] is not None
    assert server.ranges[3:5] == [None, None]
    assert server.ranges[5] == f"bytes={half}-"
    assert Path(origin) == cache / f"{STEM}-v0_4_0.safetensors"
    assert sorted(p.name for p in cache.iterdir() if p.suffix != ".lock") == [Path(origin).name]
    assert weights_digest({"audio": network}) == digest()  # now from the cache, without network


def test_a_server_without_ranges_starts_over(server: Server) -> None:
    server.faults = ["cut", "no ranges"]
    load_official(CONFIG, "audio", base_url=url(server))
    assert len(server.ranges) == 2


def test_a_killed_download_goes_on_in_the_next_run(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{NAME}.part").write_bytes(server.content[:100])
    load_official(CONFIG, "audio", base_url=url(server))
    assert server.ranges == ["bytes=100-"]


def test_one_downloader_at_a_time(server: Server) -> None:
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(digest(base_url=url(server)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.ranges) == 1
    assert len(results) == 3
    assert len(set(results)) == 1


def test_a_file_that_stays_damaged_is_never_used(server: Server, cache: Path) -> None:
    server.faults = ["damaged"] * 9
    with pytest.raises(UserError, match=r"cannot download .*the file that came is damaged"):
        load_official(CONFIG, "audio", base_url=url(server))
    assert len(server.ranges) == 3
    assert not list(cache.glob("*.safetensors")) + list(cache.glob("*.part"))


@pytest.mark.parametrize("fault", ["endless", "silent"])
def test_more_than_any_weight_file_is_not_kept(
    server: Server, cache: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST", 2**20)
    server.faults = [fault]
    with pytest.raises(UserError, match=r"cannot download .*\(it is \d+ bytes or more; .* at most 1048576\); fetch"):
        load_official(CONFIG, "audio", base_url=url(server))
    assert len(server.ranges) == 1
    assert not list(cache.glob("*.safetensors")) + list(cache.glob("*.part"))


def test_sha_256_is_checked_where_it_is_known(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(download.SHA256) < set(download.BLOB_IDS)
    monkeypatch.setitem(download.SHA256, NAME, "0" * 64)
    with pytest.raises(UserError, match="the file that came is damaged: its SHA-256 is not 0000"):
        load_official(CONFIG, "audio", base_url=url(server))
    monkeypatch.setitem(download.SHA256, NAME, hashlib.sha256(server.content).hexdigest())
    load_official(CONFIG, "audio", base_url=url(server))


def test_without_network_one_line_says_what_to_do(cache: Path) -> None:
    with pytest.raises(UserError) as caught:
        digest(base_url="http://127.0.0.1:9/models/")
    line = str(caught.value)
    assert "\n" not in line
    assert f"cannot download http://127.0.0.1:9/models/{NAME} (" in line
    assert f"put {NAME} into {cache}" in line


def test_a_missing_file_is_not_asked_for_again(server: Server) -> None:
    with pytest.raises(UserError, match=r"\(Not Found\)|404"):
        load_official(CONFIG, "image", base_url=url(server))
    assert len(server.ranges) == 1


def test_what_was_put_into_the_cache_by_hand_is_found(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / NAME).write_bytes(server.content)
    digest()
    assert server.ranges == []


def test_order_of_the_places(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(folder: str, seed: int, name: str = f"{STEM}.h5") -> str:
        write_keras(tmp_path / folder / name, keras_layers(CONFIG.audio, seed))
        return digest(tmp_path / folder)

    given, named = place("given", 1), place("named", 2, f"{STEM}-v0_4_0.h5")
    cached, installed = place("cache", 3), place("site/openl3", 4)
    (tmp_path / "site" / "openl3" / "__init__.py").write_text("raise ImportError('TensorFlow is not wanted')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("AVFUSION_WEIGHTS", str(tmp_path / "named"))
    assert len({given, named, cached, installed}) == 4
    assert digest(tmp_path / "given") == given
    assert digest(tmp_path / "given" / f"{STEM}.h5") == given
    assert digest() == named
    monkeypatch.delenv("AVFUSION_WEIGHTS")
    assert digest() == cached
    (cache / f"{STEM}.h5").unlink()
    assert digest() == installed


def test_two_files_are_told_apart_by_what_they_hold(tmp_path: Path, cache: Path) -> None:
    audio = write_keras(tmp_path / "a.h5", keras_layers(CONFIG.audio))
    image = write_keras(tmp_path / "b.h5", keras_layers(CONFIG.image))
    both = f"{image},{audio}"
    assert load_official(CONFIG, "audio", both)[1] == str(audio)
    assert load_official(CONFIG, "image", both)[1] == str(image)


def test_a_choice_that_lacks_the_network_is_no_reason_to_look_elsewhere(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = write_keras(tmp_path / f"{STEM}.h5", keras_layers(CONFIG.audio))
    for given in (audio, tmp_path):
        with pytest.raises(UserError, match=r"holds no image network; expected openl3_image_mel256_env-v0_4_0.h5"):
            load_official(CONFIG, "image", given)
    with pytest.raises(UserError, match=rf"weights: {tmp_path}/no does not exist"):
        load_official(CONFIG, "audio", tmp_path / "no")
    monkeypatch.setenv("AVFUSION_WEIGHTS", "/no/such/folder")
    with pytest.raises(UserError, match=r"\$AVFUSION_WEIGHTS: /no/such/folder does not exist"):
        load_official(CONFIG, "audio")


def test_official_names() -> None:
    names = {
        f"{official_name(small_openl3(input_repr=r, content_type=c), m)}-v0_4_0.h5.gz"
        for r in ("mel256", "mel128", "linear")
        for c in ("env", "music")
        for m in ("audio", "image")
    }  # fmt: skip
    assert names == set(download.BLOB_IDS)
