"""Vision-language models that point: clients, parsers of their replies, and asking about every view."""
