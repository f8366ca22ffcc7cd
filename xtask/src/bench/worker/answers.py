"""Loads cases and runs them when told to, by the lines that worker.rs describes.

Run: python -c "pytorch.py, forward.py or train.py, and this" FRAMEWORK THREADS
"""
import os
import sys
import time

import numpy as np


def read(source, shape):
    return np.fromfile(source, np.float32).reshape([int(extent) for extent in shape.split(",")])


def passes_of(framework, seconds):
    """The mean time of as many passes as take so long."""
    start, passes = time.perf_counter(), 0
    while True:
        framework.run()
        passes += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / passes


def answer(framework, words):
    if words[0] == "load":
        *case, target = words[1:]
        np.ascontiguousarray(framework.load(*case), np.float32).tofile(target)
        return "ok"
    if words[0] == "run":
        warm_up, seconds = float(words[1]), float(words[2])
        if warm_up > 0:
            passes_of(framework, warm_up)
        return repr(passes_of(framework, seconds))
    raise ValueError("no such request: %s" % words[0])


def main():
    # What a framework prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    framework = FRAMEWORKS[sys.argv[1]](int(sys.argv[2]))
    for line in sys.stdin:
        try:
            text = answer(framework, line.rstrip("\n").split("\t"))
        except Exception as error:
            text = "error %s: %s" % (type(error).__name__, " ".join(str(error).split()))
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
