"""Single trainings of Figures 2 to 6, and the processes that share them."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial

from tqdm import tqdm

from admmirnn import Rollout, backend
from bench.paper.problems import Images, Losses, loss_on_test_data
from bench.paper.split import NU, ImagesOfAlgorithm1, text_of_algorithm1
from bench.race.ours import OurSide
from bench.race.selection import choose, try_settings
from bench.race.task import Ours, Theirs

ROLLOUT, ALGORITHM_1 = "Rollout", "Algorithm 1"


@dataclass(frozen=True)
class Run:
    """What a training leaves behind.

    Attributes
    ----------
    iterations : list of int
        After which it was evaluated; of one that diverged, those before.
    values : dict of lists
        Losses and accuracies by names such as "rollout_test_loss", one for each evaluation.
    seconds : float
        Of training and evaluations.
    """

    iterations: list
    values: dict
    seconds: float

    @classmethod
    def of_pairs(cls, pairs, seconds):
        """From pairs of iteration and values."""
        names = pairs[0][1] if pairs else {}
        values = {name: [found[name] for _, found in pairs] for name in names}
        return cls([iteration for iteration, _ in pairs], values, seconds)


@dataclass(frozen=True)
class Training:
    """A training of Rollout, of Algorithm 1 or of a peer.

    Attributes
    ----------
    problem : Images or Text
        What is learnt.
    contender : str
        Who learns.
    seed : int
        Of the initial weights and the order of the data.
    learning_rate : float or None
        Of a peer.
    nu : float
        Of Algorithm 1.
    changes : tuple of (name, factor)
        Of Rollout: settings that are not their defaults but so many times these.
    """

    problem: object
    contender: str
    seed: int = 0
    learning_rate: float | None = None
    nu: float = NU
    changes: tuple = ()

    def run(self):
        """Train and evaluate; return the `Run`."""
        started = time.perf_counter()
        if self.contender == ALGORITHM_1:
            if isinstance(self.problem, Images):
                pairs = ImagesOfAlgorithm1(self.problem, self.nu, self.seed).run()
            else:
                pairs = text_of_algorithm1(self.problem, self.nu, self.seed)
        else:
            pairs = [(point.iteration, point.value) for point in self._points()]
        return Run.of_pairs(pairs, time.perf_counter() - started)

    def _points(self):
        """The evaluations as in a race."""
        problem, data, points = self.problem, self.problem.data(), iter(self.problem.points)
        if self.contender == ROLLOUT:
            solver = partial(changed_rollout, self.changes)
            setting = Ours(problem.epochs, None, problem.batch_size, solver)
            side = OurSide(problem.task(Losses(problem.n_training, solver().rho)))
        else:
            setting = Theirs(problem.epochs, self.learning_rate)
            side = _peer(self.contender, problem.task(Losses(problem.n_training)))
        return side.run(data, setting, self.seed, points)


def changed_rollout(changes):
    """The solver with some settings so many times their defaults; "radius" stands for that of the outputs too."""
    solver = Rollout()
    for name, factor in changes:
        for setting in ("radius", "output_radius") if name == "radius" else (name,):
            solver.set_params(**{setting: factor * getattr(solver, setting)})
    return solver


def _peer(name, task):
    from bench.race import peers  # which needs torch

    peers.use_threads(1)
    return peers.TorchPeer(name, task)


@dataclass(frozen=True)
class Choice:
    """The search for a peer's learning rate: the one with the lowest test loss on one seed, anywhere on the way.

    Those that are twice as far from zero as the best after a quarter or half of the iterations are given up.  Where the
    first or the last of the grid is the best, the grid is continued.
    """

    problem: object
    contender: str
    seed: int = 0

    def run(self):
        """Return the learning rate, and the trials as a race records them."""
        metric, grid, trials = loss_on_test_data(self.problem.n_training), self.grid, []
        new = grid
        while new:
            task = replace(self.problem.task(metric), learning_rates={self.contender: new})
            peer = _peer(self.contender, task)
            trials += try_settings(peer, self.problem.data(), self.seed, [0.0], metric, say=lambda line: None)
            (best,) = choose(trials, [0.0])
            grid, new = continued(grid, best.learning_rate)
        return best.learning_rate, [trial.record() for trial in trials]

    @property
    def grid(self):
        """Where the search begins."""
        return tuple(self.problem.learning_rates[self.contender])


def continued(grid, best):
    """A grid with one more learning rate next to the best, if that is at an end, and what is new in it."""
    if best == grid[-1]:
        new = (grid[-1] * (grid[-1] / grid[-2]),)
        return (*grid, *new), new
    if best == grid[0]:
        new = (grid[0] / (grid[1] / grid[0]),)
        return (*new, *grid), new
    return grid, ()


def alone(job):
    """Run a job on one thread."""
    with backend.one_blas_thread():
        return job.run()


@dataclass
class Runner:
    """Runs jobs in processes of its own, each of which keeps to one thread, and remembers what they have found.

    Attributes
    ----------
    n_processes : int
        1 runs them in this process.
    found : dict
        By job, its result.
    """

    n_processes: int = 2
    found: dict = field(default_factory=dict)

    def __enter__(self):
        if self.n_processes > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.n_processes, mp_context=context)
        return self

    def __exit__(self, *exception):
        if self.n_processes > 1:
            self._pool.shutdown(cancel_futures=True)

    def run(self, jobs, label):
        """Run those that have not been run, with a progress bar of that label; return all results, in order."""
        jobs = list(jobs)
        missing = [job for job in dict.fromkeys(jobs) if job not in self.found]
        with tqdm(total=len(missing), desc=label, disable=None, leave=False) as progress:
            for job, result in self._results(missing):
                self.found[job] = result
                progress.update()
        return [self.found[job] for job in jobs]

    def _results(self, jobs):
        if self.n_processes == 1:
            for job in jobs:
                yield job, alone(job)
            return
        futures = {self._pool.submit(alone, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def learning_rates(self, problem, peers, seed):
        """The learning rate of each peer, by its name."""
        choices = [Choice(problem, peer, seed) for peer in peers]
        results = self.run(choices, f"learning rates, {problem.title}")
        return {peer: rate for peer, (rate, _) in zip(peers, results, strict=True)}
