// A hang is a failure, but a busy machine isn't. Jest has no timeout per project.
jest.setTimeout(60_000);
