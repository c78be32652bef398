"""Where answers and locations come from, and on which clips they are compared."""

from pathlib import Path

import numpy as np
import pytest

from avfusion.analysis.locations import ClipLocations, read_locations
from avfusion.analysis.sources import compared_folder
from avfusion.analysis.variant_answers import VariantAnswers, on_shared_clips
from avfusion.errors import UserError
from avfusion.scoring.tsv import write_course_tsv
from tests.test_comparison import answers


def test_a_list_joins_by_stem_and_without_the_tail(tmp_path: Path) -> None:
    clips = ("bus-lyon-1-5", "park-nice-2-7")
    path = tmp_path / "list.csv"
    path.write_text(
        "audio_name,location,city\nbus-lyon-1-5-a.wav,1,lyon\nother-a.wav,9,x\npark-nice-2-7-a.wav,2,nice\n"
    )
    found = read_locations(path, clips)
    assert found.locations == {"bus-lyon-1-5": "1", "park-nice-2-7": "2"}
    assert found.cities == {"bus-lyon-1-5": "lyon", "park-nice-2-7": "nice"}
    path.write_text("location\tclip\nhere\tsome.clip.mp4\nthere\tb\n")
    assert read_locations(path, ("some.clip.mp4", "b")).locations == {"some.clip.mp4": "here", "b": "there"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("clip,place\na,1\n", "no column location; found clip, place"),
        ("clip,location\nx,1\n", "names none of the clips, for instance 'a'"),
        ("clip,location\na,1\na,2\n", "'a' has 2 locations; each clip must have one"),
        ("clip,location\na,\n", r"the location of 1 clip\(s\) is empty, for instance of 'a'"),
        ("clip,location\n", "has no line below its header"),
        ('clip,location\n"a,1\n', "not a CSV table"),
    ],
)
def test_unusable_lists(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_locations(path, ("a",))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file"):
        read_locations(tmp_path / "nowhere.csv", ("a",))


def test_a_clip_without_location_is_named() -> None:
    with pytest.raises(UserError, match=r"list\.csv: no location of 1 of 2 clips, for instance 'b'"):
        ClipLocations({"a": "1"}, None, "list.csv").in_order(("a", "b"))


def test_only_clips_that_all_answered_are_scored() -> None:
    whole = answers(0)
    part = answers(1).take(np.arange(5, 20)[::-1])
    variants, remarks = on_shared_clips([VariantAnswers("a", "a", (whole,)), VariantAnswers("b", "b", (part,))])
    assert [variant.answers.ids for variant in variants] == [whole.ids[5:20]] * 2
    assert remarks == ["Only the 15 clips that all variants answered are scored; some answered 36."]
    assert on_shared_clips([VariantAnswers("a", "a", (whole,)), VariantAnswers("b", "b", (answers(1),))])[1] == []


def test_sets_that_cannot_be_compared() -> None:
    whole = VariantAnswers("a", "a.tsv", (answers(0),))
    with pytest.raises(UserError, match=r"at least two sets of answers; found 1 \(a.tsv\)"):
        on_shared_clips([whole])
    with pytest.raises(UserError, match="'a' stands for two sets"):
        on_shared_clips([whole, whole])
    with pytest.raises(UserError, match=r"no clip is in all of a\.tsv, b\.tsv"):
        on_shared_clips([whole, VariantAnswers("b", "b.tsv", (answers(0, names="others"),))])


def test_a_folder_of_files_with_names_that_tell_locations(tmp_path: Path) -> None:
    for number in range(2):
        write_course_tsv(tmp_path / f"model{number}.tsv", answers(number))
    write_course_tsv(tmp_path / "val" / "model1.tsv", answers(8))
    found = compared_folder(tmp_path, None)
    assert [(entry.name, len(entry.validation)) for entry in found.variants] == [("model0", 0), ("model1", 1)]
    assert found.clip_locations is not None
    assert set(found.clip_locations.locations.values()) == {clip.rpartition("-")[0] for clip in answers(0).ids}
    assert set((found.clip_locations.cities or {}).values()) == {"lyon", "milan"}
    for number in range(2):
        write_course_tsv(tmp_path / f"model{number}.tsv", answers(number, names="others"))
    with pytest.raises(UserError, match="locations: none given, and the clips are not named as TAU's are"):
        compared_folder(tmp_path, None)
