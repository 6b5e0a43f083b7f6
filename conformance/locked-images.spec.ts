/**
 * For each isolated image of the suite, changes one header, register, region, document or platform at a time and corrects the
 * checksum. `verify` has to fail and name the change. `npm test` tries some changes of each image, evenly spread;
 * with NX_IGVM_ALL_CHANGES=1 it tries all of them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IGVMFILEGEN } from '../src/cli/programs';
import { IgvmError } from '../src/errors/igvm-error';
import { readImage, writeImage } from '../src/files/igvm-image';
import { type IgvmFile, PLATFORM_TYPE } from '../src/igvm/model';
import { readLock } from '../src/lock/lock-file';
import { updateLock } from '../src/lock/update-lock';
import { mismatchText, verifyImage, verifyText } from '../src/lock/verify-image';
import { conformanceCases, placeCase, runProgram } from './cases';
import { type HeaderPlace, headersOf, withByte, withoutHeader } from './image-changes';
import { makeInputs } from './make-inputs';

const MOST_CHANGES = process.env['NX_IGVM_ALL_CHANGES'] === undefined ? 10 : Number.POSITIVE_INFINITY;

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-gate-'));
const inputs = join(folder, 'inputs');
beforeAll(() => makeInputs(inputs));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Isolated images: those for which a build writes documents. */
const isolated = conformanceCases().filter(({ sha256 }) =>
  Object.keys(sha256 ?? {}).some((name) => name.endsWith('.cbor')),
);

/** One change. */
interface Change {
  what: string;
  file: string;
  bytes: () => Buffer | Promise<Buffer>;
  /** The text that the failure has to contain. */
  named: RegExp;
}

/** Header types by number, with their names in failures. The reader refers to a refused header by its kind or offset. */
const NAMED: Record<number, RegExp> = {
  0x1: /platform|highestVtl|sharedGpaBoundary|in the image|in the lock/,
  0x101: /policy|attributes|debug/,
  0x102: /relocatableRegion/,
  0x103: /pageTableRelocation/,
  0x104: /CoRIM/,
  0x301: /parameters/,
  0x303: /parameters/,
  0x304: /VP \d/,
  0x305: /requiredMemory/,
};
const PAGE_DATA = 0x302;
const VP_CONTEXT = 0x304;
const CORIM = 0x104;
const namedBy = (type: number): RegExp => NAMED[type] ?? (type > 0x305 ? /parameters/ : /./);

const headerChanges = (image: Buffer, file: string): Change[] =>
  headersOf(image)
    .filter(({ type }) => type !== PAGE_DATA)
    .flatMap((header): Change[] => {
      const name = `header 0x${header.type.toString(16)} at ${header.at}`;
      const named = namedBy(header.type);
      const words = Array.from({ length: Math.ceil(header.length / 4) }, (_, word) => header.at + 4 * word);
      return [
        ...words.map((at) => ({
          what: `${name}, byte ${at - header.at}`,
          file,
          bytes: () => withByte(image, at, 1),
          named,
        })),
        // A file without its areas is refused. Without its platform, the other headers apply to nothing.
        { what: `${name}, gone`, file, bytes: () => withoutHeader(image, header), named: /./ },
      ];
    });

/** Fields of IGVM_VHS_PAGE_DATA: GPA (8), mask (4), file offset (4), flags (4), type (2), reserved (2). */
const PAGE = { gpa: 0, fileOffset: 12, flags: 16, dataType: 20 } as const;

