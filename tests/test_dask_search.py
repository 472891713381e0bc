"""Grid searches whose fits run on the workers of Dask, by joblib; skipped without dask.distributed."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("distributed", reason="dask.distributed is not there")

PROGRAM = """
import numpy as np
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info
from admmirnn import RNNClassifier


class Threads:
    '''Notes how many threads BLAS has within a fit.'''

    def on_epoch_end(self, state):
        state.record["threads"] = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        assert state.record["threads"] == 1


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8, 2))
    y = (X[:, :, 0].sum(axis=1) > 0).astype(int)
    model = RNNClassifier(max_epochs=2, random_state=0, n_threads=1, callbacks=[Threads()])
    search = GridSearchCV(model, {"hidden_size": [4, 6]}, cv=2, error_score="raise")
    alone = search.fit(X, y).cv_results_["mean_test_score"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        with parallel_config("dask"):
            found = search.fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, alone)
    print("the same scores")
"""


@pytest.mark.slow
def test_a_grid_search_on_dask_workers_finds_what_one_process_does(tmp_path):
    path = tmp_path / "search.py"
    path.write_text(PROGRAM)
    found = subprocess.run(
        [sys.executable, str(path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert found.returncode == 0, found.stderr
    assert "the same scores" in found.stdout
