import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { loadManifest } from './load-manifest';
import { locateResources } from '../resources/resolve-resources';

const CONFORMANCE = join(__dirname, '..', '..', 'conformance');
const CASES = join(CONFORMANCE, 'cases');
const names = readdirSync(CASES);
let work: string;

/** Empty files stand in for the inputs, because these tests don't read them. */
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'igvm-conformance-'));
  mkdirSync(join(work, 'inputs'));
  for (const line of readFileSync(join(CONFORMANCE, 'inputs.sha256'), 'utf8').trim().split('\n')) {
    writeFileSync(join(work, 'inputs', line.split(/\s+/)[1]!), '');
  }
});
afterAll(() => rmSync(work, { recursive: true }));

function read(name: string): IgvmError | undefined {
  const folder = join(CASES, name);
  const resourcesFile = join(work, `${name}.json`);
  const resources = readFileSync(join(folder, 'resources.json'), 'utf8');
  writeFileSync(resourcesFile, resources.replaceAll('@INPUTS@', join(work, 'inputs')));
  const { args } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { args: string[] };
  try {
    const loaded = loadManifest(join(folder, 'manifest.json'), {
      disableSecureAvic: args.includes('--disable-secure-avic'),
      confidentialDebug: args.includes('--confidential-debug'),
    });
    locateResources(loaded, { resourcesFile });
    return undefined;
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
}

/** Refusals that the manifest and its resources decide. A loader decides others, such as `err-kernel-*`. */
const DECIDED_HERE =
  /^err-(bad-arch|cmdline|dup|initrd-file|manifest|max-vtl|missing|no-guests|openhcl-(files|mem|shim-missing|aarch64-(no-vtl0|sidecar))|policy|resource|sld-(?!cmdline)|snp|svn|uefi-(aarch64-igvm|file|resources)|unknown|vbs)/;

describe('the conformance cases', () => {
  it.each(names.filter((name) => DECIDED_HERE.test(name)))(
    '%s is rejected with file, line, column and JSON path',
    (name) => {
      expect(read(name)?.where).toEqual({
        file: expect.stringMatching(/\.json$/),
        line: expect.any(Number),
        column: expect.any(Number),
        jsonPath: expect.any(Array),
      });
    },
  );

  it.each(names.filter((name) => !name.startsWith('err-')))('%s is accepted', (name) => {
    expect(read(name)).toBeUndefined();
  });
});
