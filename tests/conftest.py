"""One thread: tests are small, and several processes share the processor."""

import torch

torch.set_num_threads(1)
