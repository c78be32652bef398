"""Who finishes a study that several take part in: one process leads, the others lend their workers."""

import time
from typing import Any

from optuna import Study

from avfusion.system.presence import gone, on_this_host, own_mark

LEADER = "leader"
BEAT = 5.0
"""Seconds between two signs of life of the leader."""


class Leadership:
    """This process's part in `study`: it leads if nobody else does, or if who did is gone."""

    def __init__(self, study: Study) -> None:
        """Claim the lead; waits some seconds where a leader on another host may have died."""
        self._study, self._mark = study, own_mark()
        self._beats, self._last = 0, time.monotonic()
        leader = study.user_attrs.get(LEADER)
        self._claimed = leader is None or self._has_left(leader)
        if self._claimed:
            study.set_user_attr(LEADER, {**self._mark, "beats": 0})

    @property
    def leads(self) -> bool:
        """Whether it is on this process to finish the study."""
        return self._claimed and self._is_own(self._study.user_attrs.get(LEADER))

    def beat(self) -> None:
        """Give a sign of life if one is due."""
        if self._claimed and time.monotonic() - self._last >= BEAT and self.leads:
            self._beats, self._last = self._beats + 1, time.monotonic()
            self._study.set_user_attr(LEADER, {**self._mark, "beats": self._beats})

    def release(self) -> None:
        """Leave, so that whoever comes next leads at once."""
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
