"""The Look-Listen-Learn network (L3-Net) in PyTorch; `avfusion.l3.api` is the way in.

Nothing here knows a data set, a feature store or a fusion.
"""
