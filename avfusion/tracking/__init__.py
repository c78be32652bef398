"""MLflow: with `avfusion.serving.model` the only place that imports it. Nothing here decides anything.

`session` connects, `runs` opens and closes runs, `variant_runs` and `records` say what a trained variant leaves behind,
`models` stores a classifier as an MLflow model, `views` and `ui` lead people to what they want to see.
"""
