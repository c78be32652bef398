"""What every program needs that has nothing to do with scenes: files, processes, limits, devices, seeds, text.

    files, work_folder                    written whole or not at all; temporary folders that leave nothing behind
    processes, presence, interruption     worker processes; who is still at work; Ctrl-C and its like
    memory, device                        how much a process may take; where tensors are computed
    names, secrets, hdf5_checks           what comes from others: names, addresses with passwords, HDF5 files
    seeds                                 random numbers that follow from names

Nothing here knows a clip, a network or a run; nothing here imports another room.
"""
