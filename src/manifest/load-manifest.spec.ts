import { textOf } from '../errors/json-path.fixture';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type * as z from 'zod/mini';
import { loadManifest, parseManifest } from './load-manifest';
import {
  direct,
  directSnp,
  failure,
  guest,
  type Json,
  linux,
  manifest,
  openhcl,
  parse,
  policy,
  snp,
} from './manifest.fixture';
import type { manifestSchema } from './manifest-schema';
import type { Manifest } from './model';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Flat<T> = T extends bigint ? T : T extends object ? { [Key in keyof T]: Flat<T[Key]> } : T;
/** Doesn't compile when the schema and the types that loaders use differ. */
const schemaMatchesModel: Same<Flat<z.output<typeof manifestSchema>>, Flat<Manifest>> = true;

describe('a manifest', () => {
  it('has the types that loaders use', () => expect(schemaMatchesModel).toBe(true));

  it('gets the default of every key that it leaves out', () => {
    const { guest_configs: guests } = parse(
      manifest([guest(openhcl(), { vbs: { enable_debug: true } }, { max_vtl: 2 }), guest('none', snp())]),
    ).manifest;
    expect(guests[0]!.image).toEqual({
      openhcl: { command_line: '', static_command_line: false, memory_page_count: 16384n, uefi: false },
    });
    expect(guests[1]!.isolation_type).toMatchObject({ snp: { secure_avic: 'disabled' } });
    expect(parse(manifest([guest(linux())])).manifest.guest_configs[0]!.image).toEqual({
      linux: { use_initrd: false, command_line: 'quiet', boot_data: 'vmm' },
    });
  });

  it('keeps a u64 exact', () => {
    const text = JSON.stringify(manifest([guest('none', snp())])).replace('196608', '18446744073709551615');
    expect(parse(text).manifest.guest_configs[0]!.isolation_type).toMatchObject({
      snp: { policy: 18446744073709551615n },
    });
  });

  it('accepts null for optional keys only', () => {
    const nulls = { memory_page_base: null, linux: null, product_policy: null };
    expect(parse(manifest([guest(openhcl(nulls), 'none', { max_vtl: 2 })])).warnings).toEqual([]);
    for (const key of ['command_line', 'uefi', 'static_command_line', 'memory_page_count']) {
      expect(textOf(failure(manifest([guest(openhcl({ [key]: null }))])).where)).toBe(
        `guest_configs[0].image.openhcl.${key}`,
      );
    }
  });

  it('accepts a variant without content as a key with null, as serde does', () => {
    const document = { guest_arch: { x64: null }, guest_configs: [guest({ none: null }, { none: null })] };
    expect(parse(document).manifest).toEqual(manifest([guest('none')]));
  });

  it('may name the pattern that a boot test waits for, if that pattern can match', () => {
    const tested = (test: object): Json => manifest([guest('none')], { boot_test: test });
    expect(parse(tested({ until: '^ready$', timeout: 60 })).manifest.boot_test).toEqual({
      until: '^ready$',
      timeout: 60,
    });
    expect(textOf(failure(tested({ until: '(' })).where)).toBe('boot_test.until');
    expect(textOf(failure(tested({ timeout: 0 })).where)).toBe('boot_test.timeout');
    expect(failure(tested({ untill: 'x' })).message).toContain('until');
  });

  it('explains the keys that kata puts into manifests, and accepts them', () => {
    const keys = { processor_topology: { sockets: 1 }, vm_layout: {}, boot_layout: [] };
    const image = { snp_linux_direct: { ...(direct()['snp_linux_direct'] as Json), ...keys, pcie: true } };
    const document = manifest([guest(image, directSnp())], keys);
    const { warnings } = parse(document);
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^key "processor_topology" is ignored: .*processor_count/),
      expect.stringMatching(/^key "vm_layout" is ignored: /),
      expect.stringMatching(/^key "boot_layout" is ignored: .*map file/),
      expect.stringMatching(/^key "pcie" is ignored: .*no PCI Express/),
      ...['processor_topology', 'vm_layout', 'boot_layout'].map((key) =>
        expect.stringContaining(`"${key}" is ignored`),
      ),
    ]);
    expect(warnings.every(({ where }) => where.line !== undefined)).toBe(true);
    expect(failure(document, { strict: true }).code).toBe('MANIFEST_UNKNOWN_KEY');
  });

  it('knows the location of every value', () => {
    const loaded = parseManifest(JSON.stringify(manifest([guest('none')]), undefined, 2), 'x/igvm.json');
    expect(loaded.positionOf(['guest_configs', 0, 'image'])).toEqual({
      file: 'x/igvm.json',
      line: 8,
      column: 16,
      jsonPath: ['guest_configs', 0, 'image'],
    });
  });

  it('reads a file under the name that messages show', () => {
    const folder = mkdtempSync(join(tmpdir(), 'igvm-manifest-'));
    const path = join(folder, 'igvm.json');
    writeFileSync(path, JSON.stringify(manifest([guest('none')])));
    const loaded = loadManifest(path, { display: 'a/igvm.json' });
    expect([loaded.path, loaded.positionOf([]).file]).toEqual([path, 'a/igvm.json']);
    rmSync(folder, { recursive: true });
    expect(() => loadManifest(path)).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
  });

  it('is not read from a device, which has no end, nor from a file as large as an image', () => {
    expect(() => loadManifest('/dev/zero')).toThrow(/cannot be read: it is a device/);
    const image = join(mkdtempSync(join(tmpdir(), 'igvm-manifest-')), 'guest.igvm');
    writeFileSync(image, '');
    truncateSync(image, 2 ** 32);
    expect(() => loadManifest(image)).toThrow(/4294967296 bytes, and the limit is 262144/);
    rmSync(dirname(image), { recursive: true });
  });
});