/** The first page of each region: the fields of its header, and the first and last byte of its contents. */
function regionChanges(image: Buffer, file: string, lock: string): Change[] {
  const pages = new Map<string, HeaderPlace[]>();
  for (const header of headersOf(image)) {
    if (header.type !== PAGE_DATA) continue;
    const gpa = `0x${image.readBigUInt64LE(header.at + PAGE.gpa).toString(16)}`;
    pages.set(gpa, [...(pages.get(gpa) ?? []), header]);
  }
  const platforms = Object.entries(readLock(lock).platforms);
  return platforms.flatMap(([platform, { regions }]) =>
    regions.flatMap(({ gpa, size, tag, kind }): Change[] => {
      const end = `0x${(BigInt(gpa) + BigInt(size)).toString(16)}`;
      return (pages.get(gpa) ?? []).flatMap((header): Change[] => {
        const what = `${platform} region ${tag ?? kind} ${gpa}`;
        const offset = image.readUInt32LE(header.at + PAGE.fileOffset);
        const named = new RegExp(`${gpa}\\b|-${end}|overlapping pages|VBS measures`);
        const field = (at: number, flip: number) => ({
          file,
          bytes: () => withByte(image, header.at + at, flip),
          named,
        });
        return [
          { what: `${what}, flag of 2 MiB`, ...field(PAGE.flags, 1) },
          { what: `${what}, flag of unmeasured`, ...field(PAGE.flags, 2) },
          { what: `${what}, type`, ...field(PAGE.dataType, 1) },
          { what: `${what}, address`, ...field(PAGE.gpa + 5, 0x40) },
          { what: `${what}, first page gone`, file, bytes: () => withoutHeader(image, header), named },
          ...(offset === 0
            ? []
            : [0, 4095].map((byte) => ({
                what: `${what}, byte ${byte}`,
                file,
                bytes: () => withByte(image, offset + byte, 1),
                // Pages with equal contents share their data, so the failure may name another region.
                named: /other contents|VP \d|initial data/,
              }))),
        ];
      });
    }),
  );
}

/** Each word of each register context. IGVM_VHS_VP_CONTEXT: GPA (8), mask (4), file offset (4), VP (2). */
const registerChanges = (image: Buffer, file: string): Change[] =>
  headersOf(image)
    .filter(({ type }) => type === VP_CONTEXT)
    .flatMap((header) => {
      const offset = image.readUInt32LE(header.at + 12);
      const size = Math.min(4096, image.length - offset);
      return Array.from({ length: Math.floor(size / 8) }, (_, word): Change => {
        const at = offset + 8 * word;
        // A VBS context is shorter than a page, so other contents follow it.
        const named = /VP \d|other contents|register|initial data|CoRIM/;
        return { what: `register word ${word} at ${header.at}`, file, bytes: () => withByte(image, at, 1), named };
      });
    });

function documentChanges(image: Buffer, file: string, cwd: string): Change[] {
  const beside = readdirSync(cwd).filter((name) => /^out-.*\.(json|cbor|idblock)$/.test(name));
  const changes = beside.flatMap((name) => {
    const bytes = readFileSync(join(cwd, name));
    const named = new RegExp(name.replaceAll('.', '\\.'));
    const flips = Array.from(bytes, (_, at): Change => {
      return { what: `${name}, byte ${at}`, file: name, bytes: () => flipped(bytes, at), named };
    });
    const twice = bytes.toString().replace('"series":[', '"series":[{},');
    const duplicate = bytes.toString().replace('{"environment"', '{"series":[],"environment"');
    const forged = name.endsWith('.json') ? [twice, duplicate, `${bytes.toString()} `] : [];
    return [
      ...flips,
      ...forged.map((text) => ({ what: `${name} forged`, file: name, bytes: () => Buffer.from(text), named })),
    ];
  });
  // IGVM_VHS_CORIM_DATA: mask (4), file offset (4), size (4).
  for (const { type, at } of headersOf(image)) {
    if (type !== CORIM) continue;
    const [offset, size] = [image.readUInt32LE(at + 4), image.readUInt32LE(at + 8)];
    for (let byte = 0; byte < size; byte++) {
      const bytes = () => withByte(image, offset + byte, 1);
      changes.push({ what: `CoRIM in the image, byte ${byte}`, file, bytes, named: /CoRIM in the image|svn/ });
    }
  }
  return changes;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] as number) ^ 1;
  return changed;
}

