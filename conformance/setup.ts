// A hang is a failure, a busy machine is not. jest has no timeout per project.
jest.setTimeout(60_000);
