"""`make demo`: the whole line on real code, one program after the other, then expected against
obtained.
"""
