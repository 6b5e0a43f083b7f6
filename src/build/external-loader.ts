import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { createOutputSet, type OutputSet } from '../files/atomic-output';
import { checkNotInputs } from '../files/check-not-inputs';
import { openFileSource } from '../files/file-source';
import type { ResourceName } from '../manifest/model';
import type { ManifestOverrides } from '../manifest/overrides';
import type { BuildReport, BuiltFile, OutputKind } from './build-report';
import { formerSiblings } from './former-siblings';
import type { ResourceFile } from './open-resources';

/** A build by another igvmfilegen than ours. */
export interface ExternalBuild extends ManifestOverrides {
  /** Path of the program. */
  loader: string;
  /** Path of the manifest, which the program reads itself. */
  manifest: string;
  resources: ReadonlyMap<ResourceName, ResourceFile>;
  /** Path of the image. */
  output: string;
  otherInputs?: readonly string[];
  debugValidation?: boolean;
  /** Takes what the program says, as it says it. */
  message?: (text: string) => void;
}

/** Of the siblings of an image, by extension. */
const KINDS: Readonly<Record<string, OutputKind>> = {
  '.map': 'map',
  '.json': 'identity',
  '.cbor': 'corim',
  '.idblock': 'idBlock',
};

const COPY_SIZE = 1 << 20;

/**
 * Has a program with igvmfilegen's command line build the image, in a folder of its own; what it wrote appears at once.
 * @throws IgvmError EXTERNAL_LOADER_FAILED, FILE_UNWRITABLE
 */
export async function buildWithExternalLoader(build: ExternalBuild): Promise<BuildReport> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-loader-'));
  const outputs = createOutputSet();
  try {
    // Beside the folder that the program writes to: the image may have that name.
    const resources = join(folder, 'resources.json');
    const written = join(folder, 'written');
    mkdirSync(written);
    const paths = Object.fromEntries([...build.resources].map(([name, { path }]) => [name, path]));
    writeFileSync(resources, JSON.stringify({ resources: paths }));
    await runLoader(build, resources, join(written, basename(build.output)));

    const names = readdirSync(written).sort(
      (a, b) => Number(b === basename(build.output)) - Number(a === basename(build.output)),
    );
    if (names[0] !== basename(build.output)) throw failed(build.loader, 'has ended without writing an image');
    const targets = names.map((name) => join(dirname(build.output), name));
    const inputs = [...Object.values(paths), ...(build.otherInputs ?? [])];
    checkNotInputs(targets, inputs);
    const files: BuiltFile[] = [];
    for (const name of names) files.push(await adopt(join(written, name), join(dirname(build.output), name), outputs));
    await outputs.commit({
      last: build.output,
      remove: () => formerSiblings(build.output, [...targets, ...inputs]),
    });
    return { files, measurements: [], notes: [] };
  } finally {
    await outputs.abort();
    rmSync(folder, { recursive: true, force: true });
  }
}

const failed = (loader: string, what: string, cause?: unknown): IgvmError =>
  new IgvmError('EXTERNAL_LOADER_FAILED', `the loader ${what}`, { file: loader }, { cause });

function runLoader(build: ExternalBuild, resources: string, output: string): Promise<void> {
  const args = ['manifest', '--manifest', build.manifest, '--resources', resources, '--output', output];
  if (build.debugValidation === true) args.push('--debug-validation');
  if (build.disableSecureAvic === true) args.push('--disable-secure-avic');
  if (build.confidentialDebug === true) args.push('--confidential-debug');
  return new Promise((done, fail) => {
    const child = spawn(build.loader, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => build.message?.(text));
    }
    child.on('error', (error) => fail(failed(build.loader, `cannot be started: ${error.message}`, error)));
    child.on('close', (code, signal) => {
      if (code === 0) done();
      else fail(failed(build.loader, signal === null ? `has failed with exit code ${code}` : `was ended by ${signal}`));
    });
  });
}

async function adopt(from: string, to: string, outputs: OutputSet): Promise<BuiltFile> {
  const source = openFileSource(from);
  try {
    const file = outputs.add(to);
    for (let offset = 0; offset < source.size; offset += COPY_SIZE) {
      const bytes = new Uint8Array(Math.min(COPY_SIZE, source.size - offset));
      source.read(offset, bytes);
      await file.write(offset, bytes);
    }
    return { kind: KINDS[extname(to)] ?? 'image', path: to, size: source.size };
  } finally {
    source.close();
  }
}
