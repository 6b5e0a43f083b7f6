import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { applyEdits, modify } from 'jsonc-parser';
import { IgvmError } from '../errors/igvm-error';
import { type Access, accessOfFiles, EVERYONE, OWNER_ONLY } from '../files/access';
import { checkNotInputs, createOutputSet, type OutputSet } from '../files/atomic-output';
import { errnoOf } from '../files/file-failure';
import { openFileSource } from '../files/file-source';
import { makeProcessFolder } from '../files/process-folder';
import { commandLinePlace } from '../manifest/command-line';
import { readJsonFile } from '../manifest/json-document';
import type { Manifest, ResourceName } from '../manifest/model';
import type { ManifestOverrides } from '../manifest/load-manifest';
import type { BuildReport, BuiltFile, OutputKind } from './build-report';
import { textForCommandLine, withCommandLine } from './load-guest';
import { formerSiblings } from './endorsements';
import { OpenResources, type ResourceFile } from './open-resources';

/** A build by an igvmfilegen other than ours. */
export interface ExternalBuild extends ManifestOverrides {
  /** Path of the program. */
  loader: string;
  /** Path of the manifest, which the program reads itself. */
  manifest: string;
  /** Its contents. */
  loaded: Manifest;
  resources: ReadonlyMap<ResourceName, ResourceFile>;
  /** Path of the image. */
  output: string;
  otherInputs?: readonly string[];
  /** Only its owner may read the image, whoever may read its inputs. */
  private?: boolean;
  debugValidation?: boolean;
  /** Receives the program's output as it is written. */
  message?: (text: string) => void;
}

/** The siblings of an image, by extension. */
const KINDS: Readonly<Record<string, OutputKind>> = {
  '.map': 'map',
  '.json': 'identity',
  '.cbor': 'corim',
  '.idblock': 'idBlock',
};

const COPY_SIZE = 1 << 20;

/** Signals that end this process after the program. Nx stops tasks with SIGTERM. */
const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Milliseconds within which the program has to end after such a signal. */
const GRACE = 2000;

/**
 * Builds the image with a program that has igvmfilegen's command line, in a separate folder; the files it wrote appear
 * at once. A signal ends the program and removes the folder, and then has its usual effect.
 * @throws IgvmError EXTERNAL_LOADER_FAILED, FILE_UNWRITABLE; RESOURCE_DIGEST, FILE_UNREADABLE for pinned resources
 */
export async function buildWithExternalLoader(build: ExternalBuild): Promise<BuildReport> {
  const folder = makeProcessFolder('loader');
  const outputs = createOutputSet();
  let signal: NodeJS.Signals | undefined;
  try {
    checkPinned(build.resources);
    // Not in the folder that the program writes to, where the image may have that name.
    const resources = join(folder, 'resources.json');
    const written = join(folder, 'written');
    mkdirSync(written);
    const known = [...build.resources].filter(([name]) => name !== 'linux_command_line');
    const sections = takeOutSections(build.resources, folder);
    const paths = Object.fromEntries(known.map(([name, { path }]) => [name, sections.get(name) ?? path]));
    writeFileSync(resources, JSON.stringify({ resources: paths }));
    const manifest = manifestFor(build, join(folder, 'igvm.json'));
    signal = await runLoader({ ...build, manifest }, resources, join(written, basename(build.output)));
    if (signal !== undefined) throw failed(build.loader, `was stopped by ${signal}`);
    // The program doesn't know this key.
    if (build.embedCorim === false) await leaveOutCorims(build.loader, join(written, basename(build.output)));
    // The program opens the files itself: if they still have their pinned digests, it has read the right ones.
    checkPinned(build.resources);
    return await adoptAll(build, written, outputs);
  } finally {
    await outputs.abort();
    rmSync(folder, { recursive: true, force: true });
    if (signal !== undefined) process.kill(process.pid, signal);
  }
}

/**
 * The manifest for a program that doesn't know `linux_command_line`: a manifest at `path` with the text in its command
 * lines, or the original if there is no such text.
 */
function manifestFor({ manifest, loaded, resources }: ExternalBuild, path: string): string {
  const open = new OpenResources(resources);
  try {
    const text = textForCommandLine(open);
    if (text === undefined) return manifest;
    let json = Buffer.from(readJsonFile(manifest, manifest)).toString();
    for (const [index, guest] of loaded.guest_configs.entries()) {
      const place = commandLinePlace(guest.image);
      if (place === undefined) continue;
      const { image } = withCommandLine(guest, loaded.guest_arch, text);
      const line = place.reduce((value: unknown, key) => (value as Record<string, unknown>)[key], image);
      json = applyEdits(json, modify(json, ['guest_configs', index, 'image', ...place], line, {}));
    }
    writeFileSync(path, json);
    return path;
  } finally {
    open.close();
  }
}

