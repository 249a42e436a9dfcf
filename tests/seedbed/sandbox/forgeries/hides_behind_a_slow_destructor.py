class Slow:
    def __del__(self):
        while True:
            pass


def mix(a, b):
    return Slow() and 0
