"""The fuzzer of files, bench/fuzz.py: some of what it does, of every kind of file."""

import pytest

pytest.importorskip("safetensors")
from bench import fuzz

FILES = pytest.mark.parametrize("kind", ["models", "checkpoints"])
KINDS = pytest.mark.parametrize("kind", fuzz.SUBJECTS)


@FILES
def test_a_few_hundred_mutants(kind, tmp_path):
    subject, path = fuzz.SUBJECTS[kind](tmp_path), tmp_path / "mutant"
    outcomes = set()
    for i in range(20 * len(fuzz.MUTATIONS)):
        which, _, data, sealed = fuzz.mutant(subject.files, 1, i)
        path.write_bytes(data)
        outcomes.add(subject.judge(path, which, sealed))
    assert outcomes == {"refused", "equal", "another"}


@pytest.mark.slow
@KINDS
def test_the_fuzzer(kind, capsys):
    assert fuzz.fuzz(kind, 600, seed=2)
    assert "failures: 0" in capsys.readouterr().out


@pytest.mark.slow
@FILES
def test_the_fuzzer_stops_if_nothing_can_be_judged(kind, tmp_path, monkeypatch):
    found = []
    monkeypatch.setenv("ADMMIRNN_BACKEND", "none such")
    with pytest.raises(RuntimeError, match="no case has been judged"):
        fuzz._watch(tmp_path, kind, 0, 0, 3, found.append)
    assert not found


@pytest.mark.elman
def test_a_few_dozen_fits(tmp_path):
    subject = fuzz.SUBJECTS["api"](tmp_path)
    assert {subject.case(3, i)[1]() for i in range(60)} == {"refused", "fitted"}
