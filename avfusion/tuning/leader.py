"""Who finishes a study that several processes work on: one of them leads, the others only lend their workers.

The leader trains the best configuration again and logs what was found. Its mark and its signs of life are kept with the
study, so that every machine sees them.
"""

import time
from typing import Any

from optuna import Study

from avfusion.system.presence import gone, on_this_host, own_mark

LEADER = "leader"
BEAT = 5.0
"""Seconds between two signs of life of the leader."""


class Leadership:
    """This process's part in `study`: it leads if no other process does, or if the one that did is gone."""

    def __init__(self, study: Study) -> None:
        """Take the lead if it is free. If its leader on another host may be dead, wait 12.5 s for a sign of life."""
        self._study, self._mark = study, own_mark()
        self._beats, self._last = 0, time.monotonic()
        leader = study.user_attrs.get(LEADER)
        self._claimed = leader is None or self._has_left(leader)
        if self._claimed:
            study.set_user_attr(LEADER, {**self._mark, "beats": 0})

    @property
    def leads(self) -> bool:
        """Whether this process must finish the study."""
        return self._claimed and self._is_own(self._study.user_attrs.get(LEADER))

    def beat(self) -> None:
        """Give a sign of life if one is due."""
        if self._claimed and time.monotonic() - self._last >= BEAT and self.leads:
            self._beats, self._last = self._beats + 1, time.monotonic()
            self._study.set_user_attr(LEADER, {**self._mark, "beats": self._beats})

    def release(self) -> None:
        """Give the lead up, so that the next process can take it at once."""
        if self.leads:
            self._study.set_user_attr(LEADER, None)

    def _is_own(self, leader: dict[str, Any] | None) -> bool:
        return leader is not None and all(leader[key] == value for key, value in self._mark.items())

    def _has_left(self, leader: dict[str, Any]) -> bool:
        if self._is_own(leader):
            return True
        if on_this_host(leader):
            return gone(leader)
        deadline = time.monotonic() + 2.5 * BEAT
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if self._study.user_attrs.get(LEADER) != leader:
                return self._study.user_attrs.get(LEADER) is None
        return True
