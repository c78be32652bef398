"""How sure a mean over clips is, when only locations are independent, and when seeds differ.

Shapes: N clips, G locations, C classes, H strata, R replicates (sets of weights on the locations), S seeds.
"""
