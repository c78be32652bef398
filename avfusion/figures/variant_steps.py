"""The boxes of a variant's diagram: steps of its computation, and how steps in a row become one box."""

from dataclasses import dataclass, field

JOINED = "concatenated"


@dataclass(eq=False)
class Step:
    """A box: what is computed there, line by line, and of what."""

    zone: str
    """`audio` or `video` if it hears that modality alone, else `both`."""
    texts: list[str]
    size: tuple[int, ...]
    """Of what it gives for one clip."""
    sources: list["Step"] = field(default_factory=list)
    kind: str = "function"
    """`input`, `layer`, `function`, or `weights`: learned numbers that are no layer's."""
    group: int = 0
    """The `Sequential` that a layer belongs to; 0 for none."""


def needed(last: Step) -> list[Step]:
    """`last` and all that it is made of, each after its sources."""
    found: dict[Step, None] = {}

    def visit(step: Step) -> None:
        if step not in found:
            for source in step.sources:
                visit(source)
            found[step] = None

    visit(last)
    return list(found)


def _heirs(steps: list[Step]) -> dict[Step, list[Step]]:
    """Each step, and those that take what it gives."""
    heirs: dict[Step, list[Step]] = {step: [] for step in steps}
    for step in steps:
        for source in step.sources:
            heirs[source].append(step)
    return heirs


def join_concatenated(last: Step) -> None:
    """What is concatenated for one step alone is concatenated there."""
    steps = needed(last)
    heirs = _heirs(steps)
    for step in steps:
        sources: list[Step] = []
        for source in step.sources:
            if source.texts == [JOINED] and heirs[source] == [step]:
                sources += source.sources
                if step.texts != [JOINED]:
                    step.texts.insert(0, f"{JOINED}: {in_words(source.size)}")
            else:
                sources.append(source)
        step.sources = list(dict.fromkeys(sources))


def join_rows(last: Step) -> None:
    """Steps that take what the one before gives, and nobody else does, become one box with it."""
    steps = needed(last)
    heirs = _heirs(steps)
    box: dict[Step, Step] = {}
    end: dict[Step, Step] = {}
    for step in steps:
        step.sources = [box.get(source, source) for source in step.sources]
        values = [source for source in step.sources if source.kind != "weights"]
        before = values[0] if len(values) == 1 and step is not last else None
        if before is None or heirs[end.get(before, before)] != [step] or not _in_a_row(before, step):
            continue
        before.texts += step.texts
        before.size, before.group = step.size, step.group
        before.sources += [source for source in step.sources if source.kind == "weights"]
        box[step], end[before] = before, step


def _in_a_row(before: Step, step: Step) -> bool:
    if before.zone != step.zone or step.texts == [JOINED]:
        return False
    return step.kind == "function" or (step.kind == before.kind == "layer" and step.group == before.group != 0)


def in_words(size: tuple[int, ...]) -> str:
    """`96 × 512`."""
    return " × ".join(f"{n:,}" for n in size)
