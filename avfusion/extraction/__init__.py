"""From clips to a feature store, in worker processes.

Nothing here decodes (`avfusion.media`) or computes an embedding (`avfusion.embedders`): it says who does it when,
for how long and with how much memory, and what becomes of clips that fail.
"""

from avfusion.extraction.clip import clip_features
from avfusion.extraction.driver import extract
from avfusion.extraction.settings import Settings

__all__ = ["Settings", "clip_features", "extract"]
