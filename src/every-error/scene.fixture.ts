import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ExecutorContext, type TargetConfiguration, type Tree } from '@nx/devkit';
import { logger } from '../plugin/workspace-nx';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { INPUTS } from '../../conformance/make-inputs';
import { NX_IGVM, run } from '../cli/programs';
import { IgvmError } from '../errors/igvm-error';

/** A user's mistake: its description, and a function that makes it. @returns the text that the user sees */
export type Provocation = [what: string, provoke: (scene: Scene) => Promise<string>];

/** The guest that is built fastest: an empty one, on a platform with measurement. */
export const EMPTY_GUEST = {
  guest_svn: 1,
  max_vtl: 2,
  isolation_type: { vbs: { enable_debug: false } } as object | 'none',
  image: 'none' as object | 'none',
};

/** A Linux guest without a paravisor, which is alone in its file. */
export const linuxGuest = (more: object = {}): typeof EMPTY_GUEST => ({
  ...EMPTY_GUEST,
  max_vtl: 0,
  isolation_type: 'none',
  image: { linux: { use_initrd: false, command_line: 'quiet', ...more } },
});

/** Resources, for which {@link Scene.buildOf} creates the files. */
export const KERNEL = { linux_kernel: 'vmlinux-x64.elf' };

/** A folder with files, and the ways in which a user runs this package. */
export class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'nx-igvm-error-'));

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes bytes, text, or anything else as JSON. @returns the path */
  write(name: string, content: string | Uint8Array | object): string {
    const isRaw = typeof content === 'string' || content instanceof Uint8Array;
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), isRaw ? content : JSON.stringify(content, undefined, 2));
    return this.path(name);
  }

  /** Changes bytes of a file. */
  change(name: string, change: (bytes: Buffer) => void): void {
    const bytes = readFileSync(this.path(name));
    change(bytes);
    writeFileSync(this.path(name), bytes);
  }

  /** Writes igvm.json, and the conformance suite's files that its resources name. */
  manifest(guests: object | readonly object[], resources: Record<string, unknown> = {}, more: object = {}): void {
    for (const file of Object.values(resources)) {
      const make = typeof file === 'string' ? INPUTS[file] : undefined;
      if (make !== undefined) this.write(file as string, make());
    }
    this.write('igvm.json', { guest_arch: 'x64', guest_configs: [guests].flat(), resources, ...more });
  }

  /** Builds image.igvm. For builds that succeed. */
  async image(
    guests: object | readonly object[] = EMPTY_GUEST,
    resources: Record<string, unknown> = {},
  ): Promise<void> {
    this.manifest(guests, resources);
    await this.nxIgvm('build', 'igvm.json', '-o', 'image.igvm');
  }

  /** Builds image.igvm from a manifest that {@link manifest} writes. @returns the text that the user sees */
  buildOf(...manifest: Parameters<Scene['manifest']>): Promise<string> {
    this.manifest(...manifest);
    return this.nxIgvm('build', 'igvm.json', '-o', 'image.igvm');
  }

  /** Like {@link buildOf}, with a separate folder for downloads. @param more arguments for the command */
  downloading(guests: object, resources: Record<string, unknown>, ...more: string[]): Promise<string> {
    this.manifest(guests, resources);
    return this.nxIgvm('build', 'igvm.json', '-o', 'image.igvm', '--downloads', 'downloads', ...more);
  }

  async nxIgvm(...args: string[]): Promise<string> {
    let shown = '';
    const stderr = (text: string): void => void (shown += text);
    await run(NX_IGVM, args, { cwd: this.folder, stdout: () => undefined, stderr, isInteractive: false });
    return shown;
  }

  /** Runs an executor of the project "image". The folder is the workspace. @param targets the targets of the project */
  async execute<Options>(
    executor: (options: Options, context: ExecutorContext) => Promise<{ success: boolean }>,
    options: Options,
    targets: Record<string, TargetConfiguration> = {},
  ): Promise<string> {
    let shown = '';
    const spies = (['info', 'warn', 'error'] as const).map((level) =>
      jest.spyOn(logger, level).mockImplementation((...texts: unknown[]) => void (shown += `${texts.join(' ')}\n`)),
    );
    try {
      await executor(options, {
        root: this.folder,
        cwd: this.folder,
        isVerbose: false,
        projectName: 'image',
        targetName: 'build',
        projectsConfigurations: { version: 2, projects: {} },
        nxJsonConfiguration: {},
        projectGraph: {
          nodes: { image: { type: 'app', name: 'image', data: { root: '.', targets } } },
          dependencies: {},
        },
      });
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    return shown;
  }

  /** Runs a generator in an empty workspace. */
  generate(generator: (tree: Tree) => Promise<unknown>): Promise<string> {
    return shownBy(() => generator(createTreeWithEmptyWorkspace({ formatter: 'none' })));
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The text that a user of the library sees: an error with its place, code and cure. */
export async function shownBy(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return error instanceof IgvmError ? error.format() : (error as Error).message;
  }
  return '';
}
