import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { needing } from '../boot/needing.fixture';
import { IgvmError } from '../errors/igvm-error';
import { archiveFile } from './archive-entries';
import { readMember } from './archive-member';

const KERNEL = randomBytes(700_001);
let root: string;

function run(program: string, args: string[], cwd = root): void {
  const { status, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}

/** A folder with a kernel, and links to it. */
function fill(folder: string): void {
  for (const path of ['boot', 'lib/modules']) mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, 'boot/vmlinuz-6.1'), KERNEL);
  writeFileSync(join(folder, 'boot/config-6.1'), 'CONFIG_X=y');
  writeFileSync(join(folder, 'lib/empty'), '');
  symlinkSync('../boot/./vmlinuz-6.1', join(folder, 'lib/kernel'));
  symlinkSync('/lib/kernel', join(folder, 'boot/vmlinuz'));
  symlinkSync('loop', join(folder, 'boot/loop'));
  symlinkSync('../../../../etc/passwd', join(folder, 'lib/out'));
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'igvm-member-'));
  fill(join(root, 'tree'));
});
afterAll(() => rmSync(root, { recursive: true }));

async function read(archive: string, member: string, limit = 2 ** 30): Promise<Buffer> {
  const fd = openSync(join(root, archive), 'r');
  const chunks: Uint8Array[] = [];
  try {
    await readMember(
      archiveFile(fd),
      member,
      { display: 'http://host/a', limit },
      { write: async (chunk) => void chunks.push(Buffer.from(chunk)) },
    );
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(chunks);
}

async function failure(archive: string, member = 'boot/vmlinuz-6.1', limit?: number): Promise<string> {
  const error: unknown = await read(archive, member, limit).catch((caught: unknown) => caught);
  if (!(error instanceof IgvmError)) throw error;
  const { code, message } = error;
  return `${code}: ${message}`;
}

const RPM_SPEC = `
Name: kernel
Version: 1
Release: 1
Summary: a kernel
License: none
BuildArch: noarch
%define _build_id_links none
%define __os_install_post %{nil}
%define _binary_payload PAYLOAD
%description
%files
%defattr(-,root,root)
/boot
/lib
`;

/** Functions that pack the folder `tree`, each with the programs that it needs. */
const MAKERS: [name: string, programs: string[], make: (name: string) => void][] = [
  ['plain.tar', ['tar'], (name) => run('tar', ['-cf', name, '-C', 'tree', '.'])],
  ['no-dots.tar', ['tar'], (name) => run('tar', ['-cf', name, '-C', 'tree', 'boot', 'lib'])],
  ['gnu.tar', ['tar'], (name) => run('tar', ['--format=gnu', '-cf', name, '-C', 'tree', '.'])],
  ['pax.tar', ['tar'], (name) => run('tar', ['--format=pax', '-cf', name, '-C', 'tree', '.'])],
  ['a.tar.gz', ['tar', 'gzip'], (name) => run('tar', ['-czf', name, '-C', 'tree', '.'])],
  ['a.tar.xz', ['tar', 'xz'], (name) => run('tar', ['-cJf', name, '-C', 'tree', '.'])],
  ['a.tar.zst', ['tar', 'zstd'], (name) => run('tar', ['--zstd', '-cf', name, '-C', 'tree', '.'])],
  ...['gzip', 'xz', 'zstd', 'none'].map((form): [string, string[], (name: string) => void] => [
    `${form}.deb`,
    ['dpkg-deb'],
    (name) => {
      run('cp', ['-a', 'tree', 'deb']);
      mkdirSync(join(root, 'deb/DEBIAN'));
      writeFileSync(
        join(root, 'deb/DEBIAN/control'),
        'Package: kernel\nVersion: 1\nArchitecture: all\nMaintainer: me <me@localhost>\nDescription: a kernel\n',
      );
      run('dpkg-deb', ['-b', `-Z${form}`, 'deb', name]);
      rmSync(join(root, 'deb'), { recursive: true });
    },
  ]),
  ...['w9.gzdio', 'w3.zstdio'].map((payload): [string, string[], (name: string) => void] => [
    `${payload}.rpm`,
    ['rpmbuild'],
    (name) => {
      writeFileSync(join(root, 'kernel.spec'), RPM_SPEC.replace('PAYLOAD', payload));
      run('rpmbuild', [
        '-bb',
        '--define',
        `_topdir ${root}/rpm`,
        '--define',
        `_sourcedir ${root}`,
        '--buildroot',
        `${root}/tree-rpm`,
        '--noclean',
        '--noprep',
        '--define',
        '__spec_install_pre true',
        'kernel.spec',
      ]);
      run('cp', ['rpm/RPMS/noarch/kernel-1-1.noarch.rpm', name]);
    },
  ]),
  ['stored.zip', ['zip'], (name) => run('zip', ['-q', '-r', '-0', '-y', `../${name}`, '.'], join(root, 'tree'))],
  ['a.zip', ['zip'], (name) => run('zip', ['-q', '-r', '-y', `../${name}`, '.'], join(root, 'tree'))],
];

describe.each(MAKERS)('a member of %s', (name, programs, make) => {
  const { it } = needing(...programs);

  it('is read by its path, and through links', async () => {
    const isRpm = name.endsWith('.rpm');
    if (isRpm) {
      // RPM packs no link that points to itself.
      rmSync(join(root, 'tree-rpm'), { recursive: true, force: true });
      run('cp', ['-a', 'tree', 'tree-rpm']);
      rmSync(join(root, 'tree-rpm/boot/loop'));
    }
    make(name);
    for (const member of [
      'boot/vmlinuz-6.1',
      './boot/vmlinuz-6.1',
      '/boot//vmlinuz-6.1'.replace('//', '/'),
      'lib/kernel',
      'boot/vmlinuz',
    ]) {
      expect((await read(name, member)).equals(KERNEL)).toBe(true);
    }
    expect(await read(name, 'lib/empty')).toHaveLength(0);
    expect(await failure(name, 'boot/vmlinuz-6.2')).toBe(
      'ARCHIVE_MEMBER: http://host/a has no file "boot/vmlinuz-6.2"; it has "boot/vmlinuz-6.1", "boot/vmlinuz"',
    );
    if (!isRpm)
      expect(await failure(name, 'boot/loop')).toContain(
        'ARCHIVE_MEMBER: http://host/a: "boot/loop" leads from link to link',
      );
    expect(await failure(name, 'lib/out')).toContain('ARCHIVE_MEMBER: http://host/a has no file "lib/out"');
    expect(await failure(name, 'boot')).toContain('ARCHIVE_INVALID: http://host/a has "boot" as a folder');
    expect(await failure(name, 'boot/vmlinuz-6.1', KERNEL.length - 1)).toMatch(
      /^ARCHIVE_INVALID: .* more than 700000 bytes/,
    );
  });

  it('is not read from a truncated or damaged archive', async () => {
    const whole = readFileSync(join(root, name));
    for (const size of [1, 40, 300, 5000, Math.floor(whole.length / 2)]) {
      writeFileSync(join(root, 'cut'), whole.subarray(0, size));
      expect(await failure('cut')).toMatch(/^ARCHIVE_INVALID/);
    }
  });
});

const { it } = needing('tar', 'xz', 'bzip2');

describe('an archive', () => {
  it('with a hard link contains the file under both names', async () => {
    mkdirSync(join(root, 'hard'));
    writeFileSync(join(root, 'hard/a'), KERNEL);
    linkSync(join(root, 'hard/a'), join(root, 'hard/b'));
    run('tar', ['-cf', 'hard.tar', '-C', 'hard', 'a', 'b']);
    for (const name of ['a', 'b']) expect((await read('hard.tar', name)).equals(KERNEL)).toBe(true);
  });

  it('that contains a file twice is refused, because it is ambiguous', async () => {
    run('tar', ['-cf', 'twice.tar', '-C', 'tree', 'boot/config-6.1']);
    run('tar', ['-rf', 'twice.tar', '-C', 'tree', './boot/config-6.1']);
    expect(await failure('twice.tar', 'boot/config-6.1')).toBe(
      'ARCHIVE_INVALID: http://host/a has "boot/config-6.1" twice',
    );
  });

  it('with a sparse file refuses that file, and reads the others', async () => {
    mkdirSync(join(root, 'sparse'));
    run('truncate', ['-s', '1M', 'sparse/holes']);
    writeFileSync(join(root, 'sparse/whole'), 'x');
    for (const format of ['gnu', 'pax']) {
      run('tar', [`--format=${format}`, '-S', '-cf', 'sparse.tar', '-C', 'sparse', '.']);
      expect(await failure('sparse.tar', 'holes')).toMatch(/^ARCHIVE_(INVALID|MEMBER)/);
    }
  });

  it('that unpacks to more than the limit is refused', async () => {
    mkdirSync(join(root, 'bomb'));
    run('truncate', ['-s', '300M', 'bomb/zeros']);
    writeFileSync(join(root, 'bomb/small'), 'x');
    run('tar', ['-czf', 'bomb.tgz', '-C', 'bomb', 'zeros', 'small']);
    expect(await failure('bomb.tgz', 'small', 2 ** 24)).toBe(
      'ARCHIVE_INVALID: http://host/a unpacks to more than 16777216 bytes, which is the limit',
    );
  });

  it.each([
    [
      'with an unsupported compression',
      ['tar', '-cjf', 'x', '-C', 'tree', '.'],
      'is compressed with bzip2, which is not supported: unpack it with `bzip2 -dc`',
    ],
    [
      'with a filter for machine code',
      ['sh', '-c', 'tar -cf - -C tree . | xz --x86 --lzma2 > x'],
      'it has a filter for machine code (BCJ)',
    ],
    [
      'with a large dictionary',
      ['sh', '-c', 'tar -cf - -C tree . | xz --lzma2=dict=128MiB > x'],
      'its dictionary is larger than 64 MiB; `xz -dc` may be able to',
    ],
    [
      'that is another file',
      ['cp', 'tree/boot/vmlinuz-6.1', 'x'],
      'is not an archive that can be read (tar, also with gzip, xz or zstd, .deb, .rpm and .zip)',
    ],
  ])('%s is refused, with the reason', async (_, [program = '', ...args], message) => {
    run(program, args);
    expect(await failure('x')).toContain(`ARCHIVE_INVALID: http://host/a`);
    expect(await failure('x')).toContain(message);
  });

  it('with arbitrary changes is read or refused, and fails in no other way', async () => {
    const seeds = readdirSync(root).filter((name) => /\.(deb|rpm|zip|tar)$/.test(name));
    let state = 7;
    const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
    for (const name of [...seeds, ...seeds]) {
      const bytes = readFileSync(join(root, name)).subarray(0, 20_000);
      for (let change = 0; change < 20; change++) bytes[random(2000)] = random(256);
      writeFileSync(join(root, 'changed'), bytes);
      expect(
        await read('changed', 'boot/config-6.1', 2 ** 24).then(
          () => 'read',
          (error: IgvmError) => error.code,
        ),
      ).toMatch(/^(read|ARCHIVE_INVALID|ARCHIVE_MEMBER)$/);
    }
  });

  it('that is empty, or empty and compressed, is refused', async () => {
    writeFileSync(join(root, 'empty'), '');
    expect(await failure('empty')).toMatch(/^ARCHIVE_/);
    writeFileSync(join(root, 'empty'), gzipSync(''));
    expect(await failure('empty')).toMatch(/^ARCHIVE_/);
  });
});