/** Files for a program that doesn't know UKIs: the sections of UKIs that are given as kernel or initrd. */
function takeOutSections(files: ExternalBuild['resources'], folder: string): Map<ResourceName, string> {
  const open = new OpenResources(files);
  try {
    const paths = new Map<ResourceName, string>();
    for (const name of ['linux_kernel', 'linux_initrd'] as const) {
      if (!open.has(name)) continue;
      const source = open.linuxPart(name);
      if (open.sectionStart(name) === undefined) continue;
      const path = join(folder, name);
      const fd = openSync(path, 'wx', 0o600);
      try {
        const buffer = new Uint8Array(Math.min(COPY_SIZE, source.size));
        for (let done = 0; done < source.size; done += COPY_SIZE) {
          const part = buffer.subarray(0, Math.min(COPY_SIZE, source.size - done));
          source.read(done, part);
          writeSync(fd, part);
        }
      } finally {
        closeSync(fd);
      }
      paths.set(name, path);
    }
    open.checkUnchanged();
    return paths;
  } finally {
    open.close();
  }
}

async function leaveOutCorims(loader: string, image: string): Promise<void> {
  if (!existsSync(image)) return;
  const { rewriteImage } = require('../files/igvm-image') as typeof import('../files/igvm-image');
  try {
    await rewriteImage(image, image, (file) => ({
      ...file,
      initializations: file.initializations.filter(({ type }) => type !== 'corimDocument' && type !== 'corimSignature'),
    }));
  } catch (cause) {
    throw cause instanceof IgvmError
      ? failed(loader, `has written an image from which the CoRIM can't be removed: ${cause.message}`, cause)
      : cause;
  }
}

function checkPinned(resources: ExternalBuild['resources']): void {
  const open = new OpenResources(resources);
  try {
    open.checkPinned();
  } finally {
    open.close();
  }
}

/** Moves the files of the folder `written` to their places beside the image. */
async function adoptAll(
  { loader, output, resources, otherInputs = [], private: isPrivate = false }: ExternalBuild,
  written: string,
  outputs: OutputSet,
): Promise<BuildReport> {
  const isImage = (name: string): boolean => name === basename(output);
  const found = readdirSync(written, { withFileTypes: true });
  const odd = found.find((entry) => !entry.isFile());
  if (odd !== undefined) throw failed(loader, `has made "${odd.name}", which is not a file`);
  const names = found.map(({ name }) => name).sort((a, b) => Number(isImage(b)) - Number(isImage(a)));
  if (names[0] === undefined || !isImage(names[0])) throw failed(loader, 'has ended without writing an image');
  const targets = names.map((name) => join(dirname(output), name));
  const inputs = [...[...resources.values()].map(({ path }) => path), ...otherInputs];
  checkNotInputs(targets, inputs);
  const access = isPrivate ? OWNER_ONLY : accessOfFiles(inputs);
  const files: BuiltFile[] = [];
  for (const name of names) {
    const path = join(dirname(output), name);
    const size = await adopt(join(written, name), path, outputs, isImage(name) ? access : EVERYONE);
    files.push({ kind: isImage(name) ? 'image' : (KINDS[extname(name)] ?? 'other'), path, size });
  }
  await outputs.commit({ last: output, remove: () => formerSiblings(output, [...targets, ...inputs]) });
  return { files, measurements: [], notes: [], details: [] };
}

const failed = (loader: string, what: string, cause?: unknown): IgvmError =>
  new IgvmError('EXTERNAL_LOADER_FAILED', `the loader ${what}`, { file: loader }, { cause });

/** @returns the signal that ended the program together with this process */
function runLoader(build: ExternalBuild, resources: string, output: string): Promise<NodeJS.Signals | undefined> {
  const args = ['manifest', '--manifest', build.manifest, '--resources', resources, '--output', output];
  if (build.debugValidation === true) args.push('--debug-validation');
  if (build.disableSecureAvic === true) args.push('--disable-secure-avic');
  if (build.confidentialDebug === true) args.push('--confidential-debug');
  return new Promise((done, fail) => {
    const child = spawn(build.loader, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stoppedBy: NodeJS.Signals | undefined;
    let killer: NodeJS.Timeout | undefined;
    const onSignal = (name: NodeJS.Signals): void => {
      stoppedBy ??= name;
      child.kill(name);
      killer ??= setTimeout(() => child.kill('SIGKILL'), GRACE);
    };
    for (const name of FORWARDED) process.on(name, onSignal);
    const end = (): void => {
      for (const name of FORWARDED) process.off(name, onSignal);
      clearTimeout(killer);
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => build.message?.(text));
    }
    child.on('error', (error) => {
      end();
      fail(failed(build.loader, `cannot be started: ${whyNotStarted(error)}`, error));
    });
    child.on('close', (code, signal) => {
      end();
      if (code === 0 || stoppedBy !== undefined) done(stoppedBy);
      else fail(failed(build.loader, signal === null ? `has failed with exit code ${code}` : `was ended by ${signal}`));
    });
  });
}

const whyNotStarted = (error: Error): string =>
  errnoOf(error) === 'ENOENT' ? 'no such program exists, nor is it in PATH' : error.message;

/** @returns bytes */
async function adopt(from: string, to: string, outputs: OutputSet, access: Access): Promise<number> {
  const source = openFileSource(from);
  try {
    const file = outputs.add(to, access);
    for (let offset = 0; offset < source.size; offset += COPY_SIZE) {
      const bytes = new Uint8Array(Math.min(COPY_SIZE, source.size - offset));
      source.read(offset, bytes);
      await file.write(offset, bytes);
    }
    return source.size;
  } finally {
    source.close();
  }
}
