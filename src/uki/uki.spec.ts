import { bytesSource, readAll } from '../memory/byte-source';
import { peSectionNames, readPeHeaders } from './pe';
import { peFile, ukiFile, type WrittenSection } from './uki.fixture';
import { isUki, readUki, ukiSection, ukiText } from './uki';

const KERNEL = Buffer.alloc(1000, 1);
const INITRD = Buffer.alloc(700, 2);
const OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n';

const uki = (more: Record<string, string> = {}): Buffer =>
  ukiFile({ '.osrel': OS_RELEASE, '.cmdline': 'console=ttyS0', '.linux': KERNEL, '.initrd': INITRD, ...more });
const contentOf = (file: Uint8Array, name: '.linux' | '.initrd'): Uint8Array => {
  const source = bytesSource(file);
  return readAll(ukiSection(source, readUki(source), name)!, 1 << 20);
};
const textsOf = (file: Uint8Array): (string | undefined)[] => {
  const source = bytesSource(file);
  return readUki(source).sections.map((section) => ukiText(source, section));
};

describe('a UKI', () => {
  it('is distinguished from other files', () => {
    expect(isUki(bytesSource(uki()))).toBe(true);
    for (const other of [peFile([{ name: '.text', content: 'x' }]), Buffer.from('MZ'), Buffer.alloc(0), INITRD]) {
      expect(isUki(bytesSource(other))).toBe(false);
    }
  });

  it('has the sections of the specification, in the order of the file, without padding', () => {
    const file = uki({ '.uname': '6.1.0-56-amd64', '.mine': 'unknown' });
    const { sections, profiles } = readUki(bytesSource(file));
    expect(sections.map(({ name, size }) => [name, size])).toEqual([
      ['.osrel', OS_RELEASE.length],
      ['.cmdline', 13],
      ['.linux', 1000],
      ['.initrd', 700],
      ['.uname', 14],
    ]);
    expect(profiles).toBe(0);
    expect(Buffer.compare(contentOf(file, '.linux'), KERNEL)).toBe(0);
    expect(Buffer.compare(contentOf(file, '.initrd'), INITRD)).toBe(0);
  });

  it('may state more memory for a kernel than it has bytes, or no size in memory', () => {
    const sections = (virtualSize: number): WrittenSection[] => [
      { name: '.linux', content: Buffer.alloc(1024, 1), header: { virtualSize } },
    ];
    for (const size of [0, 1024, 0x100_0000]) {
      expect(readUki(bytesSource(peFile(sections(size)))).sections[0]!.size).toBe(1024);
    }
  });

  it('may have profiles, of which only the first one has an effect', () => {
    const file = peFile([
      { name: '.cmdline', content: 'quiet' },
      { name: '.linux', content: KERNEL },
      { name: '.profile', content: 'ID=main' },
      { name: '.profile', content: 'ID=rescue' },
      { name: '.cmdline', content: 'single' },
    ]);
    const { sections, profiles } = readUki(bytesSource(file));
    expect(sections.map(({ name }) => name)).toEqual(['.cmdline', '.linux']);
    expect(profiles).toBe(1);
    expect(textsOf(file)).toEqual(['quiet', undefined]);
  });

  it('has a first profile that replaces sections of the base, or is the whole UKI', () => {
    const over = peFile([
      { name: '.cmdline', content: 'quiet' },
      { name: '.linux', content: KERNEL },
      { name: '.profile', content: 'ID=main' },
      { name: '.cmdline', content: 'loud' },
    ]);
    expect(textsOf(over)).toEqual([undefined, 'loud']);
    // As written by ukify --profile.
    const alone = peFile([
      { name: '.profile', content: 'ID=main' },
      { name: '.cmdline', content: 'a' },
      { name: '.linux', content: KERNEL },
    ]);
    expect(readUki(bytesSource(alone))).toMatchObject({
      sections: [{ name: '.cmdline' }, { name: '.linux' }],
      profiles: 0,
    });
  });

  it.each([
    ['PRETTY_NAME', OS_RELEASE, 'Debian GNU/Linux 12 (bookworm)'],
    ['NAME', "NAME='My System'\nID=mine", 'My System'],
    ['ID', 'ID=mine\n', 'mine'],
    ['nothing', 'VERSION=1\n', ''],
  ])('names its system by %s', (_, release, name) => {
    expect(textsOf(ukiFile({ '.osrel': release, '.linux': KERNEL }))[0]).toBe(name);
  });

  it('has a command line that ends at a NUL, as dracut writes it', () => {
    expect(textsOf(ukiFile({ '.cmdline': ' a b \n\0\0', '.linux': KERNEL }))[0]).toBe('a b');
    expect(textsOf(ukiFile({ '.cmdline': 'x'.repeat(70_000), '.linux': KERNEL }))[0]).toBeUndefined();
  });
});

