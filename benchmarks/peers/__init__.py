"""Other projects' models behind the faces that our benchmarks measure."""
