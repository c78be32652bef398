"""Notes of runs: what a run is, in Markdown on its page, with links to the runs and pages that belong to it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.features import FeatureStore
from avfusion.system.markdown import markdown
from avfusion.tracking.lookup import FEATURES_MADE, KIND, PARENT
from avfusion.tracking.ui import run_page

NOTE = "mlflow.note.content"
MOST_LINKS = 40
"""To the runs below a run, of one kind."""

CHILDREN = {"seed": "Seeds", "fold": "Folds", "alpha": "Alphas", "trial": "Trials", "default": "Default settings"}
"""Kind of a run below another -> how a note calls several of them."""


def write_note(text: str, store: FeatureStore | None, see_also: Sequence[str] = ()) -> None:
    """`text` as the note of the active run, with links to the runs above and below it and to that which made `store`.

    Links follow the first paragraph: MLflow hides what comes later until it is asked for. `see_also` has the ids of
    runs beside it. To be called when the runs below it are there.
    """
    active = mlflow.active_run()
    assert active is not None, "a note is a run's"
    client = MlflowClient()
    run = client.get_run(active.info.run_id)
    beside = [f"See also: {link(client.get_run(run_id))}" for run_id in see_also]
    first, _, rest = text.partition("\n\n")
    links = [*_relatives(client, run), *beside, *(_makers(client, run, store) if store else ())]
    client.set_tag(run.info.run_id, NOTE, "\n\n".join(filter(None, [first, *links, rest])))


def note_page(job: str, artifact: str, used: Mapping[str, str | None], said: str = "") -> None:
    """Link the active run's page (an artifact of it) and the runs that it `used` with each other.

    `used` has the id of each variant's run by the variant's name; None for one that comes from a file. In their notes
    the page takes the place of an older one of the same `job`; its own has what is `said` of them.
    """
    active = mlflow.active_run()
    assert active is not None, "a page is a run's"
    client, own, mark = MlflowClient(), active.info, f"Used by the {job} "
    page = run_page(own.experiment_id, own.run_id, artifact)
    names = []
    for name, run_id in used.items():
        if run_id is None:
            names.append(markdown(name))
        else:
            run = client.get_run(run_id)
            names.append(link(run, name))
            kept = [part for part in run.data.tags.get(NOTE, "").split("\n\n") if not part.startswith(mark)]
            note = [*kept[:1], f"{mark}[{own.run_id[:8]}]({page})", *kept[1:]]
            client.set_tag(run_id, NOTE, "\n\n".join(filter(None, note)))
    note = [f"{', '.join(names)}: [{artifact}]({page})", said]
    client.set_tag(own.run_id, NOTE, "\n\n".join(filter(None, note)))


def link(run: Run, name: str | None = None) -> str:
    """The name of a run, leading to its page."""
    return f"[{markdown(name or run.info.run_name)}]({run_page(run.info.experiment_id, run.info.run_id)})"


def _relatives(client: MlflowClient, run: Run) -> Iterator[str]:
    if parent := run.data.tags.get(PARENT):
        yield f"Part of {link(client.get_run(parent))}"
    query = f"tags.`{PARENT}` = '{run.info.run_id}'"
    below = client.search_runs([run.info.experiment_id], query, order_by=["attributes.start_time"])
    for kind, runs in groupby(sorted(below, key=_kind), _kind):
        links = [link(child) for child in runs]
        more = f" and {len(links) - MOST_LINKS} more" if len(links) > MOST_LINKS else ""
        yield f"{CHILDREN.get(kind, kind)}: {', '.join(links[:MOST_LINKS])}{more}"


def _makers(client: MlflowClient, run: Run, store: FeatureStore) -> Iterator[str]:
    """The newest run of the same experiment that extracted `store`, whose note describes the clips."""
    query = f"tags.{FEATURES_MADE} = '{store.digest}'"
    for maker in client.search_runs([run.info.experiment_id], query, max_results=1):
        yield f"Features: {link(maker)}"


def _kind(run: Run) -> str:
    return str(run.data.tags.get(KIND, "runs"))
