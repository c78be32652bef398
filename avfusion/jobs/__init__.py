"""What the entry points do, one file each: a public function `<entry point>_job` that returns lines to show.

Nothing here is needed by another room.
"""
