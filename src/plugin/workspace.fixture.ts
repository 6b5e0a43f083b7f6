/** A real workspace folder, for tests of inference. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type {
  CreateNodesContext,
  NxJsonConfiguration,
  ProjectConfiguration,
  TargetConfiguration,
} from 'nx/src/devkit-exports';
import { createNodes } from './create-nodes';
import type { PluginOptions } from './configuration';
import { requestsOf } from './hash-files';

export class Workspace {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'igvm-workspace-')));

  write(path: string, content: string | object = path): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  }

  link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  /** Infers projects, by their roots. Several results for one project are merged as in Nx. */
  async infer(
    files: string[],
    options: PluginOptions = {},
    nxJson: NxJsonConfiguration = {},
  ): Promise<Record<string, ProjectConfiguration>> {
    const context: CreateNodesContext = { workspaceRoot: this.root, nxJsonConfiguration: nxJson };
    const projects: Record<string, ProjectConfiguration> = {};
    for (const [, result] of await createNodes[1](files, options, context)) {
      for (const [root, project] of Object.entries(result.projects ?? {})) {
        const targets = { ...projects[root]?.targets, ...project.targets };
        projects[root] = { ...projects[root], ...project, root, targets };
      }
    }
    return projects;
  }
}

/** A manifest of one guest with a Linux kernel. */
export const linuxManifest = (kernel: unknown, more: object = {}): object => ({
  guest_arch: 'x64',
  guest_configs: [
    { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux: { use_initrd: false, command_line: '' } } },
  ],
  resources: { linux_kernel: kernel },
  ...more,
});

/** The requests in a target's `runtime` input, except those for the plugin's files and for files that may become links. */
export function requests(target: TargetConfiguration | undefined): object[] {
  const found = (target?.inputs ?? []).flatMap((input) =>
    typeof input === 'object' && 'runtime' in input ? [input.runtime] : [],
  );
  return found
    .flatMap((command) => requestsOf(command))
    .filter((request) => !('linked' in request || ('tree' in request && request.tree.endsWith('dist'))));
}
