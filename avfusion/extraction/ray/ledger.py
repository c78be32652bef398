"""Which clips have ended their worker: an actor that remembers what every worker has begun.

Ray repeats the work of a worker that dies, for ever. A clip whose decoder crashes, or that needs more memory than
there is, would so end every worker in turn; whoever begins it asks here first.
"""

import ray


class Ledger:
    """Attempts by clip number; an actor, which lives as long as the extraction."""

    def __init__(self) -> None:
        self._begun: dict[int, list[str]] = {}

    def begin(self, index: int, node: str) -> int:
        """Notes that a worker on `node` begins a clip; returns how often it was begun before and not ended.

        Attempts on a node that is gone do not count: its end was not the clip's fault.
        """
        earlier = self._begun.setdefault(index, [])
        lost = 0
        if earlier:
            alive = {entry["NodeID"] for entry in ray.nodes() if entry["Alive"]}  # type: ignore[no-untyped-call]
            lost = sum(earlier_node in alive for earlier_node in earlier)
        earlier.append(node)
        return lost

    def end(self, index: int) -> None:
        """Notes that a clip was worked on without harm."""
        self._begun.pop(index, None)
