"""The Look-Listen-Learn network in PyTorch; `avfusion.l3.api` is the way in."""
