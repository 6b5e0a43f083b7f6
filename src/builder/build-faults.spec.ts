import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noise, PAGE } from '../../conformance/inputs/bytes';
import { makeInputs } from '../../conformance/make-inputs';
import type { ResourceName } from '../manifest/model';
import { buildImage, type BuildRequest } from './build-image';
import { failureOf, guest, KERNEL, openhcl, REQUEST_INPUTS, requestIn } from './build-request.fixture';

/** The error that a system call returns instead of doing its work; undefined if it does its work. */
const faults: {
  /** @param end position after the last byte to read */
  read?: (fd: number, end: number) => Error | undefined;
  write?: () => Error | undefined;
} = {};

jest.mock('node:fs', () => {
  const actual = jest.requireActual<typeof import('node:fs')>('node:fs');
  const { promisify } = jest.requireActual<typeof import('node:util')>('node:util');
  const readSync = (fd: number, ...args: unknown[]): number => {
    const error = faults.read?.(fd, Number(args[3]) + Number(args[2]));
    if (error !== undefined) throw error;
    return (actual.readSync as (...all: unknown[]) => number)(fd, ...args);
  };
  const write = promisify(actual.writev);
  const writev = Object.assign(() => undefined, {
    [promisify.custom]: (...args: Parameters<typeof write>) => {
      const error = faults.write?.();
      return error === undefined ? write(...args) : Promise.reject(error);
    },
  });
  return { ...actual, readSync, writev };
});

const folder = fs.mkdtempSync(join(tmpdir(), 'nx-igvm-faults-'));
const inputs = join(folder, 'inputs');
const INITRD = 'changing-initrd.bin';
const CHANGING_KERNEL = 'changing-kernel.elf';
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

let out: string;
let before: Map<string, string>;
/** Names and contents of the files in the image's folder. */
const outputs = (): Map<string, string> =>
  new Map(fs.readdirSync(out).map((name) => [name, fs.readFileSync(join(out, name), 'latin1')]));

const request = (files: Partial<Record<ResourceName, string>> = {}): BuildRequest =>
  requestIn(inputs, out, [guest(openhcl, { max_vtl: 2, isolation_type: { vbs: { enable_debug: false } } })], files);

beforeEach(async () => {
  out = fs.mkdtempSync(join(folder, 'out-'));
  makeInputs(inputs, REQUEST_INPUTS);
  fs.writeFileSync(join(inputs, INITRD), noise('a', 200 * PAGE));
  fs.copyFileSync(join(inputs, KERNEL), join(inputs, CHANGING_KERNEL));
  await buildImage(request());
  before = outputs();
});
afterEach(() => {
  delete faults.read;
  delete faults.write;
});

/** Does something once, while pages are being written. */
const midway = (action: () => void): BuildRequest['progress'] => {
  let isDone = false;
  return (done) => {
    if (isDone || done < 4) return;
    isDone = true;
    action();
  };
};

describe('a file that changes while an image is built from it', () => {
  const changing: [what: string, resource: ResourceName, file: string][] = [
    ['kernel', 'underhill_kernel', CHANGING_KERNEL],
    ['initrd', 'underhill_initrd', INITRD],
  ];
  const changes: [how: string, change: (path: string) => void][] = [
    ['became shorter', (path) => fs.truncateSync(path, 5000)],
    ['became shorter', (path) => fs.truncateSync(path, 0)],
    ['grew', (path) => fs.appendFileSync(path, 'more')],
    ['was written to', (path) => fs.writeFileSync(path, noise('b', fs.statSync(path).size))],
  ];
  const rows = changing.flatMap(([what, resource, file]) =>
    changes.map(([how, change]) => ({ what, resource, file, how, change })),
  );
  it.each(rows)('is an error when the $what $how, and the old image stays', async ({ resource, file, how, change }) => {
    const path = join(inputs, file);
    const build = buildImage({ ...request({ [resource]: file }), progress: midway(() => change(path)) });
    const error = await failureOf(build);
    expect(error).toMatchObject({ code: 'FILE_CHANGED', message: `${how} while it was being read` });
    expect(error.where.file).toContain(file);
    expect(outputs()).toEqual(before);
  });

  it('may be replaced by another file, because the opened one stays complete', async () => {
    const path = join(inputs, INITRD);
    await buildImage(request({ underhill_initrd: INITRD }));
    const complete = outputs();
    const progress = midway(() => {
      fs.writeFileSync(`${path}.new`, 'another');
      fs.renameSync(`${path}.new`, path);
    });
    await buildImage({ ...request({ underhill_initrd: INITRD }), progress });
    expect(outputs()).toEqual(complete);
  });
});

