"""Training L3-Net on the AVC task, from unlabelled clips.

`pair_source` prepares what the network sees and hears, `learning` trains it and survives a kill.
Nothing here needs labels.
"""