describe('a wrong value', () => {
  it.each<[string, Json | string, string]>([
    [
      'a number with a fraction',
      JSON.stringify(manifest([guest('none')])).replace('"guest_svn":1', '"guest_svn":1.0'),
      'guest_configs[0].guest_svn',
    ],
    [
      'a number with an exponent',
      JSON.stringify(manifest([guest('none')])).replace('"guest_svn":1', '"guest_svn":1e3'),
      'guest_configs[0].guest_svn',
    ],
    [
      'minus zero',
      JSON.stringify(manifest([guest('none')])).replace('"guest_svn":1', '"guest_svn":-0'),
      'guest_configs[0].guest_svn',
    ],
    [
      'a number too large for 32 bits',
      manifest([guest('none', 'none', { guest_svn: 4294967296 })]),
      'guest_configs[0].guest_svn',
    ],
    ['a number as text', manifest([guest('none', 'none', { guest_svn: '1' })]), 'guest_configs[0].guest_svn'],
    [
      'a number too large for 64 bits',
      JSON.stringify(manifest([guest('none', snp())])).replace('196608', '18446744073709551616'),
      'guest_configs[0].isolation_type.snp.policy',
    ],
    [
      'a number too large for 8 bits',
      manifest([guest('none', snp({ shared_gpa_boundary_bits: 256 }))]),
      'guest_configs[0].isolation_type.snp.shared_gpa_boundary_bits',
    ],
    ['VTL 1', manifest([guest('none', 'none', { max_vtl: 1 })]), 'guest_configs[0].max_vtl'],
    [
      'a NUL in a command line',
      manifest([guest(linux({ command_line: 'a\0b' }))]),
      'guest_configs[0].image.linux.command_line',
    ],
    [
      'half of a surrogate pair',
      manifest([guest(linux({ command_line: '\ud800' }))]),
      'guest_configs[0].image.linux.command_line',
    ],
    [
      'text for true or false',
      manifest([guest(linux({ use_initrd: 'yes' }))]),
      'guest_configs[0].image.linux.use_initrd',
    ],
    ['no guests', manifest([]), 'guest_configs'],
    ['guests as an object', { guest_arch: 'x64', guest_configs: {} }, 'guest_configs'],
    ['an array', '[]', '$'],
    ['an unknown image', manifest([guest({ pcat: {} })]), 'guest_configs[0].image'],
    ['an image as a word', manifest([guest('uefi')]), 'guest_configs[0].image'],
    ['an empty image', manifest([guest({})]), 'guest_configs[0].image'],
    ['two images', manifest([guest({ ...linux(), ...openhcl() })]), 'guest_configs[0].image'],
    [
      'base64 without padding',
      manifest([guest(openhcl({ product_policy: policy({ custom_uefi_json: 'AA' }) }))]),
      'guest_configs[0].image.openhcl.product_policy.sivm.custom_uefi_json',
    ],
    [
      'base64 with stray bits',
      manifest([guest(openhcl({ product_policy: policy({ custom_uefi_json: 'AB==' }) }))]),
      'guest_configs[0].image.openhcl.product_policy.sivm.custom_uefi_json',
    ],
    ['a resource that is a number', manifest([guest('none')], { resources: { uefi: 5 } }), 'resources.uefi'],
    ['an empty path', manifest([guest('none')], { resources: { uefi: { path: '' } } }), 'resources.uefi.path'],
    [
      'an output without a project',
      manifest([guest('none')], { resources: { uefi: { project: '', target: 't', path: 'p' } } }),
      'resources.uefi.project',
    ],
    [
      'an output without a target',
      manifest([guest('none')], { resources: { uefi: { project: 'p', target: '', path: 'p' } } }),
      'resources.uefi.target',
    ],
    [
      'an output without path',
      manifest([guest('none')], { resources: { uefi: { project: 'p', target: 't', path: '' } } }),
      'resources.uefi.path',
    ],
    [
      'a SHA-256 of the wrong form',
      manifest([guest('none')], { resources: { uefi: { path: 'a', sha256: 'ab' } } }),
      'resources.uefi.sha256',
    ],
    [
      'an object with a length, which is not even a number, in place of a list',
      manifest([], { guest_configs: { length: [[{ toString: 1 }]] } }),
      'guest_configs',
    ],
    ['such an object in place of text', manifest([guest('none')], { name: { length: [[{ toString: 1 }]] } }), 'name'],
  ])('%s is refused, with the location', (_, document, jsonPath) => {
    const error = failure(document);
    expect([error.code, textOf(error.where)]).toEqual(['MANIFEST_INVALID', jsonPath]);
    expect(error.where).toMatchObject({ file: 'igvm.json', line: 1, column: expect.any(Number) });
  });

  it('is shown as it was written, with the expected value', () => {
    const text = JSON.stringify(manifest([guest('none')])).replace('"guest_svn":1', '"guest_svn":1.0');
    expect(failure(text).message).toBe('expected a whole number from 0 to 4294967295, found 1.0');
  });

  it.each<[string, unknown]>([
    ['an empty object', {}],
    ['an object with the key a', { a: 1 }],
    ['an object with the keys a, b, c, d', { a: 1, b: 2, c: 3, d: 4, e: 5 }],
    ['an empty array', []],
    ['an array', [1]],
    [`"${'x'.repeat(39)}…`, 'x'.repeat(50)],
    ['null', null],
  ])('is shown as %s', (shown, value) => {
    expect(failure(manifest([guest('none', 'none', { guest_svn: value })])).message).toBe(
      `expected a whole number from 0 to 4294967295, found ${shown}`,
    );
  });

  it('is not shown when it is the whole document, which then is not a manifest', () => {
    for (const text of ['"ghp_0123456789"', '271828182845904', 'true', 'null']) {
      expect(failure(text).message).toMatch(/^expected an object, found (a string|a number|true or false|null)$/);
    }
  });

  it('is reported with keys that look misspelt, and with duplicate keys', () => {
    const linuxImage = { linux: { useInitrd: true, command_line: '', boot_data: 'embedded', memorySize: 536870912 } };
    const text =
      JSON.stringify(manifest([guest(linuxImage)], { name: 'a', comment: '' })).slice(0, -1) + ',"name":"b"}';
    const error = failure(text);
    expect([error, ...error.also].map(({ message }) => message)).toEqual([
      'duplicate key "name"',
      '"use_initrd" is missing, expected true or false; is "useInitrd" a misspelling of it?',
      'unknown key "useInitrd"; did you mean "use_initrd"?',
      'unknown key "memorySize"; did you mean "memory_size"?',
    ]);
    const conflict = failure(text.replace('useInitrd', 'use_initrd').replace(',"name":"b"', ''));
    expect([conflict, ...conflict.also].map(({ message }) => message)).toEqual([
      'boot_data "embedded" needs memory_size',
      'unknown key "memorySize"; did you mean "memory_size"?',
    ]);
  });

  it('is reported together with all other errors, in the order of the file', () => {
    const error = failure({ guest_arch: 'x86', guest_configs: [guest('none', 'none', { max_vtl: 3, guest_svn: -1 })] });
    expect([error, ...error.also].map(({ where }) => textOf(where))).toEqual([
      'guest_arch',
      'guest_configs[0].guest_svn',
      'guest_configs[0].max_vtl',
    ]);
    expect(error.format().match(/docs\/manifest\.md/g)).toHaveLength(1);
  });

  it.each([
    [{ guest_arch: 'aarch46', guest_configs: [guest('none')] }, 'did you mean "aarch64"?'],
    [manifest([guest({ openhlc: {} })]), 'did you mean "openhcl"?'],
    [manifest([guest('none', 'None')]), 'did you mean "none"?'],
    [manifest([{ ...guest('none'), max_vtl: undefined, 'max-vtl': 0 }]), 'is "max-vtl" a misspelling of it?'],
  ])('is reported with the nearest known word, and no other remedy: %#', (document, hint) => {
    const lines = failure(document).format().split('\n');
    expect(lines[0]).toContain(hint);
    expect(lines.filter((line) => line.startsWith('  '))).toEqual([]);
  });
});

