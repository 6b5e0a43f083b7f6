// A hang is a failure, a busy machine is not; jest knows no timeout of a project's own.
jest.setTimeout(60_000);
