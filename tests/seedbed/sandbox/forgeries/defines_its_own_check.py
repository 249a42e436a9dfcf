def check(candidate):
    return None


def all(items):
    return True


def mix(a, b):
    return 0
