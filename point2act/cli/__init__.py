"""One file a command: arguments in, a function of the library called, a line of result out."""
