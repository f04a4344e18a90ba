"""The small world the model knows: its words, its facts, its questions and their one right answer each."""
