"""PURE: what the venue's word proves of our orders, and what is left unexplained (D3, D19, D21).

Repairs come first: what an intent of ours explains is recorded through the Book's functions. What remains different
afterwards is a discrepancy; how long it may remain before trading stops depends on its kind.
"""
