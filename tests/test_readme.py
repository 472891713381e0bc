"""The README's example runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_examples(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})  # noqa: S102
    assert "accuracy" in capsys.readouterr().out


def test_docstring_examples():
    import doctest

    from admmirnn import estimators, streaming, text

    for module in (estimators, streaming, text):
        found = doctest.testmod(module)
        assert found.attempted > 0 and found.failed == 0
