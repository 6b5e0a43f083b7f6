import { needing } from '../../src/boot/needing.fixture';

// Real workspaces and virtual machines are slow, and Jest has no timeout per project.
jest.setTimeout(300_000);

// Workspaces are repositories: without git, none of these tests can run.
const { describe, it } = needing('git');
Object.assign(globalThis, { describe, it, test: it });
