"""Tables of README and docs/ are those of the JSON files that measurements have left."""

import json

import pytest

from bench import readme, record

NAMES = sorted(
    name for page in readme.PAGES for _, name, _, _ in readme.TABLE.findall(page.read_text(encoding="utf-8"))
)


def test_every_table_stands_somewhere():
    assert {"cells", "instead", "scaling", "stability"} <= set(NAMES) <= set(readme.TABLES)


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.relative_to(readme.ROOT).as_posix())
def test_tables_are_those_of_the_files(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == text.count("<!-- end of table -->") == len(readme.TABLE.findall(text))
    assert readme.rewritten(text) == text, "python -m bench.readme writes them anew"


@pytest.mark.parametrize("path", sorted(record.RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_files_say_where_they_are_from(path):
    whole = json.loads(path.read_text())
    for part in whole["parts"] if "parts" in whole else [None]:  # which may have been measured one by one
        found = (whole if part is None else whole["made"][part])["machine"]
        assert found["summary"] and found["python"] and found["versions"]["admmirnn"] and found["commit"]


def test_another_figure_is_another_table(monkeypatch, tmp_path):
    text = "before\n<!-- table: race-waves -->\nold\n<!-- end of table -->\nafter\n"
    places = [
        {"contender": "admmirnn", "setting": "1 epoch", "seconds": 0.5, "seconds_of_seeds": [0.5]},
        {"contender": "Adam, GRU", "setting": "2 epochs", "seconds": 4.0, "seconds_of_seeds": [4.0]},
        {"contender": "SGD", "setting": "3 epochs", "seconds": None, "seconds_of_seeds": [None]},
    ]
    result = {
        "metric": {"name": "test accuracy"}, "clock": "processor", "options": {"seeds": 1, "cheap": False},
        "contenders": {"admmirnn": "ours", "Adam, GRU": "peer", "SGD": "peer"}, "machine": record.machine(),
        "standings": [{"value": 0.95, "places": places}, {"value": 0.99, "places": places[2:] + [
            {"contender": "admmirnn", "setting": "1 epoch", "seconds": None, "seconds_of_seeds": [None]}
        ]}],
    }  # fmt: skip
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setitem(readme.TABLES, "race-waves", lambda: readme.race("waves"))
    record.write_json(tmp_path / "race-waves.json", result)
    found = readme.rewritten(text)
    assert "| 95 % (1 epoch) | 0.5 s | 4 s | Adam, GRU (2 epochs) | 8.0 |  |" in found
    assert "| 99 % (1 epoch) | never | never | nobody |  |  |" in found
    assert found.startswith("before\n<!-- table: race-waves -->\n|") and found.endswith(
        "\n<!-- end of table -->\nafter\n"
    )
    assert readme.rewritten(found) == found
    places[1]["seconds"] = 5.0
    record.write_json(tmp_path / "race-waves.json", result)
    assert "| 5 s |" in readme.rewritten(found)
