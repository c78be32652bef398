"""From a clip to its scene, with a model that was trained before: for `predict`, and as the model that MLflow serves.

`queries` says which clips, `embedding` makes the embedder of a model again, `content` finds silence and blackness,
`extractor` turns clips into features, `answers` turns features into scenes, `timeline` does so second by second.
`model` is what MLflow keeps and serves, `upload` reads the clips of requests, and `gate` guards the server.
Nothing here trains or scores.
"""
