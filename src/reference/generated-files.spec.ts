import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_CODES } from '../errors/codes';
import { parseInitrd } from '../initrd/load-initrd';
import { AREAS, generatedFiles } from './generated-files';
import type { JsonSchema } from './describe-schema';

const ROOT = join(__dirname, '..', '..');
const files = generatedFiles(ROOT);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('the generated files', () => {
  it.each(Object.keys(files))('%s is up to date (if not: npm run generate)', (path) => {
    if (path.endsWith('.json')) expect(JSON.parse(read(path))).toEqual(JSON.parse(files[path]!));
    else expect(read(path)).toBe(files[path]);
  });

  it('are the only files in their folders', () => {
    const present = ['schemas', 'docs/executors', 'docs/generators'].flatMap((folder) =>
      readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`),
    );
    expect(present.filter((path) => !Object.hasOwn(files, path))).toEqual([]);
  });
});

describe('the reference', () => {
  it('lists every error code', () => {
    expect(AREAS.flatMap(([, codes]) => Object.keys(codes)).sort()).toEqual(Object.keys(ERROR_CODES).sort());
  });

  it('shows a valid initrd.json, and `{}` is also valid', () => {
    const [, example] = /```json\n([^`]*)```/.exec(files['docs/initrd.md']!)!;
    expect(parseInitrd(Buffer.from(example!), '/a/initrd.json')).toMatchObject({
      folder: '/a/rootfs',
      compression: 'zstd',
      symlinks: { '/bin/sh': 'busybox' },
      warnings: [],
    });
    expect(parseInitrd(Buffer.from('{}'), '/a/initrd.json')).toMatchObject({ folder: '/a/rootfs', warnings: [] });
  });

  it('describes every key of the manifest, with its limits', () => {
    const page = files['docs/manifest.md']!;
    const undescribed = page.split('\n').filter((line) => line.startsWith('| `') && line.endsWith('|  |'));
    expect(undescribed).toEqual([]);
    expect(page).toContain('| `policy` | whole number, 0 to 2^64 - 1 | required |');
    expect(page).toContain('| `boot_data` | `"vmm"`, `"embedded"` | `"vmm"` |');
    expect(page).toContain('## `guest_configs[].image.openhcl.product_policy.sivm`');
  });
});

describe('the JSON Schema of the manifest', () => {
  const schema = JSON.parse(files['schemas/igvm.schema.json']!) as JsonSchema;

  it('marks unknown keys', () => {
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties!['guest_configs']!.items!.additionalProperties).toBe(false);
  });

  it('has the limits of numbers that become bigints', () => {
    const guest = schema.properties!['guest_configs']!.items!;
    expect(guest.properties!['guest_svn']).toMatchObject({ type: 'integer', minimum: 0, maximum: 4294967295 });
    expect(guest.properties!['max_vtl']!.enum).toEqual([0, 2]);
  });
});
