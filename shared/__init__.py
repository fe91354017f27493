"""What two or more services need, and nothing earlier: code of one service moves here when a second one needs it.

Nothing here imports a service. The layers, each importing only those below it: bus · strategies, venue, outside, db ·
runtime · observability · domain.
"""
