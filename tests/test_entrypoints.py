"""The commands that users type: mistakes get one line and exit code 2, success its summary."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from avfusion.datasets.scenes import render_scenes
from tests.edge import parsed
from tests.stand_ins import extract_by_one_process
from tests.stores import make_store

ROOT = Path(__file__).parents[1]


def call(name: str, *arguments: str) -> Result:
    return CliRunner().invoke(import_module(f"entrypoints.{name}").cli, list(arguments))


def mistake(result: Result) -> str:
    """The one line of a user's mistake."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def test_missing_data_names_the_absolute_path() -> None:
    line = mistake(call("main", "--data", "no/such/folder"))
    assert f"data not found: {Path.cwd() / 'no/such/folder'}" in line


def test_a_list_without_a_needed_column(tmp_path: Path) -> None:
    clips = tmp_path / "clips.csv"
    clips.write_text("clip,scene\na.mp4,park\n")
    line = mistake(call("extract", "--data", str(clips)))
    assert "label" in line and "scene" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "latte"], "unknown variant 'latte'; choose from: all, audio_only, baseline"),
        (["--params", "alpha=2"], "alpha=2: expected a number in [0, 1]"),
        (["--seeds", "x"], "seeds=x: expected different whole numbers"),
        (["--embedder", "clip"], "unknown embedder 'clip'; choose from: demo, openl3"),
        (["--device", "tpu"], "Invalid value for '--device': 'tpu' is not one of 'auto', 'cpu', 'cuda'."),
        (["--params", "nothing"], "params: cannot read 'nothing'"),
    ],
)
def test_main_checks_everything_before_it_reads_a_clip(arguments: list[str], message: str) -> None:
    assert message in mistake(call("main", "--data", "not/read", *arguments))


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("data", "none", None),
        ("data", "clips.csv", Path("clips.csv")),
        ("strict", "true", True),
        ("strict", "false", False),
        ("timeout", "1e3", 1000.0),
        ("timeout", " 5 ", 5.0),
        ("seeds", "2, +1,\N{FULLWIDTH DIGIT THREE}", (2, 1, 3)),
        ("variants", "late, early,late,", ("late", "early")),
        ("params", "none", {}),
        ("params", "", {}),
        ("params", " ", {}),
        ("params", "alpha=0.25, hidden = 64", {"alpha": "0.25", "hidden": "64"}),
        ("address", "none", None),
    ],
)
def test_values_of_options(option: str, text: str, value: object) -> None:
    assert parsed("main", **{option: text})[option] == value


@pytest.mark.parametrize(
    ("name", "option", "text", "message"),
    [
        *(("tune", "workers", text, f"workers={text}: expected a whole number of at least 1")
          for text in ("\N{SUPERSCRIPT TWO}", "1e3", "1.5", "0", "-1", "", " ", "two", "9" * 5000)),
        *(("main", "seeds", text, f"seeds={text}: expected different whole numbers of at least 0 with commas")
          for text in ("\N{SUPERSCRIPT TWO}", "", "-1", "1.5", "a", "0,0", "1,,2")),
        *(("sweep", "alphas", text, f"alphas={text}: expected `study` or different numbers in [0, 1]")
          for text in ("0.5,1.5", "x", "", "0.5,0.5", "nan")),
        *(("main", "timeout", text, f"timeout={text}: expected seconds above 0") for text in ("", "nan", "inf", "0")),
        *(("main", "strict", text, f"strict={text}: expected true or false") for text in ("", "TRUE", "1")),
        *(("main", "params", text, "write name=value,name=value without spaces")
          for text in ("alpha", "alpha=", "=0.5", "alpha=0.5,,hidden=3")),
        ("main", "params", "alpha=0.1,alpha=0.2", "'alpha' is given twice"),
        ("main", "variants", ",", "variants=,: expected names with commas"),
        ("main", "data", " ", "data= : expected `none` or a path"),
        ("tune", "study", "", "study=: expected `none` or text"),
        ("main", "modalities", "so\nund", r"'so\nund' is not one of 'both', 'any'."),
        ("main", "variant", "late", "No such option '--variant'"),
    ],
)  # fmt: skip
def test_bad_values_get_one_line(name: str, option: str, text: str, message: str) -> None:
    assert message in mistake(call(name, f"--{option}", text))


def test_an_empty_store(tmp_path: Path) -> None:
    assert "is not a feature store" in mistake(call("train", "--features", str(tmp_path)))


def test_too_few_locations_names_the_class(tmp_path: Path) -> None:
    make_store(tmp_path / "store", locations=2)
    line = mistake(call("train", "--features", str(tmp_path / "store")))
    assert "class 'airport' has 2 locations" in line


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("main", ["--data", "not/read"]),
        ("extract", ["--data", "not/read"]),
        ("pretrain", ["--data", "not/read"]),
        ("export", ["--features", "not/read"]),
        ("predict", ["--model", "not/read", "--clip", "not/read"]),
        ("report", ["--experiment", "not read"]),
        ("compare", ["--experiment", "not read"]),
        ("conflict", ["--audio", "not read", "--video", "not read"]),
    ],
)
def test_an_output_that_is_a_file(tmp_path: Path, name: str, arguments: list[str]) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "folder"):
        line = mistake(call(name, *arguments, "--output", str(output)))
        assert line == f"error: output={output}: {tmp_path / 'file'} is a file; name a folder, as output=FOLDER"


def test_main_goes_from_clips_to_a_comparison(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = render_scenes(tmp_path / "scenes", seed=5, locations=3, test_locations=1, segments=1, seconds=1.0)
    monkeypatch.chdir(tmp_path)
    extract_by_one_process(monkeypatch)
    result = call("main", "--data", str(scenes), "--variants", "audio_only,late", "--params", "epochs=2")
    assert result.exit_code == 0, result.output + result.stderr
    for expected in ("scenes (synthetic)", "30 clips, failed_clips=0", "audio_only", "late", "mlflow ui --backend"):
        assert expected in result.stdout
    again = call("extract", "--data", str(scenes))
    assert again.exit_code == 0 and "python -m entrypoints.train --features" in again.stdout


def test_help_answers_without_the_heavy_imports() -> None:
    code = (
        "import sys; from entrypoints.main import cli; cli(['--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'mlflow', 'numpy', 'pandas', 'optuna')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--variants" in done.stdout