describe('a number in quotes', () => {
  it.each([
    [linux({ boot_data: 'embedded', memory_size: '512M' }), 'found "512M"; write 536870912, in bytes'],
    [linux({ boot_data: 'embedded', memory_size: '1 GiB' }), 'found "1 GiB"; write 1073741824, in bytes'],
    [openhcl({ memory_page_count: '512M' }), 'found "512M"; write 131072, in pages of 4 KiB'],
    [openhcl({ memory_page_count: '16384' }), 'found "16384"; write 16384, without quotes'],
    [openhcl({ memory_page_count: '0x4000' }), 'found "0x4000"; write 16384, without quotes'],
    [linux({ boot_data: 'embedded', memory_size: 'much' }), 'found "much"'],
    [linux({ boot_data: 'embedded', memory_size: 2 ** 29, processor_count: '2K' }), 'found "2K"'],
  ])('is reported with the number to write: %#', (image, message) => {
    expect(failure(manifest([guest(image)])).message).toMatch(new RegExp(`^expected a whole number .*, ${message}$`));
  });
});

describe('an unknown key', () => {
  const document = manifest([guest(openhcl({ memory_page_bse: 32768, note: 1 }))], { comment: 'x' });

  it('is a warning with its location and the nearest known key', () => {
    expect(parse(document).warnings).toEqual([
      {
        message: 'unknown key "memory_page_bse" is ignored; did you mean "memory_page_base"?',
        where: {
          file: 'igvm.json',
          line: 1,
          column: expect.any(Number),
          jsonPath: ['guest_configs', 0, 'image', 'openhcl', 'memory_page_bse'],
        },
      },
      {
        message: 'unknown key "note" is ignored',
        where: expect.objectContaining({ jsonPath: ['guest_configs', 0, 'image', 'openhcl', 'note'] }),
      },
      { message: 'unknown key "comment" is ignored', where: expect.objectContaining({ jsonPath: ['comment'] }) },
    ]);
  });

  it('may occur twice, with its contents, as nothing reads it', () => {
    const { warnings } = parse('{"x": {"a": 1, "a": 2}, "x": 3, ' + JSON.stringify(manifest([guest('none')])).slice(1));
    expect(warnings.map(({ message }) => message)).toEqual(['unknown key "x" is ignored']);
  });

  it('does not excuse a duplicate known key', () => {
    const error = failure(
      '{"x": 1, "x": 2, "guest_arch": "x64", ' + JSON.stringify(manifest([guest('none')])).slice(1),
    );
    expect([error.code, textOf(error.where)]).toEqual(['MANIFEST_DUPLICATE_KEY', 'guest_arch']);
  });

  it('is an error in strict mode', () => {
    const error = failure(document, { strict: true });
    expect([error.code, error.also.length]).toEqual(['MANIFEST_UNKNOWN_KEY', 2]);
    expect(error.message).toBe('unknown key "memory_page_bse"; did you mean "memory_page_base"?');
  });

  it.each([
    [
      'a resource',
      manifest([guest('none')], { resources: { linux_kernl: 'x' } }),
      'resources.linux_kernl',
      'linux_kernel',
    ],
    [
      'a product policy',
      manifest([guest(openhcl({ product_policy: policy({ require_secure_bot: true }) }))]),
      'guest_configs[0].image.openhcl.product_policy.sivm.require_secure_bot',
      'require_secure_boot',
    ],
  ])('of %s is always an error', (_, wrong, jsonPath, meant) => {
    const error = failure(wrong);
    expect([error.code, textOf(error.where)]).toEqual(['MANIFEST_UNKNOWN_KEY', jsonPath]);
    expect(error.message).toContain(`did you mean "${meant}"?`);
  });

  it.each([
    ['project', 'target'],
    ['target', 'project'],
  ])('is not an unknown key if it belongs to a form that lacks another key: %s without %s', (given, lacking) => {
    const error = failure(manifest([guest('none')], { resources: { uefi: { [given]: 'a', path: 'b' } } }));
    expect([error.code, textOf(error.where)]).toEqual(['MANIFEST_INVALID', `resources.uefi.${given}`]);
    expect(error.message).toBe(`"${given}" needs "${lacking}", which is missing`);
  });
});
