"""From images and words to points: who is asked what, in which order, and what is made of the replies."""
