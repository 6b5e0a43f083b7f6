import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  APP,
  archiveOf,
  dockerOf,
  layoutOf,
  tarOf,
  type TestImage,
  writeParts,
} from '../../src/initrd/container/image.fixture';
import { changed } from '../harness/inputs';
import type { Workspace } from '../harness/workspace';
import { type Binary, BINARIES, bytesOf, imageWith, manifestOf } from './images';
import { type Location, type LocationName, LOCATIONS, MAKER, plainFile, servedFile } from './locations';
import type { WebFolder } from './web-folder';

/** One combination of the matrix: a project with one image and one file that changes. */
export interface Cell {
  project: string;
  /** What changes. */
  what: string;
  /** Its location. */
  where: string;
  location: Location;
  /** Its first content, and the changed one. */
  bytes: Uint8Array;
  other: Uint8Array;
  /**
   * Whether the image requires the file. A pinned file outside the workspace is identified by its digest, so its image stays valid
   * without it. Without a manifest, there is no target.
   */
  removable: boolean;
  /** The output of its target, if that isn't an image. */
  output?: string;
}

/** Creates the cells of a workspace. @param web a folder that a server publishes */
export async function createCells(workspace: Workspace, web: WebFolder): Promise<Cell[]> {
  workspace.write('.gitignore', 'node_modules\n.nx\ndist\nignored\n');
  workspace.writeJson(`${MAKER}/project.json`, { name: MAKER, targets: {} });
  for (const binary of Object.keys(BINARIES) as Binary[]) workspace.write(`shared/${binary}`, bytesOf(binary));
  const cells = [
    ...CHANGING.flatMap((binary) =>
      Object.keys(LOCATIONS).map((where) => binaryCell(workspace, binary, where as LocationName)),
    ),
    manifestCell(workspace),
    ...resourcesFileCells(workspace),
    ...loaderCells(workspace),
    ...commandLineCells(workspace),
    ...(await containerCells(workspace)),
    ...webCells(workspace, web),
  ];
  await workspace.commit('cells');
  return cells;
}

/** The paravisor's kernel and initrd are inputs like its shim. */
const CHANGING: Binary[] = ['linux_kernel', 'linux_initrd', 'uefi', 'openhcl_boot', 'underhill_sidecar'];

const nameOf = (what: string, where: string): string => `${what}-${where}`.replace(/[^a-z]+/g, '-');

/** The other binaries of a cell. */
const shared = (uses: Binary[]): Record<string, unknown> =>
  Object.fromEntries(uses.map((binary) => [binary, `{workspaceRoot}/shared/${binary}`]));

function binaryCell(workspace: Workspace, binary: Binary, where: LocationName): Cell {
  const project = nameOf(binary, where);
  const root = `images/${project}`;
  workspace.writeJson(`${root}/project.json`, { name: project, targets: {} });
  const location = LOCATIONS[where](workspace, root, project);
  const bytes = bytesOf(binary);
  location.put(bytes);
  const { guest, uses } = imageWith(binary);
  workspace.writeJson(`${root}/igvm.json`, manifestOf(guest, { ...shared(uses), [binary]: location.resource }));
  const removable = where !== 'pinned, outside';
  return { project, what: binary, where, location, bytes, other: changed(bytes), removable };
}

/** Files from a server. An image stays valid without them, because they are known by their digests. */
function webCells(workspace: Workspace, { base, folder }: WebFolder): Cell[] {
  const rows: [Binary, string, string?][] = [
    ['linux_kernel', 'url'],
    ['uefi', 'url'],
    ['linux_initrd', 'member of an archive', 'boot/initrd'],
  ];
  return rows.map(([binary, where, member]) => {
    const project = nameOf(binary, where);
    const root = `images/${project}`;
    workspace.writeJson(`${root}/project.json`, { name: project, targets: {} });
    const location = servedFile(workspace, root, base, folder, member);
    const bytes = bytesOf(binary);
    location.put(bytes);
    const { guest, uses } = imageWith(binary);
    workspace.writeJson(`${root}/igvm.json`, manifestOf(guest, { ...shared(uses), [binary]: location.resource }));
    return { project, what: binary, where, location, bytes, other: changed(bytes), removable: false };
  });
}

/** A manifest of a Linux image without resources. */
function linuxManifest(commandLine: string): Record<string, unknown> {
  const { resources: _, ...manifest } = manifestOf(
    { max_vtl: 0, image: { linux: { use_initrd: true, command_line: commandLine } } },
    {},
  );
  return manifest;
}

/** Text that is appended to the command line. */
function commandLineCells(workspace: Workspace): Cell[] {
  const places = ['tracked', 'ignored', 'outside', 'output', 'link to a file', 'pinned'] as const;
  const [bytes, other] = ['roothash=11\n', 'roothash=22\n'].map((text) => Buffer.from(text)) as [Buffer, Buffer];
  return places.map((where) => {
    const project = nameOf('command-line', where);
    const root = `images/${project}`;
    workspace.writeJson(`${root}/project.json`, { name: project, targets: {} });
    const location = LOCATIONS[where](workspace, root, project);
    location.put(bytes);
    const resources = { ...shared(['linux_kernel', 'linux_initrd']), linux_command_line: location.resource };
    workspace.writeJson(`${root}/igvm.json`, { ...linuxManifest('quiet'), resources });
    return { project, what: 'command line', where, location, bytes, other, removable: true };
  });
}

