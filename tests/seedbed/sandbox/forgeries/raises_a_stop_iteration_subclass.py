class End(StopIteration):
    pass


def mix(a, b):
    raise End
