"""Where a job's time went, in one line at its end."""

import time


class Laps:
    """Named stretches of time, one after the other."""

    def __init__(self) -> None:
        self._laps: list[tuple[str, float]] = []
        self._begun = time.perf_counter()

    def end(self, name: str) -> None:
        """What was done since the last `end` (or the start) was `name`."""
        now = time.perf_counter()
        self._laps.append((name, now - self._begun))
        self._begun = now

    def line(self) -> str:
        """`time     extraction 31 s, training 12 s; 43 s in all`."""
        stretches = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self._laps)
        return f"time     {stretches}; {sum(seconds for _, seconds in self._laps):.0f} s in all"
