"""`videogen evaluate codebook`: a codebook in figures, charts and pictures.

parts.py     the codebooks of a tokenizer: what is counted in a table of its own
survey.py    codes and latents of clips
bits.py      entropies of codes
usage.py     figures of use: which codes, how evenly, when
geometry.py  distances of codes and latents, and their principal axes
voronoi.py   a picture of the cells
decoded.py   a picture of each code
charts.py    the charts
page.py      a page that shows all of them
report.py    puts the report together
"""