describe('a device that fails', () => {
  /** An errno, from system calls that a test lets fail. */
  const systemError = (code: string): Error => Object.assign(new Error(`${code}: as the system says`), { code });

  it('is an error in the middle of reading a file', async () => {
    const path = join(inputs, INITRD);
    const { ino } = fs.statSync(path);
    faults.read = (fd, end) => (end > 100 * PAGE && fs.fstatSync(fd).ino === ino ? systemError('EIO') : undefined);
    const error = await failureOf(buildImage(request({ underhill_initrd: INITRD })));
    expect(error).toMatchObject({ code: 'FILE_UNREADABLE' });
    expect(error.message).toContain('input/output error');
    expect(error.where.file).toContain(INITRD);
    expect(outputs()).toEqual(before);
  });

  it.each([
    ['ENOSPC', 'the disk is full'],
    ['EDQUOT', 'the disk quota is used up'],
    ['EROFS', 'the file system is read-only'],
  ])('with %s when a file is written', async (code, reason) => {
    let calls = 0;
    faults.write = () => (++calls < 3 ? undefined : systemError(code));
    const error = await failureOf(buildImage(request({ underhill_initrd: INITRD })));
    expect(error).toMatchObject({ code: 'FILE_UNWRITABLE', message: `cannot be written: ${reason}` });
    expect(outputs()).toEqual(before);
  });
});

describe('something in the way of an output', () => {
  const NAMES = ['image.igvm', 'image.igvm.map', 'image-vbs.json', 'image-vbs.cbor'];
  const kinds: [kind: string, make: (path: string) => void][] = [
    ['a directory', (path) => fs.mkdirSync(path)],
    ['a symbolic link', (path) => fs.symlinkSync(join(inputs, KERNEL), path)],
  ];
  const rows = NAMES.flatMap((name) => kinds.map(([kind, make]) => ({ name, kind, make })));
  it.each(rows)('is an error: $kind at $name', async ({ name, kind, make }) => {
    fs.rmSync(join(out, name));
    make(join(out, name));
    const kernel = fs.readFileSync(join(inputs, KERNEL));
    const error = await failureOf(buildImage(request({ underhill_initrd: INITRD })));
    expect(error).toMatchObject({ code: 'FILE_UNWRITABLE', message: `cannot be written: it is ${kind}` });
    expect(error.where.file).toBe(join(out, name));
    expect(fs.readdirSync(out).sort()).toEqual([...NAMES].sort());
    for (const other of NAMES.filter((each) => each !== name)) {
      expect(fs.readFileSync(join(out, other), 'latin1')).toBe(before.get(other));
    }
    expect(fs.readFileSync(join(inputs, KERNEL)).equals(kernel)).toBe(true);
  });

  it('is an error when a folder of the path is a file', async () => {
    const output = join(out, 'image.igvm', 'deeper', 'image.igvm');
    expect(await failureOf(buildImage({ ...request(), output }))).toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: 'cannot be written: a part of the path is not a directory',
    });
    expect(outputs()).toEqual(before);
  });
});

describe('several builds of one image at once', () => {
  it('succeed, and leave one image', async () => {
    await Promise.all(Array.from({ length: 5 }, () => buildImage(request())));
    expect(outputs()).toEqual(before);
  });
});
