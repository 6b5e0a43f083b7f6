import type { ExecutorContext } from '@nx/devkit';

/** The part of Nx's context that our executors use, in a workspace with at most one project. */
export const contextIn = (root: string, projectName?: string): ExecutorContext => ({
  root,
  cwd: '/',
  isVerbose: false,
  ...(projectName === undefined ? {} : { projectName }),
  projectsConfigurations: { version: 2, projects: {} },
  nxJsonConfiguration: {},
  projectGraph: { nodes: {}, dependencies: {} },
});

/** Isolation types of guests with a paravisor, as in a manifest. */
export const ISOLATIONS = {
  vbs: { vbs: { enable_debug: false } },
  snp: { snp: { shared_gpa_boundary_bits: 46, policy: 196639, enable_debug: false, injection_type: 'normal' } },
  tdx: { tdx: { enable_debug: false, sept_ve_disable: true } },
  none: 'none',
};
