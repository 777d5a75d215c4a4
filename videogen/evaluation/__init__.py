"""How good a model is, in figures that anyone can have again: reports for programs, tables and plots for people."""
