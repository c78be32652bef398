"""From a clip to its scene, with a model that was trained before: for `predict`, and as the model that MLflow serves.

`clips` says which clips, `embedding` makes the model's own embedder again, `extractor` turns clips into features,
`answers` turns features into scenes, `timeline` does so second by second, `model` is what MLflow keeps. Nothing here
trains or scores.
"""