/** A container image in an initramfs: archives, and the folder of a layout. */
async function containerCells(workspace: Workspace): Promise<Cell[]> {
  const image = async (content: string): Promise<TestImage> => ({
    layers: [await tarOf([APP, { name: 'content', content }])],
  });
  const [first, second] = [await image('one'), await image('two')];
  const [bytes, other] = [await archiveOf(dockerOf(first)), await archiveOf(dockerOf(second))];
  const cellOf = (where: string, makeLocation: (root: string, project: string) => Location): Cell => {
    const project = nameOf('container', where);
    const root = `images/${project}`;
    workspace.writeJson(`${root}/project.json`, { name: project, targets: {} });
    const location = makeLocation(root, project);
    location.put(bytes);
    workspace.writeJson(`${root}/initrd.json`, { image: location.resource });
    const output = `dist/${root}/initrd.cpio`;
    return { project, what: 'container image', where, location, bytes, other, removable: true, output };
  };
  const places = ['tracked', 'ignored', 'outside', 'output', 'own output', 'link to a file', 'glob'] as const;
  const layouts = new Map([
    [bytes, layoutOf(first)],
    [other, layoutOf(second)],
  ]);
  return [
    ...places.map((where) => cellOf(where, (root, project) => LOCATIONS[where](workspace, root, project))),
    cellOf('folder of a layout', (root) => layoutFolder(workspace.path(`${root}/oci`), layouts)),
    cellOf('folder of a layout, ignored', (root) =>
      layoutFolder(workspace.path(`${root}/ignored/oci`), layouts, 'ignored/oci'),
    ),
  ];
}

/** @param layouts by the archives of the same images */
function layoutFolder(
  folder: string,
  layouts: ReadonlyMap<Uint8Array, ReadonlyMap<string, Uint8Array>>,
  resource = 'oci',
): Location {
  return {
    resource,
    file: () => join(folder, 'index.json'),
    put: (content) => {
      rmSync(folder, { recursive: true, force: true });
      const parts = content === undefined ? undefined : layouts.get(content);
      if (parts !== undefined) writeParts(folder, parts);
    },
  };
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** The manifest itself. */
function manifestCell(workspace: Workspace): Cell {
  const resources = shared(['linux_kernel', 'linux_initrd']);
  const bytes = json({ ...linuxManifest('quiet'), resources });
  const other = json({ ...linuxManifest('noisy'), resources });
  const [project, what, where] = ['manifest', 'manifest', 'tracked'];
  workspace.writeJson(`images/${project}/project.json`, { name: project, targets: {} });
  const location = plainFile(undefined, workspace.path(`images/${project}/igvm.json`));
  location.put(bytes);
  return { project, what, where, location, bytes, other, removable: false };
}

/** igvmfilegen's separate file of resources, as an option of the target. */
function resourcesFileCells(workspace: Workspace): Cell[] {
  const places = ['tracked', 'ignored', 'outside', 'link to a file', 'link to a folder'] as const;
  workspace.write('shared/other_initrd', changed(bytesOf('linux_initrd')));
  const naming = (initrd: string): Buffer =>
    json({
      resources: {
        linux_kernel: workspace.path('shared/linux_kernel'),
        linux_initrd: workspace.path(`shared/${initrd}`),
      },
    });
  const bytes = naming('linux_initrd');
  const other = naming('other_initrd');
  return places.map((where) => {
    const project = nameOf('resources', where);
    const root = `images/${project}`;
    const location = LOCATIONS[where](workspace, root, project);
    const option = String(location.resource);
    workspace.writeJson(`${root}/project.json`, {
      name: project,
      targets: { build: { options: { resources: where === 'outside' ? option : `${root}/${option}` } } },
    });
    workspace.writeJson(`${root}/igvm.json`, linuxManifest('quiet'));
    location.put(bytes);
    return { project, what: 'resources file', where, location, bytes, other, removable: true };
  });
}

/** Another igvmfilegen as an option of the target; it writes a word instead of an image. */
function loaderCells(workspace: Workspace): Cell[] {
  const program = (word: string): Buffer =>
    Buffer.from(
      `#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = --output ] && out=$2; shift; done\necho ${word} > "$out"; echo > "$out.map"\n`,
    );
  const places = ['tracked', 'ignored', 'outside', 'link to a file', 'link to a folder'] as const;
  return places.map((where) => {
    const project = nameOf('loader', where);
    const root = `images/${project}`;
    const location = LOCATIONS[where](workspace, root, project);
    const option = String(location.resource);
    workspace.writeJson(`${root}/project.json`, {
      name: project,
      targets: { build: { options: { loader: where === 'outside' ? option : `${root}/${option}` } } },
    });
    const resources = shared(['linux_kernel', 'linux_initrd']);
    workspace.writeJson(`${root}/igvm.json`, { ...linuxManifest('quiet'), resources });
    const executable: Location = {
      ...location,
      put: (content) => {
        location.put(content);
        if (content !== undefined) chmodSync(location.file(), 0o755);
      },
    };
    const [bytes, other] = [program('one'), program('two')];
    executable.put(bytes);
    return { project, what: 'external loader', where, location: executable, bytes, other, removable: true };
  });
}
