"""What a model said about a set of clips, the files that hold it, and every number that one set of answers gives.

Nothing here compares models: that is `avfusion.analysis`.
"""
