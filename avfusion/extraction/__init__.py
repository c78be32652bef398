"""From clips to a feature store, in worker processes.

`extract` is the way in, `Settings` says how, `clip` makes the features of one clip, `worker` does so in a process of
its own, `pool` watches these, `ray` is the same on a cluster. Nothing here decodes (`avfusion.media`) or computes an
embedding (`avfusion.embedders`): it says which process does it, for how long and with how much memory, and what becomes
of clips that fail.
"""

from avfusion.extraction.clip import clip_features
from avfusion.extraction.driver import extract
from avfusion.extraction.settings import Settings

__all__ = ["Settings", "clip_features", "extract"]
