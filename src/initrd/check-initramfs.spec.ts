import { gzipSync } from 'node:zlib';
import { type ByteSource, bytesSource } from '../memory/byte-source';
import { cpioHeader, type CpioMember, cpioPadding, cpioTrailer } from './cpio-newc';
import { otherThanInitrd, startsNothing } from './check-initramfs';

/** An archive of files with these contents. A path without content is a folder. */
function archive(files: Readonly<Record<string, string | undefined>>, more: Partial<CpioMember> = {}): Buffer {
  const parts = Object.entries(files).flatMap(([path, content], index) => {
    const data = Buffer.from(content ?? '');
    const type = content === undefined ? 'directory' : 'file';
    const member = { path, type, permissions: 0o755, size: data.length, ...more } as const;
    return [cpioHeader(member, index + 1), data, cpioPadding(data.length)];
  });
  const members = Buffer.concat(parts);
  return Buffer.concat([members, cpioTrailer(members.length)]);
}

const hasNothing = (bytes: Uint8Array, commandLine = 'console=ttyS0'): boolean =>
  startsNothing(bytesSource(bytes), commandLine);

const WITHOUT = archive({ bin: undefined, 'bin/busybox': 'x'.repeat(20_000), etc: undefined, 'etc/init': 'no' });

describe('startsNothing', () => {
  it.each([
    ['has no init at its top', WITHOUT],
    ['is empty', archive({})],
    ['has an init that is not executable', archive({ init: '#!/bin/sh' }, { permissions: 0o644 })],
    ['has a folder in place of init', archive({ init: undefined })],
    ['consists of several archives', Buffer.concat([archive({ early: 'microcode' }), Buffer.alloc(4096), WITHOUT])],
    ['has no trailer', WITHOUT.subarray(0, WITHOUT.lastIndexOf('070701'))],
  ])('is true for an initramfs that %s', (_, bytes) => {
    expect(hasNothing(bytes)).toBe(true);
  });

  it.each([
    ['init', archive({ bin: undefined, init: '#!/bin/sh' })],
    ['./init', archive({ '.': undefined, './init': '#!/bin/sh' })],
    ['/init', archive({ '/init': '#!/bin/sh' })],
    ['a link as init', archive({ init: 'bin/busybox' }, { type: 'link', permissions: 0o777 })],
    [
      'init in a later archive',
      Buffer.concat([archive({ early: 'microcode' }), Buffer.alloc(512), archive({ init: '#!/bin/sh' })]),
    ],
  ])('is false for an initramfs with %s', (_, bytes) => {
    expect(hasNothing(bytes)).toBe(false);
  });

  it.each(['rdinit=/bin/busybox', 'quiet root=/dev/vda1', 'init=/bin/sh', '"rdinit=/a b"', 'rdinit="/a b"'])(
    'is false if the command line is %s',
    (commandLine) => {
      expect(hasNothing(WITHOUT, commandLine)).toBe(false);
    },
  );

  it.each(['', 'initrd=/x', 'x="a rdinit=/b"', 'console=ttyS0 -- rdinit=/bin/sh'])(
    'is true if the command line is %j, which names nothing to start',
    (commandLine) => {
      expect(hasNothing(WITHOUT, commandLine)).toBe(true);
    },
  );

  it.each([
    ['is compressed', gzipSync(WITHOUT)],
    ['is followed by a compressed archive', Buffer.concat([WITHOUT, gzipSync(WITHOUT)])],
    ['is truncated', WITHOUT.subarray(0, 500)],
    ['is not an archive', Buffer.alloc(10_000, 7)],
    ['consists of zeros', Buffer.alloc(10_000)],
    ['is empty', Buffer.alloc(0)],
    [
      'has a mode that is not a number',
      Buffer.from(WITHOUT.toString('latin1').replace('000041ED', 'x00041ED'), 'latin1'),
    ],
    ['has a name without an end', Buffer.from(`070701${'0'.repeat(88)}FFFFFFFF${'0'.repeat(8)}`)],
  ])('is false for a file that %s, because its contents are unknown', (_, bytes) => {
    expect(hasNothing(bytes)).toBe(false);
  });

  describe('reads only headers:', () => {
    /** The numbers of bytes of all reads. */
    let reads: number[];
    beforeEach(() => void (reads = []));
    const counting = (bytes: Uint8Array): ByteSource => {
      const inner = bytesSource(bytes);
      return { size: inner.size, read: (offset, target) => (reads.push(target.length), inner.read(offset, target)) };
    };
    const bytesRead = (): number => reads.reduce((sum, length) => sum + length, 0);
    const small = Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`f${index}`, 'x']));

    it('skips the contents of large files', () => {
      const large = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, name.repeat(2_500_000)]));
      expect(startsNothing(counting(archive(large)), '')).toBe(true);
      expect(bytesRead()).toBeLessThan(50_000);
    });

    it('stops at an init that comes early', () => {
      expect(startsNothing(counting(archive({ init: '#!', ...small })), '')).toBe(false);
      expect(bytesRead()).toBeLessThan(10_000);
    });

    it('needs few reads for the headers of many small files', () => {
      const bytes = archive({ ...small, init: '#!' });
      expect(startsNothing(counting(bytes), '')).toBe(false);
      expect(reads.length).toBeLessThan(bytes.length / 2 ** 16 + 5);
      expect(bytesRead()).toBeLessThan(bytes.length + 2 ** 16);
    });

    it('returns to small reads after a large file', () => {
      const large = { a: 'a'.repeat(5_000_000), b: 'b'.repeat(5_000_000) };
      startsNothing(counting(archive(small)), '');
      const before = bytesRead();
      reads = [];
      startsNothing(counting(archive({ ...small, ...large })), '');
      expect(bytesRead()).toBeLessThan(before + 50_000);
    });
  });
});

describe('otherThanInitrd', () => {
  it.each([
    ['\x7fELF', 'a'.repeat(100), /ELF/],
    ['MZ', 'a'.repeat(1000), /EFI program/],
    ['#!', '/bin/sh', /script/],
  ])('recognises a file that begins with %j', (mark, rest, what) => {
    expect(otherThanInitrd(bytesSource(Buffer.from(mark + rest, 'latin1')))).toMatch(what);
  });

  it('recognises a kernel, even with an EFI stub', () => {
    const kernel = Buffer.alloc(4096);
    kernel.write('MZ');
    kernel.write('HdrS', 0x202);
    expect(otherThanInitrd(bytesSource(kernel))).toBe('a kernel (bzImage)');
  });

  it.each([
    ['an archive', archive({})],
    ['a compressed file', gzipSync('x')],
    ['an empty file', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(4096)],
    ['unknown data', Buffer.from('noise')],
  ])('returns undefined for %s, which may be an initrd', (_, bytes) => {
    expect(otherThanInitrd(bytesSource(bytes))).toBeUndefined();
  });
});
