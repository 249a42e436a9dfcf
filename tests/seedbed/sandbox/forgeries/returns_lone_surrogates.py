def mix(a, b):
    return "\ud800" * 3
