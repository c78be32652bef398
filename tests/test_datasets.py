"""Readers of clip lists: layouts, ids, locations, and the mistakes that users make in lists."""

import json
import logging
import re
from pathlib import Path

import pytest

from avfusion.datasets import Dataset, layouts, read_dataset
from avfusion.datasets.tau import location_of
from avfusion.errors import UserError


def listed(folder: Path, text: str) -> Path:
    path = folder / "clips.csv"
    path.write_text(text, encoding="utf-8")
    return path


def tau(root: Path, train: str | None, evaluate: str | None = None, meta: str | None = None) -> Path:
    (root / "evaluation_setup").mkdir(parents=True)
    header = "filename_audio\tfilename_video\tscene_label\n"
    for name, rows in (
        ("evaluation_setup/fold1_train.csv", train),
        ("evaluation_setup/fold1_evaluate.csv", evaluate),
        ("meta.csv", meta),
    ):
        if rows is not None:
            lines = [f"audio/{row}.wav\tvideo/{row}.mp4\t{row.split('-')[0]}\n" for row in rows.split()]
            (root / name).write_text(header + "".join(lines))
    return root


def rows(dataset: Dataset) -> list[tuple[str, ...]]:
    return [
        (clip.id, clip.label, clip.location, clip.split, dataset.relative(clip.audio), dataset.relative(clip.video))
        for clip in dataset.clips
    ]


def test_muxed_list(tmp_path: Path) -> None:
    path = listed(tmp_path, "\ufeffclip, label,location,split,seconds\na/x.mp4,bus,l1,train,4\nb/y.mkv,NA,l2,,5\n\n")
    dataset = read_dataset(path)
    assert rows(dataset) == [
        ("x", "bus", "l1", "train", "a/x.mp4", "a/x.mp4"),
        ("y", "NA", "l2", "", "b/y.mkv", "b/y.mkv"),
    ]
    assert (dataset.classes, dataset.synthetic, dataset.name, dataset.notes) == (("NA", "bus"), False, "clips", ())
    assert dataset.table()["label"].tolist() == ["bus", "NA"]


def test_paired_list(tmp_path: Path) -> None:
    path = listed(tmp_path, "audio,video,label,location\nx.wav,x.mp4,bus,l1\n,y.mp4,bus,l2\nz.wav,,tram,l3\n")
    assert [row[0] for row in rows(read_dataset(path))] == ["x", "y", "z"]
    assert [(clip.audio, clip.video) for clip in read_dataset(path).clips] == [
        (tmp_path / "x.wav", tmp_path / "x.mp4"),
        (None, tmp_path / "y.mp4"),
        (tmp_path / "z.wav", None),
    ]
    named = listed(tmp_path, "clip,audio,video,label,location\none.1,x.wav,x.mp4,bus,l\ntwo,y.wav,y.mp4,bus,l\n")
    assert [clip.id for clip in read_dataset(named).clips] == ["one.1", "two"]


def test_ids_take_as_much_of_the_path_as_they_need(tmp_path: Path) -> None:
    text = "clip,label,location\na/x.mp4,bus,l\nb/x.mp4,bus,l\nb/y.mp4,bus,l\nb/y.mkv,bus,l\nz.mp4,bus,l\n"
    assert [clip.id for clip in read_dataset(listed(tmp_path, text)).clips] == [
        "a/x",
        "b/x",
        "b/y.mp4",
        "b/y.mkv",
        "z",
    ]


