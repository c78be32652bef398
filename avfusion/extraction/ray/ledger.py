"""An actor that counts how often each clip was begun, to find the clips that end their worker.

Ray repeats the work of a worker that dies, for ever. A clip whose decoder crashes, or that needs more memory than
there is, would end one worker after the other. So every worker asks here before it begins a clip, and gives up one that
was begun too often.
"""

import ray


class Ledger:
    """The nodes on which each clip was begun, by its number; lives as long as the extraction."""

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
        """Notes that a worker came to the end of a clip: its attempts are forgotten."""
        self._begun.pop(index, None)
