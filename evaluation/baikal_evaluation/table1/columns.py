"""The work behind Table 1: learning and denoising in processes of one thread each, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.evaluation import Candidate, candidates
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.methods.base import Training, TrainingImages
from baikal_evaluation.store import Store
from baikal_evaluation.table1.datasets import DataSet
from baikal_evaluation.table1.prior import learn_prior

ROWS = {
    "Noise": "noisy",
    "Gaussian, best sigma": "gaussian",
    "BM3D": "bm3d",
    "N2V": "{n2v}",
    "SSID": "ssid",
    "Forward Backward - Noise": "forward-backward,preset=paper",
    "Forward Backward - N2V": "forward-backward@{n2v},preset=paper",
    "Mixing - Noise": "mixing,preset=paper",
    "Mixing - N2V": "mixing@{n2v},preset=paper",
    "Repaint - Noise": "repaint,preset=paper",
    "Repaint - N2V": "repaint@{n2v},preset=paper",
    "Repaint, 30 evaluations": "repaint",
    "Matched": "matched",
    "Matched, 8 symmetries": "matched,symmetries=8",
    "Posterior, mean of 16": "posterior,runs=16",
    "CARE": "care",
}
"""Method of each row. The paper's are those with its published settings; the others are for comparison."""
N2V = {"tribolium": "structn2v"}
"""Methods that "N2V" stands for where it is not n2v: the authors took structN2V for correlated noise."""


@dataclass(frozen=True)
class Column:
    """A data set, and how everything learns from it.

    Attributes:
        data: the images.
        folder: keeps what is learnt and denoised.
        minutes: CPU time that every method may learn for.
        engine: see ``Denoiser.load``.
        seed: of everything random.
    """

    data: DataSet
    folder: Path
    minutes: float
    engine: str
    seed: int

    def training(self) -> Training:
        """Images that everything learns from, read.

        Raises:
            BaikalError: they cannot be read.
        """
        read = [pair.read() for pair in self.data.training]
        clean = tuple(side for _, side in read if side is not None)
        images = TrainingImages(tuple(noisy for noisy, _ in read), clean)
        return Training(images, self.minutes, self.seed, self.folder / "learnt")

    def specs(self) -> dict[str, Spec]:
        """Method of every row, by row."""
        n2v = N2V.get(self.data.name, "n2v")
        return {row: Spec.parse(text.format(n2v=n2v)) for row, text in ROWS.items()}

    def candidates(self) -> list[Candidate]:
        """Methods of all rows, in their order; what is not learnt yet is learnt now.

        Raises:
            BaikalError: something cannot be learnt.
        """
        training = self.training()
        model = Model(str(learn_prior(training)), self.engine, 1, self.seed)
        return candidates(list(self.specs().values()), model, lambda: training)

    @property
    def store(self) -> Store:
        """Store of the predictions."""
        return Store(self.folder / "predictions")


def learners(column: Column) -> list[str]:
    """Names of what has to learn: the prior, and the methods that need it."""
    return ["prior", N2V.get(column.data.name, "n2v"), "ssid", "care"]


def learn(column: Column, what: str) -> None:
    """Let one of ``learners`` learn, but for what is kept already.

    Args:
        column: the data set.
        what: one of ``learners``.

    Raises:
        BaikalError: it cannot.
    """
    training = column.training()
    if what == "prior":
        learn_prior(training)
    else:
        Spec.parse(what).make(Model()).fit(training)


def denoise(column: Column, image: int) -> None:
    """Denoise one test image by every method; the store keeps what succeeds.

    A method that fails here fails again when the table is made, and is told there.

    Args:
        column: the data set.
        image: its number among the test images.
    """
    for candidate in column.candidates():
        with suppress(Exception):
            candidate.denoise(column.data.test[image], column.store)


def fill(columns: Sequence[Column], jobs: int, progress: Callable[[str, int, int], None]) -> None:
    """Learn and denoise everything that is not in the folders yet.

    Args:
        columns: the data sets.
        jobs: processes.
        progress: (what is being done, how many are done, of how many).

    Raises:
        BaikalError: something cannot be learnt, or a process died. What was learnt and denoised before is
            kept.
    """
    with _pool(jobs) as pool:
        tasks = [pool.submit(learn, column, what) for column in columns for what in learners(column)]
        _wait("learning", tasks, progress)
        images = ((column, image) for column in columns for image in range(len(column.data.test)))
        tasks = [pool.submit(denoise, column, image) for column, image in images]
        _wait("denoising", tasks, progress)


def _wait(what: str, tasks: Sequence[Future[None]], progress: Callable[[str, int, int], None]) -> None:
    progress(what, 0, len(tasks))
    for done, task in enumerate(as_completed(tasks), 1):
        task.result()
        progress(what, done, len(tasks))


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each; those that are not needed any more after an error are not started."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries of the new processes count cores
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise EvaluationError(
            "a process was killed, by a lack of memory perhaps; the same command continues from what is "
            "done, with fewer --jobs if need be"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
