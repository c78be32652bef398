"""Entry point `predict`."""

from entrypoints.command import BEGINS_ANEW, Job, command


def load() -> Job:
    """Say which scene clips show, with a model that was trained before."""
    from avfusion.jobs.predict import predict_job

    return predict_job


OWN = {
    "audio": ("none", "Sound file of a clip whose pictures are in another file (or that has none)."),
    "video": ("none", "Video file of a clip whose sound is in another file (or that has none)."),
    "embedder": ("none", "Name that the embedder of the model's features must have; `none` takes it as it is."),
}

OPTIONS = [
    "model",
    "clip",
    "audio",
    "video",
    "output",
    "timeline",
    "embedder",
    "weights",
    "device",
    "workers",
    "timeout",
]

cli = command("predict", OPTIONS, load, OWN, again=BEGINS_ANEW)

if __name__ == "__main__":
    cli()
