// Real workspaces and real virtual machines take their time; jest knows no timeout of a project's own.
jest.setTimeout(300_000);
