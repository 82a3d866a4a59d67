"""A service over HTTP: captures up, questions, results, progress; a pool of workers and a bounded queue."""
