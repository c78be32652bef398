"""What the answers of several variants say together: where they come from, intervals, pairs, conflict, robustness.

`sources` finds variants with their answers (`variant_answers`) in MLflow runs and in prediction files. Clips of one
location are cut from one recording, so locations, not clips, are what is independent. Shapes: N clips, G locations, C
classes, H strata, R replicates (sets of weights on the locations), S seeds. Nothing here is a page for people: that is
`avfusion.report`.
"""
