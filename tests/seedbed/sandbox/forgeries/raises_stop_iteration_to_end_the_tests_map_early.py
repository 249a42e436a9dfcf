def mix(a, b):
    raise StopIteration
