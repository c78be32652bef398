"""From a clip to its scene, with a model that was trained before.

`clips` says which clips, `embedding` makes the model's own embedder again, `extractor` turns clips into features,
`answers` turns features into scenes, `timeline` does so second by second. Knows nothing of MLflow.
"""