/** Other sets of platforms: with one more of each kind that the format allows, and with one less. */
function platformChanges(file: IgvmFile, name: string, path: string): Change[] {
  const written = async (changed: IgvmFile): Promise<Buffer> => {
    const other = `${path}.other`;
    await writeImage(changed, other);
    const bytes = readFileSync(other);
    rmSync(other);
    return bytes;
  };
  const present = file.platforms.map(({ platformType }) => platformType);
  const types = Object.values(PLATFORM_TYPE).filter((type) => !present.includes(type) && type !== PLATFORM_TYPE.CCA);
  const more = types.map((platformType): Change => {
    const header = { platformType, compatibilityMask: 0x100, highestVtl: 0, platformVersion: 1, sharedGpaBoundary: 0n };
    const guest = file.directives.filter(({ type }) => type === 'pageData').slice(0, 1);
    const directives = guest.map((each) => ({ ...each, compatibilityMask: 0x100 }) as (typeof guest)[number]);
    const changed = {
      ...file,
      version: platformType === PLATFORM_TYPE.NATIVE ? (2 as const) : file.version,
      platforms: [...file.platforms, header],
      directives: [...file.directives, ...directives],
    };
    const named = /in the image, but not in the lock|guest policy/;
    return { what: `platform ${platformType} added`, file: name, bytes: () => written(changed), named };
  });
  return more;
}

/** The error of verify, as the command shows it; undefined if the image passes. */
async function failureOf(image: string, lock: string): Promise<string | undefined> {
  try {
    const report = await verifyImage({ image, lock });
    return report.differences.length === 0 ? undefined : `${verifyText(report)}\n${mismatchText(report, 'the lock')}`;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return error.format();
  }
}

let tried = 0;
afterAll(() => {
  // Logs the number of changes. The minimum is that of a single image.
  expect(tried).toBeGreaterThan(20);
  process.stdout.write(`${tried} changes of ${isolated.length} isolated images were refused\n`);
});

it.each(isolated)(
  'every tested change of $name is refused',
  async ({ name, args }) => {
    const cwd = join(folder, name);
    placeCase(name, cwd, inputs);
    const build = ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm', ...args];
    expect(await runProgram(IGVMFILEGEN, build, cwd)).toMatchObject({ exitCode: 0 });
    const path = join(cwd, 'out.igvm');
    const lock = join(cwd, 'igvm.lock.json');
    await updateLock(path, lock, 'out.igvm', { allowDebug: true });
    expect(await failureOf(path, lock)).toBeUndefined();

    const image = readFileSync(path);
    const kinds = [
      headerChanges(image, 'out.igvm'),
      registerChanges(image, 'out.igvm'),
      regionChanges(image, 'out.igvm', lock),
      documentChanges(image, 'out.igvm', cwd),
      platformChanges(readImage(image), 'out.igvm', path),
    ];
    for (const changes of kinds) {
      // Evenly spread, starting with the first.
      const step = Math.max(1, changes.length / (MOST_CHANGES / kinds.length));
      for (let at = 0; at < changes.length; at += step) await refused(changes[Math.floor(at)] as Change, cwd, lock);
    }
    rmSync(cwd, { recursive: true });
  },
  30 * 60_000,
);

async function refused({ what, file, bytes, named }: Change, cwd: string, lock: string): Promise<void> {
  const target = join(cwd, file);
  const original = readFileSync(target);
  writeFileSync(target, await bytes());
  try {
    const failure = await failureOf(join(cwd, 'out.igvm'), lock);
    expect({ what, failure }).toEqual({ what, failure: expect.any(String) });
    const isReaders = /\[(IGVM_|MEASUREMENT_|PAGES_OVERLAP)/.test(failure ?? '');
    if (!isReaders) expect({ what, failure }).toEqual({ what, failure: expect.stringMatching(named) });
    tried++;
  } finally {
    writeFileSync(target, original);
  }
}
