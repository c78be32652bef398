"""What the recipe has beside the study's: what each changes, and that it changes nothing while it is off."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork, Shape, build, variants
from avfusion.fusion.base import Stage
from avfusion.fusion.hyperparameters import resolve
from avfusion.training.augmentation import Augmentation, Batch, mixed, without_a_modality
from avfusion.training.balance import Balance
from avfusion.training.experiment import hyperparameters, resolve_params
from avfusion.training.fit import Epoch, Examples, fit, fit_stages
from avfusion.training.recipe import RECIPE

ON = {"label_smoothing": "0.1", "mixup": "0.3", "modality_dropout": "0.3", "balance": "0.5", "scheduler": "cosine"}
SHAPE = Shape(audio_dim=4, video_dim=4, n_frames=2, n_classes=3)
ALL = list(variants().values())
SMALL = {"hidden": "8", "embedding": "8", "output_hidden": "8", "lstm_hidden": "4", "rank": "2"}


def examples(n_clips: int = 24, audio_signal: float = 2.0) -> Examples:
    """The sound tells the class, the picture does not."""
    generator = torch.Generator().manual_seed(0)
    audio, video = torch.randn(2, n_clips, 2, 4, generator=generator)
    labels = torch.arange(n_clips) % 3
    audio[..., :3] += audio_signal * torch.eye(3)[labels][:, None]
    return Examples(audio, video, labels)


def batch(n_clips: int) -> Batch:
    data = examples(n_clips)
    return Batch(data.audio, data.video, data.labels)


def small(variant: type[FusionNetwork], **given: str) -> FusionNetwork:
    torch.manual_seed(0)
    return build(variant, SHAPE, resolve(variant.hyperparameters, SMALL | given))


def history(variant: type[FusionNetwork], given: Mapping[str, str]) -> list[Epoch]:
    known = {name: value for name, value in given.items() if name in hyperparameters(variant)}
    recipe = resolve(RECIPE, {"epochs": "2", "batch_size": "8", "learning_rate": "0.01", **known})
    return list(fit_stages(small(variant), examples(), examples(), recipe, 0))


@pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])
def test_every_variant_trains_with_what_it_can_use(variant: type[FusionNetwork]) -> None:
    usable = [name for name in ON if name in hyperparameters(variant)]
    assert set(ON) - set(usable) == set(variant.cannot_use)
    off = history(variant, {})
    for given in ({name: ON[name]} for name in usable):
        found = history(variant, given)
        assert all(math.isfinite(epoch.train_loss + epoch.val_loss) for epoch in found)
        assert [epoch.val_loss for epoch in found] != [epoch.val_loss for epoch in off], given
        assert (found[0].train_accuracy is None) == ("mixup" in given)


def test_what_is_off_leaves_a_batch_as_it_is() -> None:
    given = batch(6)
    augmentation = Augmentation.of(resolve(RECIPE, {}), 3)
    torch.manual_seed(5)
    assert augmentation.apply(given) is given
    assert augmentation.smoothed(given.targets) is given.targets
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_mixup_takes_one_weight_and_one_partner_for_sound_picture_and_target() -> None:
    n_clips = 400
    clips = torch.arange(n_clips, dtype=torch.float32)[:, None, None]
    labels = torch.arange(n_clips) % 3
    torch.manual_seed(0)
    found = mixed(Batch(torch.cat([clips, clips**2], 2), 2 * clips.expand(-1, 3, -1), labels), 0.4, 3)
    torch.testing.assert_close(found.video, 2 * found.audio[..., :1].expand(-1, 3, -1))
    torch.testing.assert_close(found.targets.sum(1), torch.ones(n_clips))
    # Of w i + (1 - w) j and w i^2 + (1 - w) j^2 comes, with i known, first j and then w.
    mean, square, own = found.audio[:, 0, 0].double(), found.audio[:, 0, 1].double(), clips[:, 0, 0].double()
    moved = (mean - own).abs() > 1e-3
    partner = ((square - mean * own) / (mean - own))[moved]
    torch.testing.assert_close(partner, partner.round(), rtol=0, atol=0.5)
    weight = ((mean[moved] - partner) / (own[moved] - partner)).float()
    expected = weight[:, None] * torch.eye(3)[labels[moved]]
    expected += (1 - weight)[:, None] * torch.eye(3)[partner.round().long() % 3]
    assert (expected - found.targets[moved]).abs().median() < 1e-3
    assert float(weight.var()) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.2)  # of Beta(a, a), whose mean is 1/2


def test_the_weakest_mixup_leaves_clips_as_they_are_or_takes_others() -> None:
    torch.manual_seed(0)
    found = mixed(batch(2000), 5e-324, 3)
    between = (found.targets > 1e-3) & (found.targets < 1 - 1e-3)
    # Beta(0.01, 0.01) is between 0.001 and 0.999 with probability 0.067; partners of one class do not show it.
    assert float(between.any(1).float().mean()) == pytest.approx(0.067 * 2 / 3, abs=0.02)
    assert bool(found.audio.isfinite().all())


def test_modality_dropout_takes_one_modality_and_never_both() -> None:
    torch.manual_seed(0)
    ones = torch.ones(4000, 2, 3)
    ones[:, 1] = torch.nan
    found = without_a_modality(Batch(ones, ones.clone(), torch.zeros(4000, dtype=torch.long)), 0.3)
    no_audio, no_video = (features[:, 0].abs().sum(1) == 0 for features in (found.audio, found.video))
    assert not bool((no_audio & no_video).any())
    for lost in (no_audio, no_video):
        assert float(lost.float().mean()) == pytest.approx(0.15, abs=5 * (0.15 * 0.85 / 4000) ** 0.5)
    assert bool(found.audio[:, 1].isnan().all())  # padding stays padding
    assert bool((found.audio[~no_audio, 0] == 1).all())


def test_label_smoothing_is_that_of_torch() -> None:
    scores, labels = torch.randn(7, 3), torch.arange(7) % 3
    expected = nn.functional.cross_entropy(scores, labels, label_smoothing=0.2)
    shares = Augmentation(3, label_smoothing=0.2).smoothed(labels)
    torch.testing.assert_close(nn.functional.cross_entropy(scores, shares), expected)


def test_with_label_smoothing_losses_are_still_those_of_the_true_classes() -> None:
    data, network = examples(), small(variants()["baseline"], dropout="0")
    network.train()
    expected = nn.functional.cross_entropy(network(data.audio, data.video), data.labels)
    recipe = resolve(RECIPE, {"epochs": "1", "batch_size": "64", "label_smoothing": "0.5"})
    (epoch,) = fit(Stage("", network), data, data, recipe, 0)
    assert epoch.train_loss == pytest.approx(expected.item(), rel=1e-5)
    assert epoch.train_accuracy is not None


def test_cosine_takes_the_learning_rate_along_half_a_wave() -> None:
    given = {"epochs": "8", "patience": "8", "scheduler": "cosine", "learning_rate": "0.01"}
    epochs = fit(Stage("", small(variants()["early"])), examples(), examples(), resolve(RECIPE, given), 0)
    expected = [0.01 * (1 + math.cos(math.pi * n / 8)) / 2 for n in range(8)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


class Plain(nn.Module):
    """A Linear per modality, added."""

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.video, self.shared = nn.Linear(4, 3), nn.Linear(4, 3), nn.Parameter(torch.ones(3))

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        scores: Tensor = self.shared * (self.audio(audio.mean(1)) + self.video(video.mean(1)))
        return scores


def knowing(sound: float, picture: float) -> Plain:
    """A network whose modalities know the class of `examples` by so much."""
    network = Plain()
    with torch.no_grad():
        for branch, strength in ((network.audio, sound), (network.video, picture)):
            branch.weight.copy_(strength * torch.eye(3, 4))
            branch.bias.zero_()
    return network


def test_the_factors_are_those_of_the_paper() -> None:
    data, network = batch(24), knowing(2.0, 0.1)
    silent = torch.zeros_like(data.audio)
    true = torch.arange(24), data.targets
    sound = network(data.audio, silent).softmax(1)[true].sum()
    picture = network(silent, data.video).softmax(1)[true].sum()
    ratio = float(sound / picture)
    assert ratio > 1.5
    assert Balance(network, 0.4).factors(data) == {"audio": pytest.approx(1 - math.tanh(0.4 * ratio)), "video": 1.0}


def largest_steps(balance: str, steps: int) -> dict[str, float]:
    """By part of a network whose sound is ahead how far its weights went in so many steps of Adam."""
    network, data = knowing(2.0, 0.1), examples()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    given = {"epochs": str(steps), "patience": "99", "batch_size": "64", "weight_decay": "0", "balance": balance}
    list(fit(Stage("", network), data, data, resolve(RECIPE, given), 0))
    changes = {name: float((value - before[name]).abs().max()) for name, value in network.named_parameters()}
    return {
        part: max(c for name, c in changes.items() if name.startswith(part)) for part in ("audio", "video", "shared")
    }


def test_adam_does_not_cancel_what_balance_damps() -> None:
    """Adam's first step is the learning rate whatever the size of a gradient: only a damped step is smaller."""
    factor = Balance(knowing(2.0, 0.1), 0.4).factors(batch(24))["audio"]
    assert 0.05 < factor < 0.8
    once = largest_steps("0.4", 1)
    assert once == pytest.approx({"audio": 1e-4 * factor, "video": 1e-4, "shared": 1e-4}, rel=0.01)
    usual, often = largest_steps("0", 20), largest_steps("0.4", 20)
    assert often["audio"] < 0.8 * usual["audio"]
    assert often["video"] == pytest.approx(usual["video"], rel=0.05)


