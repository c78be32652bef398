"""The recipe, step by step, against what torch's own parts do and against its words."""

import math

import pytest
import torch
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.fusion.base import Stage
from avfusion.fusion.hyperparameters import resolve
from avfusion.training.fit import Examples, fit, scores
from avfusion.training.recipe import RECIPE


class Linear(nn.Module):
    """Class scores of the mean over time of both modalities."""

    def __init__(self, dim: int = 4, n_classes: int = 3) -> None:
        super().__init__()
        self.out = nn.Linear(2 * dim, n_classes)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        result: Tensor = self.out(torch.cat([audio.mean(1), video.mean(1)], 1))
        return result


class Scripted(nn.Module):
    """A network whose validation losses follow a script: it counts its evaluations."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.long))
        self.evaluations: Tensor

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        if self.training:
            return self.weight * audio.mean() + torch.zeros(len(audio), 2)
        loss = self.losses[int(self.evaluations)]
        self.evaluations += 1
        return torch.tensor([[0.0, math.log(math.expm1(loss))]]).expand(len(audio), 2)  # cross-entropy of class 0


def examples(n_clips: int = 40, n_classes: int = 3, seed: int = 0) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    audio, video = (torch.randn(n_clips, 2, 4, generator=generator) for _ in range(2))
    return Examples(audio, video, torch.arange(n_clips) % n_classes)


def run_script(losses: list[float], **given: str) -> tuple[Scripted, list[float], int]:
    network = Scripted(losses)
    one = Examples(torch.zeros(4, 1, 2), torch.zeros(4, 1, 2), torch.zeros(4, dtype=torch.long))
    history = list(fit(Stage("", network), one, one, resolve(RECIPE, given), 0))
    return network, [epoch.learning_rate for epoch in history], len(history)


def test_defaults_are_the_study_recipe() -> None:
    assert resolve(RECIPE, {}) == {
        "learning_rate": 1e-4,
        "weight_decay": 1e-4,
        "batch_size": 128,
        "epochs": 100,
        "patience": 7,
        "precision": "float32",
        "scheduler": "plateau",
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "modality_dropout": 0.0,
        "balance": 0.0,
    }


def test_stops_after_seven_epochs_without_improvement_and_keeps_the_best() -> None:
    losses = [1.0, 0.5, 0.4, *[0.6] * 20]
    network, _, n_epochs = run_script(losses)
    assert n_epochs == 3 + 7
    assert int(network.evaluations) == 3  # the state of the third epoch is back


def test_learning_rate_falls_after_the_fourth_bad_epoch() -> None:
    _, rates, _ = run_script([1.0, *[1.1] * 20], patience="15")
    assert rates == pytest.approx([1e-4] * 5 + [1e-5] * 4 + [1e-6] * 4 + [1e-7] * 3)


def test_runs_at_most_the_given_epochs() -> None:
    assert run_script([1.0 / n for n in range(1, 200)])[2] == 100
    assert run_script([1.0 / n for n in range(1, 200)], epochs="4")[2] == 4


def test_one_epoch_equals_a_plain_adam_loop() -> None:
    data = examples(40)
    network, reference = Linear(), Linear()
    reference.load_state_dict(network.state_dict())
    (epoch,) = fit(Stage("", network), data, data, resolve(RECIPE, {"epochs": "1", "batch_size": "64"}), 5)
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-4, weight_decay=1e-4)
    loss = nn.functional.cross_entropy(reference(data.audio, data.video), data.labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    torch.testing.assert_close(network.out.weight, reference.out.weight)
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-5)
    expected = nn.functional.cross_entropy(reference(data.audio, data.video), data.labels)
    assert epoch.val_loss == pytest.approx(expected.item(), rel=1e-5)


def test_bf16_rounds_the_training_passes_alone() -> None:
    data = examples(40)
    torch.manual_seed(0)
    exact, rounded = Linear(), Linear()
    rounded.load_state_dict(exact.state_dict())
    given = {"epochs": "1", "batch_size": "16", "learning_rate": "0.01"}
    (exact_epoch,) = fit(Stage("", exact), data, data, resolve(RECIPE, given), 5)
    (epoch,) = fit(Stage("", rounded), data, data, resolve(RECIPE, {**given, "precision": "bf16"}), 5)
    assert epoch.train_loss != exact_epoch.train_loss
    assert epoch.train_loss == pytest.approx(exact_epoch.train_loss, rel=2**-8)  # bf16 keeps 8 bits
    assert not torch.equal(rounded.out.weight, exact.out.weight)
    assert rounded.out.weight.dtype == torch.float32
    expected = nn.functional.cross_entropy(rounded(data.audio, data.video), data.labels)
    assert epoch.val_loss == pytest.approx(expected.item(), rel=1e-6)  # bf16 would miss it by 1e-3


@pytest.mark.parametrize("n_clips, n_seen", [(40, 40), (41, 40)])
def test_training_scores_are_over_all_clips_but_a_lonely_last_one(n_clips: int, n_seen: int) -> None:
    data, network = examples(n_clips), Linear()
    shown: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]) if network.training else None)
    still = {"epochs": "1", "batch_size": "8", "learning_rate": "1e-8", "weight_decay": "0"}
    (epoch,) = fit(Stage("", network), data, data, resolve(RECIPE, still), 5)
    firsts = torch.cat(shown)[:, 0, 0].tolist()
    rows = [data.audio[:, 0, 0].tolist().index(value) for value in firsts]
    assert len(rows) == n_seen
    output, labels = network(data.audio[rows], data.video[rows]), data.labels[rows]
    assert epoch.train_loss == pytest.approx(nn.functional.cross_entropy(output, labels).item(), rel=1e-5)
    assert epoch.train_accuracy == pytest.approx((output.argmax(1) == labels).float().mean().item())


def test_each_clip_is_seen_once_an_epoch() -> None:
    seen: list[Tensor] = []

    class Spy(Linear):
        def forward(self, audio: Tensor, video: Tensor) -> Tensor:
            if self.training:
                seen.append(audio[:, 0, 0])
            return super().forward(audio, video)

    data = examples(40)
    list(fit(Stage("", Spy()), data, data, resolve(RECIPE, {"epochs": "1", "batch_size": "16"}), 0))
    assert [len(batch) for batch in seen] == [16, 16, 8]
    assert torch.equal(torch.cat(seen).sort().values, data.audio[:, 0, 0].sort().values)


def test_the_global_random_state_is_untouched() -> None:
    network = Linear()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    list(fit(Stage("", network), examples(), examples(), resolve(RECIPE, {"epochs": "2"}), 0))
    assert torch.equal(torch.rand(1), expected)


def test_divergence_is_one_clear_line() -> None:
    data = examples()
    broken = Examples(data.audio * float("nan"), data.video, data.labels)
    with pytest.raises(UserError, match=r"diverged in epoch 1 .*lower learning_rate=0.0001"):
        list(fit(Stage("", Linear()), broken, data, resolve(RECIPE, {}), 0))


def test_scores_do_not_depend_on_the_batch_size() -> None:
    network, data = Linear(), examples(33)
    torch.testing.assert_close(scores(network, data, batch_size=7), scores(network, data))
