import threading


def spin():
    while True:
        pass


for _ in range(8):
    threading.Thread(target=spin).start()


def mix(a, b):
    return 0
