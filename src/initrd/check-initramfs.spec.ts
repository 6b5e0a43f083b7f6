import { gzipSync } from 'node:zlib';
import { type ByteSource, bytesSource } from '../memory/byte-source';
import { cpioHeader, type CpioMember, cpioPadding, cpioTrailer } from './cpio-newc';
import { otherThanInitrd, startsNothing } from './check-initramfs';

/** An archive of files with this content, and folders where that is undefined. */
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

const isNothing = (bytes: Uint8Array, commandLine = 'console=ttyS0'): boolean =>
  startsNothing(bytesSource(bytes), commandLine);

const WITHOUT = archive({ bin: undefined, 'bin/busybox': 'x'.repeat(20_000), etc: undefined, 'etc/init': 'no' });

describe('an initramfs with nothing to start', () => {
  it.each([
    ['has no init at its top', WITHOUT],
    ['is empty', archive({})],
    ['has an init that may not be executed', archive({ init: '#!/bin/sh' }, { permissions: 0o644 })],
    ['has a folder in the place of its init', archive({ init: undefined })],
    ['consists of several archives', Buffer.concat([archive({ early: 'microcode' }), Buffer.alloc(4096), WITHOUT])],
    ['has no end', WITHOUT.subarray(0, WITHOUT.lastIndexOf('070701'))],
  ])('%s', (_, bytes) => {
    expect(isNothing(bytes)).toBe(true);
  });

  it.each([
    ['init', archive({ bin: undefined, init: '#!/bin/sh' })],
    ['./init', archive({ '.': undefined, './init': '#!/bin/sh' })],
    ['/init', archive({ '/init': '#!/bin/sh' })],
    ['a link', archive({ init: 'bin/busybox' }, { type: 'link', permissions: 0o777 })],
    [
      'the init of a later archive',
      Buffer.concat([archive({ early: 'microcode' }), Buffer.alloc(512), archive({ init: '#!/bin/sh' })]),
    ],
  ])('is not one with %s', (_, bytes) => {
    expect(isNothing(bytes)).toBe(false);
  });

  it.each(['rdinit=/bin/busybox', 'quiet root=/dev/vda1', 'init=/bin/sh', '"rdinit=/a b"', 'rdinit="/a b"'])(
    'is not one whose command line has %s',
    (commandLine) => {
      expect(isNothing(WITHOUT, commandLine)).toBe(false);
    },
  );

  it.each(['', 'initrd=/x', 'x="a rdinit=/b"', 'console=ttyS0 -- rdinit=/bin/sh'])(
    'is one whose command line is %j',
    (commandLine) => {
      expect(isNothing(WITHOUT, commandLine)).toBe(true);
    },
  );

  it.each([
    ['is compressed', gzipSync(WITHOUT)],
    ['has a compressed archive behind it', Buffer.concat([WITHOUT, gzipSync(WITHOUT)])],
    ['is cut off', WITHOUT.subarray(0, 500)],
    ['is no archive', Buffer.alloc(10_000, 7)],
    ['is zeros', Buffer.alloc(10_000)],
    ['has no bytes', Buffer.alloc(0)],
    ['has a mode that is no number', Buffer.from(WITHOUT.toString('latin1').replace('000041ED', 'x00041ED'), 'latin1')],
    ['has a name without an end', Buffer.from(`070701${'0'.repeat(88)}FFFFFFFF${'0'.repeat(8)}`)],
  ])('is not looked for where the file %s', (_, bytes) => {
    expect(isNothing(bytes)).toBe(false);
  });

  it('is found by the headers alone, and an init before all else', () => {
    let read = 0;
    const counting = (bytes: Uint8Array): ByteSource => {
      const inner = bytesSource(bytes);
      return { size: inner.size, read: (offset, target) => ((read += target.length), inner.read(offset, target)) };
    };
    const large = archive({ a: 'x'.repeat(5_000_000), b: 'y'.repeat(5_000_000) });
    expect(startsNothing(counting(large), '')).toBe(true);
    expect(read).toBeLessThan(40_000);
    read = 0;
    const many = archive({
      init: '#!',
      ...Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`f${index}`, 'x'])),
    });
    expect(startsNothing(counting(many), '')).toBe(false);
    expect(read).toBeLessThan(10_000);
  });
});

describe('a file that is no initrd', () => {
  it.each([
    ['\x7fELF', 'a'.repeat(100), /ELF/],
    ['MZ', 'a'.repeat(1000), /EFI program/],
    ['#!', '/bin/sh', /script/],
  ])('begins with %j', (mark, rest, what) => {
    expect(otherThanInitrd(bytesSource(Buffer.from(mark + rest, 'latin1')))).toMatch(what);
  });

  it('is a kernel, also with an EFI stub', () => {
    const kernel = Buffer.alloc(4096);
    kernel.write('MZ');
    kernel.write('HdrS', 0x202);
    expect(otherThanInitrd(bytesSource(kernel))).toBe('a kernel (bzImage)');
  });

  it.each([[archive({})], [gzipSync('x')], [Buffer.alloc(0)], [Buffer.alloc(4096)], [Buffer.from('noise')]])(
    'is not told of what may be one',
    (bytes) => {
      expect(otherThanInitrd(bytesSource(bytes))).toBeUndefined();
    },
  );
});
