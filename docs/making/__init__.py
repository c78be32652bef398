"""What makes the docs: the site's pages (`make docs`), and the gallery's pictures (`make gallery`).

Nothing here is part of the program.
"""
