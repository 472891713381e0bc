"""Draws choosing.png, the flow chart of guide/choosing.md: ``python docs/draw_choosing.py``."""

from pathlib import Path

from matplotlib import pyplot

QUESTIONS = [
    ("Do the rows have an order?", "no", "gradient boosting"),
    ("Few, short, equally long series\nwith one label each?", "yes", "try MiniRocket first"),
    ("A target for each step?", "yes", "the defaults;\nreadout has no effect"),
    (
        "More than 100 steps,\none target per sequence?",
        "yes",
        'readout="max" or "mean",\nframe=(8, 4)',
    ),
    ("Something early is needed late?", "yes", 'cell="gru" or "lstm"'),
    ("Fewer than 500 sequences?", "yes", "40 to 100 epochs,\ncross-validation, several networks"),
    ("More than 50,000 sequences?", "yes", "1 to 5 epochs, more units"),
]
QUESTION = {"boxstyle": "round,pad=0.5", "facecolor": "#e8f1fa", "edgecolor": "#0072b2"}
ANSWER = {"boxstyle": "square,pad=0.5", "facecolor": "#fdf0e6", "edgecolor": "#d55e00"}
ARROW = {"arrowstyle": "-|>", "color": "0.3"}


def draw():
    """Questions down the left side, and what to do about each on the right side."""
    figure, ax = pyplot.subplots(figsize=(8, 8.5), layout="constrained")
    last = len(QUESTIONS)
    for row, (question, answer, what) in enumerate(QUESTIONS):
        y = last - row
        ax.annotate(what, (0.27, y), (0.73, y), ha="center", va="center", bbox=ANSWER, fontsize=11)
        ax.annotate("", (0.56, y), (0.46, y), arrowprops=ARROW)
        ax.text(0.51, y + 0.08, answer, ha="center", fontsize=10)
        ax.annotate("", (0.25, y - 0.68), (0.25, y - 0.25), arrowprops=ARROW)
        ax.text(0.27, y - 0.5, "yes" if answer == "no" else "no, or after that", fontsize=10)
        ax.text(0.25, y, question, ha="center", va="center", bbox=QUESTION, fontsize=11)
    ax.text(0.25, 0, "the defaults", ha="center", va="center", bbox=ANSWER, fontsize=11)
    ax.set(xlim=(0, 1), ylim=(-0.4, last + 0.4))
    ax.axis("off")
    figure.savefig(Path(__file__).with_name("choosing.png"), dpi=100)


if __name__ == "__main__":
    draw()