def test_after_a_damped_step_the_learning_rate_is_as_before() -> None:
    network, data = knowing(2.0, 0.1), batch(24)
    balance = Balance(network, 0.4)
    adam = torch.optim.Adam(balance.groups(), lr=0.1)
    nn.functional.cross_entropy(network(data.audio, data.video), data.targets).backward()  # type: ignore[no-untyped-call]
    clean = [parameter.grad.clone() for parameter in network.video.parameters() if parameter.grad is not None]
    with balance.damped(adam, data):
        assert [group["lr"] < 0.1 for group in adam.param_groups] == [True, False, False]
    assert [group["lr"] for group in adam.param_groups] == [0.1] * 3
    assert all(
        torch.equal(a, b.grad) for a, b in zip(clean, network.video.parameters(), strict=True) if b.grad is not None
    )
    assert network.training


def test_what_nobody_can_use_is_refused_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    known = variants()
    message = r"params: balance cannot be used by early \(its modalities meet in its first layer\); leave it out"
    with pytest.raises(UserError, match=f"^{message}$"):
        resolve_params([known["early"]], {"balance": "0.3"})
    audio_only, late = resolve_params([known["audio_only"], known["late"]], {"modality_dropout": "0.2"})
    assert "modality_dropout" not in audio_only and late["modality_dropout"] == 0.2
    (line,) = caplog.messages
    assert line == (
        "params: modality_dropout cannot be used by audio_only (it listens to one modality alone); "
        "they train without it"
    )
    with pytest.raises(UserError, match="unknown hyperparameter 'mixop'"):
        resolve_params([known["early"]], {"mixop": "0.3"})
