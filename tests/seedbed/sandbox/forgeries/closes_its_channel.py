import os


def mix(a, b):
    os.closerange(0, 64)
    while True:
        pass
