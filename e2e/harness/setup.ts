import { needing } from '../../src/boot/needing.fixture';

// Real workspaces and real virtual machines take their time; jest knows no timeout of a project's own.
jest.setTimeout(300_000);

// Workspaces are repositories: without git, none of these tests can run.
const { describe, it } = needing('git');
Object.assign(globalThis, { describe, it, test: it });
