"""The job `pretrain`: L3-Net learns the AVC task from unlabelled clips."""

import json
import time
from dataclasses import asdict
from pathlib import Path

from avfusion import __version__
from avfusion.datasets import Dataset, read_dataset
from avfusion.datasets.scenes import render_scenes
from avfusion.figures import l3_net
from avfusion.jobs import RUNS
from avfusion.l3.presets import preset_config
from avfusion.l3.weights import save_weights, weights_digest
from avfusion.pretraining.learning import Learner, Progress, Schedule
from avfusion.pretraining.pair_source import prepare
from avfusion.system.device import choose_device
from avfusion.system.files import write_atomically
from avfusion.system.progress import show_progress
from avfusion.tracking.artifacts import log_figure
from avfusion.tracking.runs import commit, job_run, log_batch, log_file
from avfusion.tracking.session import connect
from avfusion.tracking.starting import next_line
from avfusion.tracking.ui import run_page, ui_lines

SCENES = {"seed": 1001, "locations": 96, "test_locations": 4, "segments": 3}
"""The synthetic scenes of `data=none`: another seed, and so other locations, than the demo's."""

MEASURING_ROUNDS = 8


def pretrain_job(
    *, data: Path | None, output: Path | None, preset: str, steps: int, seed: int, device: str
) -> list[str]:
    """Train L3-Net, sound and picture half together, to tell whether a sound and a picture belong together.

    Args:
        data: TAU folder or CSV list of clips; None renders synthetic scenes that the demo does not use.
        output: folder for the weights and their card; None is one under runs/, named after data, preset and seed.
            Where a run was stopped there, it goes on.
        preset: which L3-Net, `demo` or `openl3`.
        steps: training steps of 64 clips each, at least 1.
        seed: of the weights, the pairs and the locations that are held out.
        device: `auto`, `cpu` or `cuda`.

    Returns the lines to show. Raises `UserError` for input that cannot be used.
    """
    config, target = preset_config(preset), choose_device(device)
    dataset = read_dataset(data or render_scenes(RUNS / "pretrain-scenes", **SCENES))
    folder = (output or RUNS / "pretrain" / f"{dataset.name}-{preset}-{seed}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    connect()
    with job_run("pretrain") as job:
        log_figure(l3_net(config), "l3_net")
        schedule = Schedule(preset, steps, seed, dataset.digest)
        learner = Learner(prepare(dataset, config, folder / "pairs"), config, schedule, folder, target)
        log_batch({**{f"pretrain/{k}": v for k, v in asdict(schedule).items()}, "device_used": target.type}, {})
        started, resumed_at = time.perf_counter(), learner.step
        _learn(learner)
        learner.network.half().float()  # the numbers that the file will hold
        accuracy = learner.held_out_accuracy(MEASURING_ROUNDS)
        card = _card(learner, dataset, accuracy, time.perf_counter() - started, resumed_at)
        weights = folder / "weights.safetensors"
        halves = {branch: network.half() for branch, network in learner.network.subnetworks.items()}
        save_weights(weights, halves, {"card": json.dumps(card)})
        write_atomically(folder / "weights.json", (json.dumps(card, indent=2) + "\n").encode())
        log_batch({}, {"held_out_avc_accuracy": accuracy})
        log_file(weights)
        log_file(folder / "weights.json")
        return [
            "",
            f"AVC accuracy on held-out locations: {accuracy:.3f} (chance 0.5); {schedule.steps} steps, "
            f"{len(learner.train_clips)} clips to learn from, {len(learner.held_out_clips)} held out",
            f"weights  {weights}",
            next_line("extract", embedder=preset, weights=weights),
            *ui_lines(run_page(job.info.experiment_id, job.info.run_id)),
        ]


def _learn(learner: Learner) -> None:
    """All steps, on a progress bar, their curves into MLflow at the end and at every measurement."""
    pending: list[Progress] = []
    with show_progress("AVC", learner.schedule.steps, "step", done=learner.step) as bar:

        def hear(step: Progress) -> None:
            pending.append(step)
            if step.held_out_accuracy is None:
                bar.update()
            else:
                bar.update(loss=f"{step.loss:.3f}", held_out=f"{step.held_out_accuracy:.3f}")
                first = pending[0].step
                log_batch(
                    {},
                    {"avc_held_out_accuracy": step.held_out_accuracy},
                    {
                        "avc_loss": [entry.loss for entry in pending],
                        "avc_accuracy": [entry.accuracy for entry in pending],
                    },
                    first_step=first,
                )
                pending.clear()

        learner.run(hear)


def _card(learner: Learner, dataset: Dataset, accuracy: float, seconds: float, resumed_at: int) -> dict[str, object]:
    """What someone who uses the weights should know of them."""
    return {
        "preset": learner.schedule.preset,
        "task": "audio-visual correspondence (Arandjelovic & Zisserman 2017)",
        "data": dataset.name + (" (synthetic scenes, rendered by rule)" if dataset.synthetic else ""),
        "synthetic": dataset.synthetic,
        "clips": len(learner.train_clips),
        "held_out_clips": len(learner.held_out_clips),
        "clip_list_digest": dataset.digest,
        "steps": learner.schedule.steps,
        "seed": learner.schedule.seed,
        "seconds": round(seconds, 1),
        "resumed_at_step": resumed_at,
        "held_out_avc_accuracy": round(accuracy, 4),
        "weights_digest": weights_digest(learner.network.subnetworks),
        "avfusion": __version__,
        "commit": commit(),
    }
