"""Models from a hub: a small one on loopback that serves what the hub's client asks for, as other programs."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "good/model": ["config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin", "own.py"],
    "pickled/model": ["config.json", "pytorch_model.bin"],
}
ASK = """
import json, sys
from avfusion.embedders.huggingface import hub
from avfusion.errors import UserError
hub._PATIENCE = 1.0
for model in sys.argv[1:]:
    try:
        folder = hub.model_folder(model.removeprefix("untrained "), with_weights="untrained " not in model)
        print(json.dumps([hub.commit_of(folder), sorted(path.name for path in folder.iterdir())]))
    except UserError as error:
        print(json.dumps(str(error)))
"""


def content_of(name: str) -> bytes:
    return f"content of {name}".encode()


class Hub(BaseHTTPRequestHandler):
    """Answers for `FILES`; what is private, gated or silent by its name is so."""

    def do_GET(self) -> None:
        path = unquote(self.path)
        repository = next((name for name in FILES if name in path), "")
        if "silent/" in path:
            threading.Event().wait(5)
        elif "gated/" in path:
            self.refuse(403, "GatedRepo")
        elif not repository:
            self.refuse(401, "RepoNotFound")
        elif "/main" not in path and COMMIT not in path:
            self.refuse(404, "RevisionNotFound")
        elif path.startswith("/api/") and "/tree/" in path:
            files = [
                {"type": "file", "path": name, "oid": name, "size": len(content_of(name))} for name in FILES[repository]
            ]
            self.give(json.dumps(files).encode())
        elif path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in FILES[repository]]
            self.give(json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode())
        else:
            self.give(content_of(path.rpartition("/")[2]))

    do_HEAD = do_GET  # noqa: N815

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def give(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(home: Path, address: str, *models: str, **environment: str) -> list[Any]:
    """What a program of its own says of each model: its commit and files, or the reason why there is none."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    given = {"HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    run = partial(subprocess.run, capture_output=True, text=True, check=True, timeout=100)
    done = run([sys.executable, "-c", ASK, *models], env=plain | given | environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_models_from_the_hub_and_from_its_cache(address: str, tmp_path: Path) -> None:
    names = ["good/model", "good/model@other", "pickled/model", "private/model", "gated/model", "silent/model"]
    good, revision, pickled, private, gated, silent = ask(tmp_path, address, *names)
    assert good == [COMMIT, ["config.json", "model.safetensors", "preprocessor_config.json"]]
    assert revision == "hf:good/model has no revision 'other' on the hub"
    assert pickled.startswith("hf:pickled/model has no model.safetensors; weights are read from safetensors alone")
    assert private == "hf:private/model: the hub has no such model, or shows it only to some (HF_TOKEN)"
    assert gated == "hf:gated/model: its owner wants terms accepted on the hub, and HF_TOKEN set"
    assert silent.startswith("hf:silent/model: the hub does not answer (")
    assert "and the cache has no whole revision 'main' of it" in silent

    nobody = "http://127.0.0.1:9"  # a port that nothing listens to
    cached, pinned, other = ask(tmp_path, nobody, "good/model", f"good/model@{COMMIT}", "pickled/model")
    assert cached == pinned == good
    assert other == pickled
    (offline, unknown) = ask(tmp_path, address, "good/model", "other/model", HF_HUB_OFFLINE="1")
    assert offline == good
    assert unknown.startswith("hf:other/model: HF_HUB_OFFLINE is set, and the cache has no whole revision 'main' of it")
    assert not any("\n" in line for line in (revision, pickled, private, gated, silent, other, unknown))


def test_what_is_not_needed_is_not_fetched_and_a_disk_is_not_taken_for_the_hub(address: str, tmp_path: Path) -> None:
    (settings,) = ask(tmp_path / "settings", address, "untrained good/model")
    assert settings == [COMMIT, ["config.json", "preprocessor_config.json"]]
    (partly,) = ask(tmp_path / "settings", address, "good/model", HF_HUB_OFFLINE="1")
    assert partly.startswith("hf:good/model: HF_HUB_OFFLINE is set, and the cache has no whole revision 'main' of it")
    (tmp_path / "file").write_bytes(b"")
    (nowhere,) = ask(tmp_path / "file" / "home", address, "good/model")
    assert nowhere == (
        f"hf:good/model cannot be kept in {tmp_path / 'file' / 'home' / 'hub'} (Not a directory); mend that, or set "
        "HF_HOME to another folder"
    )
