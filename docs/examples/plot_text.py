"""
Text, character by character
============================

The network reads some of Python's own source, which every installation has, and
predicts each next character. It has never been told what a word is, or what Python is.
"""

import argparse
import inspect

from matplotlib import pyplot

from admmirnn import CharacterModel, plotting

source = inspect.getsource(argparse)
text, held_out = source[:50_000], source[50_000:60_000]

model = CharacterModel(hidden_size=128, max_epochs=6, unknown=" ", random_state=0)
model.fit(text, validation_text=held_out)
print(len(text), "characters,", len(model.vocabulary_), "different ones")
print(f"bits per character: {model.bits_per_character(text):.2f} of the training text")
print(
    f"                    {model.bits_per_character(held_out):.2f} of the text after it"
)

# %%
# The picture shows the loss by epoch, in nats per character.

figure, ax = pyplot.subplots(figsize=(6, 4), layout="constrained")
plotting.plot_history(model, "loss", ax=ax)

# %%
# This is what the network writes, from cautious (low temperature) to bold.

for temperature in (0.5, 0.7, 1.0):
    print(f"--- temperature {temperature}")
    print(
        "    def "
        + model.generate("    def ", n=200, temperature=temperature, random_state=0)
    )
