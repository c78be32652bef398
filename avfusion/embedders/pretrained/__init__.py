"""What the networks that come with the package share: their layers, their weight files, and how those were made.

Nothing here is an embedder, and nothing but `rebuild_weights` reaches for the network.
"""
