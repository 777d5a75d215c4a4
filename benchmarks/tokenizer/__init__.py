"""Speed, memory and loss of the tokenizer."""
