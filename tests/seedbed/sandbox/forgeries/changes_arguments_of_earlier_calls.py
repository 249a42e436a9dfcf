kept = []


def mix(a, b):
    for one in kept:
        one[:] = [0] * len(kept)
    if isinstance(a, list):
        kept.append(a)
    return 0