def test_without_location_each_clip_is_a_group(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = read_dataset(listed(tmp_path, "clip,label\nx.mp4,bus\ny.mp4,bus\n"))
    assert [clip.location for clip in dataset.clips] == ["x", "y"]
    assert "2 of 2 clips have no location" in caplog.text
    assert "2 of 2 clips have no location" in dataset.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,location\nx.mp4,l\n", "no column 'label'; columns found: clip, location"),
        ("file,label\nx.mp4,bus\n", "no column 'clip'; columns found: file, label"),
        ("clip\tlabel\nx.mp4\tbus\n", "no column 'clip'; columns found: clip\tlabel"),
        ("", "columns found: none"),
        ("clip,label\n", "lists no clips"),
        ("clip,label,split\nx.mp4,bus,validation\n", "line 2: split 'validation' is not one of train, val, test"),
        ("clip,label\nx.mp4,bus\ny.mp4,\n", "line 3: the label is empty"),
        ("clip,label\n,bus\n", "line 2: no file is named"),
        ("clip,label\nx.mp4,bus,more\n", "line 2: more cells than columns"),
        ("clip,label\nx.mp4,bus\nx.mp4,bus\n", "the clip 'x.mp4' is listed 2 times"),
        ("clip,audio,video,label\na,x.wav,x.mp4,bus\na,y.wav,y.mp4,bus\n", "line 3: the clip 'a' stands on line 2 too"),
        ('clip,label\n"x.mp4,bus\n', "cannot be read as a UTF-8 CSV file"),
        ("clip,label\nx\0.mp4,bus\n", r"line 2: the clip 'x\x00.mp4' holds the character '\x00' (U+0000)"),
    ],
)
def test_mistakes_in_a_list(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_dataset(listed(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,label,label\nx.mp4,bus,park\n", "clips.csv: the column 'label' is there 2 times; keep one"),
        ("clip,label\na.avi,bus\n./a.avi,park\n", "line 3: the file 'a.avi' is 'park' here and 'bus' on line 2"),
        ("clip,label\na.avi,bus\n./a.avi,bus\n", "line 3: the clip 'a.avi' stands on line 2 too; list it once"),
        ("clip,label\na.avi,bus\nlink.avi,park\n", "line 3: the file 'link.avi' is 'park' here and 'bus' on line 2"),
        ("clip,label\na.avi,bus\nfolder/a.avi,park\n", "the file 'a.avi' is 'park' here and 'bus' on line 2"),
        ("clip,audio,video,label\n1,a.avi,,bus\n2,,a.avi,park\n", "the file 'a.avi' is 'park' here and 'bus'"),
        ("clip,audio,video,label\n1,a.wav,a.avi,bus\n2,a.wav,a.avi,bus\n", "line 3: the clip 'a.avi' stands on line 2"),
        ('clip,label\n\nx.avi,"bus\rstop"\n', r"line 3: the label 'bus\rstop' holds the character '\r' (U+000D)"),
        ('clip,label\nx.avi,"bus\r"\n', r"line 2: the label 'bus\r' holds the character '\r'"),
        ('clip,label\n"x\n.avi",bus\n', r"line 2: the clip 'x\n.avi' holds the character '\n'"),
        ("clip,label\nx\ty.avi,bus\n", r"line 2: the clip 'x\ty.avi' holds the character '\t' (U+0009)"),
        ("clip,label,location\nx.avi,bus,\u2028a\n", "line 2: the location"),
        ("clip,label\n.,bus\n", "line 2: no file is named"),
    ],
)
def test_a_list_is_refused_before_any_work(tmp_path: Path, text: str, message: str) -> None:
    """One file has one label whatever its spelling, and a name holds nothing that no table can."""
    (tmp_path / "a.avi").touch()
    (tmp_path / "link.avi").symlink_to("a.avi")
    (tmp_path / "folder").symlink_to(".")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_dataset(listed(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes(b"clip,label\na.avi,bus\ncaf\xe9.avi,bus\n")
    with pytest.raises(UserError, match=r"line 3: cannot be read as a UTF-8 CSV file, .* the byte 0xe9"):
        read_dataset(tmp_path / "clips.csv")


def test_unknown_columns_may_hold_anything(tmp_path: Path) -> None:
    path = listed(tmp_path, 'clip,label,said,,\nx.mp4,bus,"two\nlines",,\ny.mp4,bus,"one\ttab"\n')
    assert [row[0] for row in rows(read_dataset(path))] == ["x", "y"]


def test_ids_differ_where_a_name_is_the_stem_of_another(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, "clip,label\na.avi,bus\na.mp4,bus\na.avi.wav,bus\n"))
    assert [clip.id for clip in dataset.clips] == ["a.avi", "a.mp4", "a.avi.wav"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "audio/./{}.wav\tvideo/{}.mp4\tpark",
            "fold1_evaluate.csv, line 2: the file '{}.wav' is 'park' here and 'bus'",
        ),
        ("audio/{}-a.wav\tvideo/{}-a.mp4\tb\0us", r"fold1_evaluate.csv, line 2: the scene_label 'b\x00us' holds"),
        ('audio/{}-a.wav\tvideo/{}-a.mp4\t"b\rus"', r"fold1_evaluate.csv, line 2: the scene_label 'b\rus' holds"),
    ],
)
def test_the_lists_of_tau_are_refused_alike(tmp_path: Path, line: str, message: str) -> None:
    name = "bus-lyon-1-1"
    root = tau(tmp_path / "tau", name, name)
    path = root / "evaluation_setup/fold1_evaluate.csv"
    path.write_text(path.read_text().splitlines()[0] + f"\n{line.replace('{}', name)}\n", newline="")
    with pytest.raises(UserError, match=re.escape(message.replace("{}", name))):
        read_dataset(root)
    path.write_text("filename_audio\tfilename_video\tscene_label\tscene_label\n")
    with pytest.raises(UserError, match="the column 'scene_label' is there 2 times"):
        read_dataset(root)


