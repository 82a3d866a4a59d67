"""Multimodal models, local or served, behind one question-and-answer interface."""
