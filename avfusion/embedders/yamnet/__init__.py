"""YAMNet: what a sound is, after 521 classes of AudioSet; 1024 values per 0.96 s.

Nothing here decodes files or resamples; README.md is the model card of the weights.
"""
