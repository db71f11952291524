"""Random-weight GGUF models, made without any model: see ../make_models.py, the command.

container.py   the file format's values and types
blocks.py      random weights drawn directly as quantised blocks
vocabulary.py  made-up tokenizers, or a tokenizer.json embedded
shapes.py      what each architecture's models measure, and their tensors
"""
