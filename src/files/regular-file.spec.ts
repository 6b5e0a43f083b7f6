import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leadsOut, NotRegularError, openRegularFile, readRegularFile } from './regular-file';

let folder: string;
let path: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'regular-file-'));
  path = join(folder, 'file');
  fs.writeFileSync(path, 'abcdef');
});
afterEach(() => {
  jest.restoreAllMocks();
  fs.rmSync(folder, { recursive: true, force: true });
});

const read = (limit = 100, within?: string) =>
  readRegularFile(path, within === undefined ? { limit } : { limit, within });
/** How many descriptors this process has open. */
const openFiles = () => (fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0);

describe('a regular file', () => {
  it('is read completely, even through a link or when it is empty', () => {
    expect(read().toString()).toBe('abcdef');
    fs.symlinkSync('file', join(folder, 'link'));
    expect(readRegularFile(join(folder, 'link'), { limit: 6 }).toString()).toBe('abcdef');
    fs.writeFileSync(path, '');
    expect(read().length).toBe(0);
  });

  it('has a size limit', () => {
    expect(() => read(5)).toThrow('it has 6 bytes, and the limit is 5');
  });

  it('has the size that it had when it was opened', () => {
    const { fstatSync } = fs;
    const claim = (size: bigint) =>
      jest
        .spyOn(fs, 'fstatSync')
        .mockImplementation(((fd: number) =>
          Object.assign(fstatSync(fd, { bigint: true }), { size })) as unknown as typeof fstatSync);
    claim(3n);
    expect(() => read()).toThrow('its size changed while it was read');
    claim(9n);
    expect(() => read()).toThrow('its size changed while it was read');
    claim(0n);
    expect(() => openRegularFile(path)).toThrow(/a special file of the system/);
    claim(2n ** 47n);
    expect(() => openRegularFile(path)).toThrow(/140737488355328 bytes, more than any image can hold/);
  });

  it('passes on system errors for missing files', () => {
    expect(() => readRegularFile(join(folder, 'no'), { limit: 1 })).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });
});

const posix = process.platform === 'win32' ? describe.skip : describe;
posix('anything but a regular file', () => {
  const refused = (what: string, reason: RegExp) => {
    const before = openFiles();
    expect(() => openRegularFile(what)).toThrow(NotRegularError);
    expect(() => openRegularFile(what)).toThrow(reason);
    expect(() => readRegularFile(what, { limit: 2 ** 30 })).toThrow(reason);
    expect(openFiles()).toBe(before);
  };

  it('is refused at once: folders, devices, pipes', () => {
    refused(folder, /it is a directory/);
    refused('/dev/zero', /it is a device, not a regular file/);
    refused('/dev/null', /it is a device, not a regular file/);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    refused(pipe, /it is a named pipe, not a regular file/);
  });

  it('is refused through a link, too', () => {
    fs.symlinkSync('/dev/zero', join(folder, 'link'));
    refused(join(folder, 'link'), /it is a device/);
  });

  it('is refused at once: sockets', async () => {
    const socket = join(folder, 'socket');
    const server = createServer();
    await new Promise<void>((done) => server.listen(socket, done));
    refused(socket, /it is a socket/);
    await new Promise((done) => server.close(done));
  });

  it('is still refused when it replaced a file after the first check', () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const stats = fs.statSync(path, { bigint: true });
    jest.spyOn(fs, 'statSync').mockReturnValue(stats as unknown as fs.Stats);
    const before = openFiles();
    expect(() => openRegularFile(pipe)).toThrow(/it is a named pipe/);
    expect(openFiles()).toBe(before);
  });

  (fs.existsSync('/proc/self/status') ? it : it.skip)('is refused at once: files that the kernel generates', () => {
    refused('/proc/self/status', /a special file of the system/);
    if (fs.existsSync('/proc/kcore')) expect(() => openRegularFile('/proc/kcore')).toThrow();
  });
});

describe('a path in a folder', () => {
  const links = (target: string, name: string) => fs.symlinkSync(target, join(folder, 'in', name));
  beforeEach(() => fs.mkdirSync(join(folder, 'in', 'deep'), { recursive: true }));

  it('leads out of it through a link, even if that link is a parent folder', () => {
    links('../file', 'out');
    links('..', 'up');
    links('deep', 'stays');
    fs.writeFileSync(join(folder, 'in', 'deep', 'file'), 'x');
    const within = join(folder, 'in');
    expect(['out', 'up/file', 'stays/file', 'deep/file'].map((name) => leadsOut(within, join(within, name)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(() => readRegularFile(join(within, 'out'), { limit: 9, within })).toThrow(/leads out of the workspace/);
    expect(readRegularFile(join(within, 'stays/file'), { limit: 9, within }).toString()).toBe('x');
  });

  it('may start with dots, and the folder itself may be reached through a link', () => {
    fs.writeFileSync(join(folder, 'in', '..file'), 'x');
    fs.symlinkSync('in', join(folder, 'link'));
    expect(leadsOut(join(folder, 'link'), join(folder, 'link', '..file'))).toBe(false);
  });

  it('does not count as leading out if it is outside as written', () => {
    expect(leadsOut(join(folder, 'in'), path)).toBe(false);
  });
});
