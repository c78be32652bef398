"""Is one variant really better than another? Scores with intervals, paired differences, verdicts.

Clips of one location are cut from one recording, so locations, not clips, are what is independent. Shapes: N clips,
G locations, C classes, R replicates (sets of weights on the locations).
"""
