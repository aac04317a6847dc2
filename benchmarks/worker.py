"""The process of one contender: it keeps what is measured in memory and answers requests over its pipes.

A request is a pickled method name with its argument, an answer a pickled (succeeded, value). Between requests the
process waits on its pipe, so that contenders that are not at work use no processor.
"""

import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kernels import Case
    from .train import Problem


class Server:
    def __init__(self, name: str, threads: int) -> None:
        from .peers import open_peer

        self.peer = open_peer(name, threads)
        self.call: Callable[[], Any] = lambda: None

    def load(self, task: "Case | Problem") -> Any:
        result, self.call = task.start(self.peer)
        return result

    def run(self, calls: int) -> tuple[float, float]:
        """Seconds on the clock, and of processors, for a number of calls."""
        call = self.call
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(calls):
            call()
        wall = time.perf_counter() - start
        return wall, time.process_time() - cpu


def attempt(action: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
    """The harness names an error in the report and goes on without this contender."""
    try:
        return True, action(*arguments)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def main(name: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def send(answer: tuple[bool, Any]) -> None:
        pickle.dump(answer, answers, protocol=5)
        answers.flush()

    if hasattr(os, "sched_setaffinity"):  # before any library counts the processors
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    opened, server = attempt(Server, name, threads)
    send((opened, None if opened else server))
    while opened:
        try:
            method, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        send(attempt(getattr(server, method), argument))


def train_file(name: str, threads: int, path: str, epochs: int) -> None:
    """A whole process: reads a problem from a file, trains for some epochs, prints the mean loss of the last one."""
    from .peers import open_peer

    training_peer = open_peer(name, threads)
    with open(path, "rb") as file:
        problem: Problem = pickle.load(file)
    training = training_peer.training(problem)
    for epoch in range(epochs):
        losses = training.epoch(training.prepare(problem.shuffled(epoch)))
    print(float(losses.mean()))
