"""A researcher's comparison: variants of one tokenizer configuration, trained alike and measured side by side.

recipe.py    the schema `lab` of configuration files
variants.py  the variants of a recipe, with their configurations
clips.py     the clips, the same for all
budget.py    how many steps a variant may take
runner.py    one process a training, from where it stopped
child.py     that process
measures/    what is measured, one file a measure
results.py   results.json, with means over seeds
page.py, charts.py, headings.py, sheets.py   the page that people read
"""