describe('a malicious UKI', () => {
  const hostile = (header: WrittenSection['header'], name = '.linux'): Buffer =>
    peFile([
      { name: '.initrd', content: INITRD },
      { name, content: KERNEL, header },
    ]);

  it.each<[string, Buffer, RegExp]>([
    [
      'a section after the end of the file',
      hostile({ rawStart: 0xffff_fe00 }),
      /its section \.linux lies outside the file/,
    ],
    [
      'a section across the end of the file',
      hostile({ rawSize: 0xffff_ffff, virtualSize: 0xffff_ffff }),
      /outside the file/,
    ],
    [
      'overlapping sections',
      hostile({ rawStart: 0x200 }),
      /its sections \.(linux|initrd) and \.(linux|initrd) overlap/,
    ],
    [
      'two kernels',
      peFile([
        { name: '.linux', content: KERNEL },
        { name: '.linux', content: INITRD },
      ]),
      /it has the section \.linux twice/,
    ],
    ['sections without room for their headers', withCount(uki(), 0xffff), /section headers lie outside the file/],
    ['a truncated header', uki().subarray(0, 0x100), /optional header lies outside|PE headers lie outside/],
    ['headers outside the file', withOffset(uki(), 0xffff_fff0), /PE headers lie outside the file/],
    ['a 32-bit header', withMagic(uki(), 0x10b), /not a 64-bit program/],
  ])('is refused if it has %s', (_, file, message) => {
    expect(() => readUki(bytesSource(file))).toThrow(
      expect.objectContaining({ code: 'EFI_DATA_INVALID', message: expect.stringMatching(message) as string }),
    );
  });

  it('may have several sections for hardware, and empty sections', () => {
    const file = peFile([
      { name: '.dtbauto', content: 'a' },
      { name: '.dtbauto', content: 'b' },
      { name: '.initrd', content: '', header: { rawStart: 0xffff_ffff } },
      { name: '.linux', content: KERNEL },
    ]);
    expect(readUki(bytesSource(file)).sections.map(({ name, size }) => [name, size])).toEqual([
      ['.dtbauto', 1],
      ['.dtbauto', 1],
      ['.initrd', 0],
      ['.linux', 1000],
    ]);
    expect(contentOf(file, '.initrd')).toHaveLength(0);
    const text = peFile([
      { name: '.cmdline', content: '', header: { rawStart: 0xffff_ffff } },
      { name: '.linux', content: KERNEL },
    ]);
    expect(textsOf(text)).toEqual(['', undefined]);
  });

  it('never makes the check for a UKI fail', () => {
    const file = uki();
    for (let length = 0; length < 0x400; length += 7) {
      expect(() => peSectionNames(bytesSource(file.subarray(0, length)))).not.toThrow();
    }
    expect(isUki(bytesSource(withCount(file, 0xffff)))).toBe(true);
    expect(isUki(bytesSource(withOffset(file, 0xffff_ffff)))).toBe(false);
  });

  it('is only read up to the end of its headers', () => {
    let read = 0;
    const file = uki();
    const source = {
      size: file.length,
      read(at: number, target: Uint8Array): void {
        read += target.length;
        target.set(file.subarray(at, at + target.length));
      },
    };
    readPeHeaders(source);
    expect(read).toBeLessThan(1000);
  });
});

function withCount(file: Buffer, count: number): Buffer {
  file.writeUInt16LE(count, 0x86);
  return file;
}

function withOffset(file: Buffer, offset: number): Buffer {
  file.writeUInt32LE(offset, 0x3c);
  return file;
}

function withMagic(file: Buffer, magic: number): Buffer {
  file.writeUInt16LE(magic, 0x98);
  return file;
}
