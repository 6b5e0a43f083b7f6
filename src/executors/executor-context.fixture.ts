import type { ExecutorContext } from '@nx/devkit';

/** What Nx tells an executor in a workspace of one project, as far as the executors look at it. */
export const contextIn = (root: string, projectName?: string): ExecutorContext => ({
  root,
  cwd: '/',
  isVerbose: false,
  ...(projectName === undefined ? {} : { projectName }),
  projectsConfigurations: { version: 2, projects: {} },
  nxJsonConfiguration: {},
  projectGraph: { nodes: {}, dependencies: {} },
});

/** Isolation types of guests with a paravisor, as a manifest states them. */
export const ISOLATIONS = {
  vbs: { vbs: { enable_debug: false } },
  snp: { snp: { shared_gpa_boundary_bits: 46, policy: 196639, enable_debug: false, injection_type: 'normal' } },
  tdx: { tdx: { enable_debug: false, sept_ve_disable: true } },
  none: 'none',
};
