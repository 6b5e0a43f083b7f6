import type { Manifest } from './model';
import { IgvmError } from '../errors/igvm-error';
import { appendToCommandLine, commandLineConflict, commandLineText } from './command-line';

const textOf = (bytes: string | Uint8Array): string => commandLineText(Buffer.from(bytes), 'root.txt');

describe('text for a command line', () => {
  it.each([
    ['a line with its line break', 'roothash=12\n'],
    ['blanks and line breaks around it', '\r\n\t roothash=12 \r\n\n'],
    ['no line break', 'roothash=12'],
  ])('is taken from %s', (_, bytes) => {
    expect(textOf(bytes)).toBe('roothash=12');
  });

  it('keeps blanks and closed quotations inside', () => {
    const table = 'dm-mod.create="vroot,,,ro,0 100 verity 1 /dev/vda"  root=/dev/dm-0';
    expect(textOf(`${table}\n`)).toBe(table);
  });

  it.each([
    ['nothing', '', /is empty/, undefined],
    ['blanks alone', ' \n\t\n', /is empty/, undefined],
    ['a NUL', 'quiet\0init=/bin/sh', /a NUL/, 5],
    ['a NUL at the end', 'quiet\0', /a NUL/, 5],
    ['two lines', 'roothash=1\nroothash=2\n', /more than one line/, 10],
    ['two lines of an old Mac', 'a\rb', /more than one line/, 1],
    ['a tab inside', 'a\tb', /byte 0x09/, 1],
    ['an escape sequence', 'a\x1b[2Jb', /byte 0x1b/, 1],
    ['a letter that is not ASCII', 'grüße', /byte 0xc3/, 2],
    ['bytes that are not text', Buffer.from([0x61, 0xff]), /byte 0xff/, 1],
    ['DEL', 'a\x7fb', /byte 0x7f/, 1],
    ['a quotation that is not closed', 'dm-mod.create="vroot', /unclosed/, undefined],
  ])('is not %s', (_, bytes, message, offset) => {
    const failure = (() => {
      try {
        return textOf(bytes);
      } catch (error) {
        return error as IgvmError;
      }
    })();
    expect(failure).toBeInstanceOf(IgvmError);
    expect(failure).toMatchObject({ code: 'COMMAND_LINE_TEXT', message: expect.stringMatching(message) });
    expect((failure as IgvmError).where).toEqual({ file: 'root.txt', ...(offset === undefined ? {} : { offset }) });
  });

  it.each([
    ['at the end', 'console=ttyS0', 'console=ttyS0 x=1'],
    ['as the whole line', '', 'x=1'],
    ['with one space', 'quiet ', 'quiet x=1'],
    ['before the words for the first program', 'quiet -- /bin/app --port 80', 'quiet x=1 -- /bin/app --port 80'],
    ['before them if the line begins with them', '-- /bin/app', 'x=1 -- /bin/app'],
    ['before the -- if no words follow it', 'quiet --', 'quiet x=1 --'],
    ['after options that begin alike', 'quiet a--b --c d--', 'quiet a--b --c d-- x=1'],
    ['after a quotation with the same characters', 'a="b -- c" quiet', 'a="b -- c" quiet x=1'],
  ])('is appended %s', (_, line, expected) => {
    expect(appendToCommandLine(line, 'x=1')).toBe(expected);
  });

  it('is not appended inside an open quotation of the command line', () => {
    expect(() => appendToCommandLine('dm-mod.create="vroot', 'x=1')).toThrow(/unclosed/);
  });
});

it('is refused for images of firmware, which would leave it out', () => {
  const guest = { image: { ovmf: { boot_mode: 'real16', parameters: false } }, max_vtl: 0 };
  const manifest = { guest_arch: 'x64', guest_configs: [guest] } as unknown as Manifest;
  expect(commandLineConflict(manifest, manifest.guest_configs[0]!)).toEqual([
    ['image', 'ovmf'],
    expect.stringContaining('so the resource "linux_command_line" would not be in the image'),
  ]);
});
