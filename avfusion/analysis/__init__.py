"""What the answers of several variants say together: intervals, paired differences, verdicts, conflict, robustness.

Clips of one location are cut from one recording, so locations, not clips, are what is independent. Shapes: N clips,
G locations, C classes, H strata, R replicates (sets of weights on the locations), S seeds. Nothing here is a page for
people: that is `avfusion.report`.
"""
