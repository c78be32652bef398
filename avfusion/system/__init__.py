"""What every program needs that has nothing to do with scenes: files, processes, limits, devices, seeds, text.

Nothing here knows a clip, a network or a run; nothing here imports another room.
"""
