import { existsSync } from 'node:fs';
import type { CreateDependenciesContext, Tree } from '@nx/devkit';
import type { NX_CODES } from '../errors/codes';
import { checkBatch } from '../executors/check-target';
import buildExecutor from '../executors/build';
import { sign as signExecutor } from '../executors/tasks';
import { ciWorkflowGenerator } from '../generators/ci-workflow/generator';
import { guestImageGenerator } from '../generators/guest-image/generator';
import { syncLocks } from '../generators/sync-lock/generator';
import { createDependencies } from '../plugin/output-references';
import { requireSupportedNx } from '../plugin/workspace-nx';
import { EMPTY_GUEST, linuxGuest, type Provocation, shownBy } from './scene.fixture';

export const NX_ERRORS: Record<keyof typeof NX_CODES, Provocation> = {
  NX_TARGET_UNKNOWN: [
    'uses a kernel from a project that does not exist',
    (scene) => {
      scene.manifest(linuxGuest(), { linux_kernel: { project: 'kernel', target: 'build', path: 'dist/vmlinuz' } });
      return scene.execute(buildExecutor, { manifest: 'igvm.json' });
    },
  ],
  NX_OUTPUT_UNDECLARED: [
    'uses a file that is not among the outputs of its target',
    (scene) => {
      scene.manifest(linuxGuest(), { linux_kernel: { project: 'image', target: 'kernel', path: 'dist/vmlinuz' } });
      return scene.execute(buildExecutor, { manifest: 'igvm.json' }, { kernel: { outputs: ['{workspaceRoot}/out'] } });
    },
  ],
  NX_TARGET_UNCACHED: [
    'uses a kernel from a target that is not cached',
    (scene) => {
      scene.manifest(linuxGuest(), { linux_kernel: { project: 'infra', target: 'deploy', path: 'dist/vmlinuz' } });
      const build = { executor: 'nx-igvm:build', options: { manifest: 'igvm.json' } };
      const projects = {
        image: { root: '.', targets: { build } },
        infra: { root: 'infra', targets: { deploy: { executor: 'nx:run-commands' } } },
      };
      const context = { projects, workspaceRoot: scene.folder } as unknown as CreateDependenciesContext;
      return shownBy(() => createDependencies({}, context));
    },
  ],
  BUILD_FIRST: [
    'syncs the lock of an image that is not built',
    (scene) => {
      scene.manifest(EMPTY_GUEST);
      scene.write('igvm.lock.json', '{}');
      const targets = { build: { executor: 'nx-igvm:build', options: { manifest: 'igvm.json', outputPath: 'dist' } } };
      return shownBy(() =>
        syncLocks({ root: scene.folder, exists: (path) => existsSync(scene.path(path)) } as Tree, {
          image: { root: '.', targets },
        }),
      );
    },
  ],
  SIGN_OPTION: [
    'signs without a key or signature',
    async (scene) => {
      await scene.image();
      return scene.execute(signExecutor, { image: 'image.igvm', outputPath: 'signed.igvm' });
    },
  ],
  NX_OPTION_INVALID: [
    'defines a target without a manifest',
    (scene) => scene.execute(buildExecutor, {} as { manifest: string }),
  ],
  NX_OPTION_UNTRACKED: [
    'names a file on the command line, for a target that is cached',
    (scene) => {
      scene.manifest(EMPTY_GUEST);
      const target = { cache: true, options: { manifest: 'igvm.json' } };
      return scene.execute(buildExecutor, { manifest: 'igvm.json', resources: 'other.json' }, { build: target });
    },
  ],
  NX_KEY_REPLACED: [
    'replaces the inferred inputs of an image',
    (scene) => {
      scene.manifest(EMPTY_GUEST);
      const target = {
        executor: 'nx-igvm:build',
        cache: true,
        options: { manifest: 'igvm.json' },
        inputs: ['production'],
      };
      return scene.execute(buildExecutor, { manifest: 'igvm.json' }, { build: target });
    },
  ],
  NX_BATCH_HASHES: [
    'builds an image from another one, in one batch of an old Nx',
    (scene) => {
      scene.write('node_modules/nx/package.json', '{ "name": "nx", "version": "22.7.12" }');
      const targets = { build: { inputs: [{ dependentTasksOutputFiles: '**/*' }] } };
      const nodes = { image: { name: 'image', type: 'app', data: { root: '.', targets } } } as const;
      const context = { root: scene.folder, projectGraph: { nodes, dependencies: {} } };
      const blocker = { id: 'base:build', outputs: ['dist/base'] };
      return shownBy(() => checkBatch(context, { project: 'image', target: 'build' }, [blocker]));
    },
  ],
  NX_VERSION_UNSUPPORTED: ['has an old Nx', () => shownBy(() => requireSupportedNx('20.8.4'))],
  GENERATOR_OPTION: [
    'gives a workflow an invalid name',
    (scene) => scene.generate((tree) => ciWorkflowGenerator(tree, { name: '../evil' })),
  ],
  GENERATOR_CONFLICT: [
    'generates the same image twice',
    (scene) =>
      scene.generate(async (tree) => {
        const options = { name: 'vm', kernel: '/boot/vmlinuz', initrd: '/boot/initrd' };
        await guestImageGenerator(tree, options);
        await guestImageGenerator(tree, options);
      }),
  ],
};
