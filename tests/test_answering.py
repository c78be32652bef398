"""What a trained variant answers from one modality alone, and when it is trusted with that."""

from pathlib import Path

import numpy as np
import torch

from avfusion.fusion import variants
from avfusion.scoring.metrics import log_loss
from avfusion.training.answering import better_alone, predictions
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.many import Trainer
from avfusion.training.split_features import VALIDATION, SplitFeatures
from avfusion.training.stored_results import StoredResults
from tests.stores import make_store

CPU = torch.device("cpu")
GIVEN = {"epochs": "20", "batch_size": "16", "hidden": "16", "learning_rate": "0.01"}


def test_a_fusion_that_lost_modalities_in_training_answers_alone_where_it_is_better(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", separation=1.0))
    known, trainer = variants(), Trainer(data, CPU, StoredResults(tmp_path))
    chosen = [known[name] for name in ("audio_only", "early", "early")]
    results = []
    for variant, dropout in zip(chosen, ("", "0.5", "0"), strict=True):
        given = GIVEN | ({"modality_dropout": dropout} if dropout else {})
        results.append(score_test(data, train(data, variant, resolve_params([variant], given)[0], 0, CPU)))
    companion, dropped, usual = (result.trained.classifier for result in trainer.with_companions(results))
    assert usual.description.answers_alone == ()
    # There is no companion for the picture; for the sound, the better one answers.
    own = log_loss(predictions(data, VALIDATION, dropped, "audio"))
    better = own < log_loss(predictions(data, VALIDATION, companion))
    assert dropped.description.answers_alone == (("audio", "video") if better else ("video",))
    assert own < log_loss(predictions(data, VALIDATION, usual, "audio"))


def test_the_companion_answers_where_it_is_better(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store"))
    known = variants()
    audio_only, early = (
        train(data, known[name], resolve_params([known[name]], GIVEN | {"epochs": n})[0], 0, CPU)
        for name, n in (("audio_only", "20"), ("early", "1"))
    )
    early.classifier.companions["audio_only"] = audio_only.classifier
    assert better_alone(data, early.classifier) == ("video",)


def test_alone_means_that_the_other_modality_is_at_its_mean(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store"))
    early = variants()["early"]
    classifier = train(data, early, resolve_params([early], GIVEN | {"epochs": "2"})[0], 0, CPU).classifier
    found = predictions(data, VALIDATION, classifier, "video")
    row = int(data.rows(VALIDATION)[0])
    video = torch.tensor(data.store.frames("video", row))[None]
    with torch.no_grad():
        expected = classifier(classifier.mean_frame("audio").expand(1, 5, -1), video).softmax(1)[0]
    np.testing.assert_allclose(found.probabilities[0], expected, rtol=1e-4)
