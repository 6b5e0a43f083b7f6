import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { touch, type Workspace } from '../harness/workspace';

/** The possible locations of an image's file, and how a test accesses it there. */
export interface Location {
  /** The value in the manifest. */
  resource: unknown;
  /** The file to write and touch; for a link, its target. */
  file(): string;
  /** Writes content there, or removes the file. */
  put(content: Uint8Array | undefined): void;
}

export type LocationName =
  | 'tracked'
  | 'ignored'
  | 'outside'
  | 'outside, relative'
  | 'output'
  | 'own output'
  | 'link to a file'
  | 'link to a folder'
  | 'glob'
  | 'pinned'
  | 'pinned, outside';

/** Makes a location for the file of a cell. `id` is unique for each cell; `project` is the folder of its project. */
type Place = (workspace: Workspace, project: string, id: string) => Location;

/** The folder of the project whose targets copy files to their outputs. */
export const MAKER = 'maker';

export const LOCATIONS: Record<LocationName, Place> = {
  tracked: (workspace, project) => plainFile('bin/file.bin', workspace.path(`${project}/bin/file.bin`)),
  ignored: (workspace, project) => plainFile('ignored/file.bin', workspace.path(`${project}/ignored/file.bin`)),
  outside: (workspace, _, id) => {
    const path = join(workspace.outside, `${id}.bin`);
    return plainFile(path, path);
  },
  'outside, relative': (workspace, _, id) =>
    plainFile(`../../../outside/relative-${id}.bin`, join(workspace.outside, `relative-${id}.bin`)),
  output: (workspace, _, id) => {
    addCopyTarget(workspace, MAKER, id);
    return plainFile(
      { project: MAKER, target: id, path: `dist/${MAKER}/${id}.bin` },
      workspace.path(`${MAKER}/src/${id}.bin`),
    );
  },
  'own output': (workspace, project, id) => {
    addCopyTarget(workspace, project, 'make');
    return plainFile(
      { project: id, target: 'make', path: `dist/${project}/make.bin` },
      workspace.path(`${project}/src/make.bin`),
    );
  },
  'link to a file': (workspace, project, id) => {
    const file = workspace.path(`targets/${id}.bin`);
    link(file, workspace.path(`${project}/bin/link.bin`));
    return plainFile('bin/link.bin', file);
  },
  'link to a folder': (workspace, project, id) => {
    const folder = join(workspace.outside, `folder-${id}`);
    mkdirSync(folder);
    link(folder, workspace.path(`${project}/folder`));
    return plainFile('folder/file.bin', join(folder, 'file.bin'));
  },
  glob: (workspace, project) => globMatch('bin/file-*.bin', workspace.path(`${project}/bin`)),
  pinned: (workspace, project) =>
    pinnedFile(workspace, project, 'bin/file.bin', workspace.path(`${project}/bin/file.bin`)),
  'pinned, outside': (workspace, project, id) => {
    const path = join(workspace.outside, `${id}.bin`);
    return pinnedFile(workspace, project, path, path);
  },
};

export function plainFile(resource: unknown, path: string): Location {
  return {
    resource,
    file: () => path,
    put: (content) => put(path, content),
  };
}

/** Each content has its own file name, so after a change the pattern matches another file. */
function globMatch(pattern: string, folder: string): Location {
  let current = '';
  return {
    resource: pattern,
    file: () => current,
    put: (content) => {
      rmSync(current === '' ? join(folder, 'none') : current, { force: true });
      current = join(folder, `file-${content === undefined ? 'none' : digest(content).slice(0, 8)}.bin`);
      put(current, content);
    },
  };
}

/** The manifest is changed with the content, because a changed pinned file alone is an error. */
function pinnedFile(workspace: Workspace, project: string, written: string, path: string): Location {
  return pinned(workspace, project, { path: written, sha256: '0'.repeat(64) }, path);
}

/** A file from a server, or one in an archive from it. @param served the folder that is at `base` */
export function servedFile(
  workspace: Workspace,
  project: string,
  base: URL,
  served: string,
  member?: string,
): Location {
  const name = `${project.split('/').at(-1)}.bin`;
  const resource = {
    url: new URL(name, base).href,
    sha256: '0'.repeat(64),
    ...(member === undefined ? {} : { member }),
  };
  const location = pinned(workspace, project, resource, join(served, name));
  if (member === undefined) return location;
  return {
    ...location,
    put: (content) => location.put(content === undefined ? undefined : archiveOf(member, content)),
  };
}

/** The same archive for the same content. */
function archiveOf(member: string, content: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-archive-'));
  try {
    put(join(folder, member), content);
    const always = ['--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=644'];
    return execFileSync('tar', ['-cf', '-', ...always, '-C', folder, member], { maxBuffer: 2 ** 28 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pinned(workspace: Workspace, project: string, resource: Record<string, string>, path: string): Location {
  return {
    resource,
    file: () => path,
    put: (content) => {
      put(path, content);
      if (content === undefined) return;
      const sha256 = digest(content);
      const manifest = workspace.path(`${project}/igvm.json`);
      if (existsSync(manifest)) {
        const text = workspace.read(`${project}/igvm.json`).toString('utf8');
        workspace.write(`${project}/igvm.json`, text.replace(resource['sha256'] ?? '', sha256));
      }
      resource['sha256'] = sha256;
    },
  };
}

const digest = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** Written under another name first, so that hard links with older content are not changed. */
function put(path: string, content: Uint8Array | undefined): void {
  if (content === undefined) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
  touch(path);
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(target, path);
}

interface ProjectJson {
  name: string;
  targets: Record<string, unknown>;
}

/** A target that copies `src/NAME.bin` of its project to `dist/PROJECT/NAME.bin`. */
function addCopyTarget(workspace: Workspace, project: string, name: string): void {
  const output = `dist/${project}/${name}.bin`;
  workspace.updateJson<ProjectJson>(`${project}/project.json`, (json) => {
    json.targets[name] = {
      executor: 'nx:run-commands',
      cache: true,
      inputs: [`{projectRoot}/src/${name}.bin`],
      outputs: [`{workspaceRoot}/${output}`],
      options: { command: `mkdir -p dist/${project} && cp ${project}/src/${name}.bin ${output}` },
    };
  });
}