def test_list_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes(b"clip,label\nx.mp4,caf\xe9\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_dataset(tmp_path / "clips.csv")


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../secret.mp4", "inside/../../secret.mp4", "link.mp4", "folder/secret.mp4"]
)
def test_paths_out_of_the_data_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "folder").symlink_to(tmp_path)
    path = listed(root, f"clip,label,location\n{name},bus,l\n")
    with pytest.raises(UserError, match=f"{re.escape(repr(name))} leads out of the data folder"):
        read_dataset(path)
    assert len(read_dataset(path, allow_outside=True).clips) == 1


def test_links_that_stay_inside_are_fine(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "x.mp4").write_bytes(b"")
    (root / "y.mp4").symlink_to("x.mp4")
    (tmp_path / "alias").symlink_to(root)
    listed(root, "clip,label,location\ny.mp4,bus,l\n")
    assert rows(read_dataset(tmp_path / "alias" / "clips.csv"))[0][4] == "y.mp4"


def test_tau(tmp_path: Path) -> None:
    root = tau(tmp_path / "tau", "airport-lisbon-1175-44106 bus-paris-7-3-a", "tram-london-30-1")
    dataset = read_dataset(root)
    assert rows(dataset) == [
        ("airport-lisbon-1175-44106", "airport", "airport-lisbon-1175", "",
         "audio/airport-lisbon-1175-44106.wav", "video/airport-lisbon-1175-44106.mp4"),
        ("bus-paris-7-3-a", "bus", "bus-paris-7", "", "audio/bus-paris-7-3-a.wav", "video/bus-paris-7-3-a.mp4"),
        ("tram-london-30-1", "tram", "tram-london-30", "test",
         "audio/tram-london-30-1.wav", "video/tram-london-30-1.mp4"),
    ]  # fmt: skip
    assert (dataset.synthetic, dataset.notes) == (False, ())
    (root / "synthetic.json").write_text(json.dumps({"seed": 1}))
    assert read_dataset(root).synthetic


def test_tau_without_fold_lists(tmp_path: Path) -> None:
    everything = read_dataset(tau(tmp_path / "a", None, None, meta="bus-paris-1-1 bus-paris-2-1"))
    assert [clip.split for clip in everything.clips] == ["", ""]
    assert len(everything.notes) == 2
    rest = read_dataset(tau(tmp_path / "b", None, "bus-paris-2-1", meta="bus-paris-1-1 bus-paris-2-1"))
    assert [(clip.id, clip.split) for clip in rest.clips] == [("bus-paris-1-1", ""), ("bus-paris-2-1", "test")]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("bus-paris-1", "'audio/bus-paris-1.wav' is not scene-city-location-segment"),
        ("bus-paris-1-1 bus-paris-1-1", "listed 2 times"),
        ("", "fold1_train.csv lists no clips"),
        ("../../../bus-paris-1-1", "leads out of the data folder"),
    ],
)
def test_mistakes_in_tau_lists(tmp_path: Path, train: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        read_dataset(tau(tmp_path / "tau", train, "tram-london-30-1"))


def test_tau_column(tmp_path: Path) -> None:
    root = tau(tmp_path / "tau", "bus-paris-1-1")
    (root / "evaluation_setup/fold1_train.csv").write_text("filename_audio,filename_video,scene_label\n")
    with pytest.raises(UserError, match=r"no column 'filename_audio'.*tab-separated"):
        read_dataset(root)


def test_location_of() -> None:
    assert location_of("audio/street_traffic-prague-1042-42345-a.wav") == "street_traffic-prague-1042"


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"data not found: {tmp_path / 'missing'}")):
        read_dataset("missing")


def test_unknown_layout_says_what_was_found_and_lists_the_layouts(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"a folder with a\.mp4") as caught:
        read_dataset(tmp_path)
    assert all(reader.LAYOUT in str(caught.value) for reader in layouts().values())
    assert {"csv_list", "tau"} <= set(layouts())
    with pytest.raises(UserError, match=r"a file ending in '.mp4'"):
        read_dataset(tmp_path / "a.mp4")


def test_digest_is_of_the_clip_list_alone(tmp_path: Path) -> None:
    texts = {
        "a": "clip,label,location\nx.mp4,bus,l1\ny.mp4,bus,l2\n",
        "b": "clip,label,location\ny.mp4,bus,l2\nx.mp4,bus,l1\n",
        "c": "clip,label,location\nx.mp4,bus,l1\ny.mp4,tram,l2\n",
    }
    digests = {}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        digests[name] = read_dataset(listed(tmp_path / name, text)).digest
    assert digests["a"] == digests["b"] != digests["c"]
