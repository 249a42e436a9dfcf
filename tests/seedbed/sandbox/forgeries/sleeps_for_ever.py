import time


def mix(a, b):
    time.sleep(1e6)
