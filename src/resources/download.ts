/** A download to a file with the right digest, continued after interruptions. */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { IgvmError } from '../errors/igvm-error';
import { errnoOf, unwritable } from '../files/file-failure';
import { claimTempPath, releaseTempPath } from '../files/temp-file';
import { KeptDownload } from './download-folder';
import { type HttpAnswer, type HttpClient, Interruption, openHttpClient, StaleStart } from './http-answer';
import { shownUrl } from './resource-reference';

/** The default limit in bytes: more than any kernel, initrd or package with one has. */
export const DOWNLOAD_LIMIT = 2 ** 32;

/** The number of interruptions that end a download: in a row, and in total. */
const MOST_IN_A_ROW = 5;
const MOST_IN_ALL = 100;

/** Milliseconds before the second attempt. The time doubles with each further one. */
const FIRST_WAIT = 500;

export interface TransferOptions {
  /** The most bytes. Default: {@link DOWNLOAD_LIMIT}. */
  limit?: number;
  /** Called as a download progresses. `total` is the size that the server states. */
  progress?: (url: string, done: number, total: number | undefined) => void;
  /** The number of interruptions in a row that ends a download. */
  attempts?: number;
  /** Milliseconds before the second attempt. */
  wait?: number;
  /** Milliseconds for which a server may send nothing. */
  patience?: number;
}

/**
 * Downloads a file with a known digest, unless it is in the folder already. Continues an earlier incomplete download.
 * @param root the folder for downloads
 * @throws IgvmError DOWNLOAD_FAILED, DOWNLOAD_REFUSED, RESOURCE_DIGEST, FILE_UNWRITABLE
 */
export async function downloadPinned(
  root: string,
  url: URL,
  sha256: string,
  options: TransferOptions = {},
): Promise<KeptDownload> {
  const kept = new KeptDownload(join(root, sha256));
  if (kept.isWhole) return kept;
  await kept.alone(async () => {
    // Another process may have downloaded it meanwhile.
    if (kept.isWhole) return;
    const transfer = new Transfer(url, kept.part, options);
    const facts = await readFacts(kept, url);
    try {
      const digest = await transfer.run(facts.from, facts.validator, {
        keep: (validator) => writeFacts(kept, url, validator),
        isRight: (actual) => actual === sha256,
      });
      if (digest !== sha256) throw wrongDigest(url, digest, sha256, transfer.encodingNote);
      await renamed(kept.part, kept.file);
      await removePart(kept);
    } catch (error) {
      // An interrupted download is continued by the next run. A wrong file is useless.
      if (error instanceof IgvmError && ['RESOURCE_DIGEST', 'DOWNLOAD_REFUSED'].includes(error.code)) {
        await removePart(kept);
      }
      throw error;
    }
  });
  return kept;
}

async function removePart({ part, partFacts }: KeptDownload): Promise<void> {
  for (const path of [part, partFacts]) await rm(path, { force: true });
}

const wrongDigest = (url: URL, actual: string, wanted: string, note: string): IgvmError =>
  new IgvmError('RESOURCE_DIGEST', `${shownUrl(url)} has the SHA-256 ${actual}, not ${wanted}${note}`);

/**
 * Downloads a file with an unknown digest, and stores it under the digest that it has.
 * @throws IgvmError DOWNLOAD_FAILED, DOWNLOAD_REFUSED, FILE_UNWRITABLE
 */
export async function downloadAny(
  root: string,
  url: URL,
  options: TransferOptions = {},
): Promise<{ kept: KeptDownload; sha256: string }> {
  new KeptDownload(root).make();
  const temp = claimTempPath(join(root, 'download'));
  try {
    const sha256 = await new Transfer(url, temp, options).run(0, undefined, {
      keep: async () => undefined,
      isRight: () => true,
    });
    const kept = new KeptDownload(join(root, sha256));
    kept.make();
    await renamed(temp, kept.file);
    return { kept, sha256 };
  } finally {
    await rm(temp, { force: true });
    releaseTempPath(temp);
  }
}

async function renamed(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    throw unwritable(to, error);
  }
}

interface PartFacts {
  /** The number of bytes downloaded so far. */
  from: number;
  /** The server's validator for the file: an ETag or a date. */
  validator?: string;
}

/** Bytes from another URL are not continued, because its server may have another file. */
async function readFacts(kept: KeptDownload, url: URL): Promise<PartFacts> {
  try {
    const { size } = await stat(kept.part);
    const facts = JSON.parse(await readFile(kept.partFacts, 'utf8')) as { from?: unknown; validator?: unknown };
    if (facts.from !== placeOf(url)) return { from: 0 };
    return { from: size, ...(typeof facts.validator === 'string' ? { validator: facts.validator } : {}) };
  } catch {
    return { from: 0 };
  }
}

async function writeFacts(kept: KeptDownload, url: URL, validator: string | undefined): Promise<void> {
  try {
    await writeFile(kept.partFacts, JSON.stringify({ from: placeOf(url), validator }));
  } catch (error) {
    throw unwritable(kept.partFacts, error);
  }
}

/** A URL in a form that may be stored on disk: without a password. */
const placeOf = (url: URL): string => createHash('sha256').update(url.href).digest('hex');

interface TransferChecks {
  /** Stores the server's validator before the first byte of the file is written. */
  keep: (validator: string | undefined) => Promise<void>;
  /** Whether a digest is the expected one. */
  isRight: (sha256: string) => boolean;
}

/** The transfer of one file. */
class Transfer {
  private readonly limit: number;
  private hash: Hash = createHash('sha256');
  /** The number of bytes in the file and in the hash. */
  private done = 0;
  private encoding: string | undefined;
  private inARow = 0;
  private inAll = 0;

  constructor(
    private readonly url: URL,
    private readonly path: string,
    private readonly options: TransferOptions,
  ) {
    this.limit = options.limit ?? DOWNLOAD_LIMIT;
  }

  /** A possible reason for a wrong digest. */
  get encodingNote(): string {
    return this.encoding === undefined
      ? ''
      : `; the server sent it with the encoding "${this.encoding}" without being asked`;
  }

  /**
   * @param from the number of bytes already in the file
   * @returns the SHA-256 of the file in hexadecimal
   */
  async run(from: number, validator: string | undefined, checks: TransferChecks): Promise<string> {
    const client = openHttpClient(this.options.patience);
    try {
      const file = await this.openAt(from);
      try {
        // The file may be complete, if a process was killed at the end.
        if (this.done > 0 && checks.isRight(this.hash.copy().digest('hex'))) return this.hash.digest('hex');
        const isJoined = await this.fill(client, file, validator, checks);
        const digest = this.hash.copy().digest('hex');
        if (checks.isRight(digest) || !isJoined) return digest;
        // If the server sends no validator, the pieces may be of two different files.
        await this.restart(file);
        await this.fill(client, file, undefined, checks, true);
        return this.hash.digest('hex');
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof Interruption) throw new IgvmError('DOWNLOAD_FAILED', error.message, {}, { cause: error });
      throw error;
    } finally {
      await client.close();
    }
  }

  /** Reads the bytes that are in the file already, for the hash. */
  private async openAt(from: number): Promise<FileHandle> {
    let file: FileHandle;
    try {
      file = await open(this.path, from === 0 ? 'w+' : 'r+');
    } catch (error) {
      throw unwritable(this.path, error);
    }
    try {
      const chunk = Buffer.allocUnsafe(2 ** 20);
      while (this.done < from) {
        const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, from - this.done), this.done);
        if (bytesRead === 0) break;
        this.hash.update(chunk.subarray(0, bytesRead));
        this.done += bytesRead;
      }
      return file;
    } catch (error) {
      await file.close();
      throw unwritable(this.path, error);
    }
  }

  private async restart(file: FileHandle): Promise<void> {
    await file.truncate(0);
    this.done = 0;
    this.hash = createHash('sha256');
  }

  /**
   * Sends requests until the file is complete.
   * @param fromStart whether to begin again after an interruption
   * @returns whether the file was assembled from several responses
   */
  private async fill(
    client: HttpClient,
    file: FileHandle,
    known: string | undefined,
    { keep }: TransferChecks,
    fromStart = false,
  ): Promise<boolean> {
    let validator = known;
    let isJoined = false;
    for (;;) {
      const before = this.done;
      try {
        const answer = await client.ask({
          url: this.url,
          from: before,
          ...(validator === undefined ? {} : { validator }),
        });
        if (answer.from === 0) {
          await this.restart(file);
          validator = answer.validator;
          await keep(validator);
        }
        isJoined = answer.from > 0;
        await this.write(file, answer);
        return isJoined;
      } catch (error) {
        if (!(error instanceof Interruption)) throw error;
        await this.recover(error, file, before, fromStart);
        if (error instanceof StaleStart) validator = undefined;
      }
    }
  }

  /** @throws the interruption if there have been too many */
  private async recover(error: Interruption, file: FileHandle, before: number, fromStart: boolean): Promise<void> {
    this.inARow = this.done > before ? 1 : this.inARow + 1;
    this.inAll++;
    if (this.inARow >= (this.options.attempts ?? MOST_IN_A_ROW) || this.inAll >= MOST_IN_ALL) throw error;
    if (fromStart || error instanceof StaleStart) await this.restart(file);
    if (!(error instanceof StaleStart)) {
      await setTimeout((this.options.wait ?? FIRST_WAIT) * 2 ** (this.inARow - 1));
    }
  }

  private async write(file: FileHandle, answer: HttpAnswer): Promise<void> {
    const { size, body, encoding } = answer;
    this.encoding = encoding;
    try {
      if (size !== undefined) this.checkLimit(size);
      this.tell(size);
      for await (const chunk of body) {
        this.checkLimit(this.done + chunk.length);
        await this.writeChunk(file, chunk);
        this.tell(size);
      }
    } catch (error) {
      answer.close();
      throw error;
    }
    if (size !== undefined && this.done < size) {
      throw new Interruption(`${shownUrl(this.url)} ended after ${this.done} of ${size} bytes`);
    }
  }

  private async writeChunk(file: FileHandle, chunk: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, written, chunk.length - written, this.done + written);
        written += bytesWritten;
      }
    } catch (error) {
      throw errnoOf(error) === undefined ? error : unwritable(this.path, error);
    }
    this.hash.update(chunk);
    this.done += chunk.length;
  }

  private checkLimit(size: number): void {
    if (size <= this.limit) return;
    throw new IgvmError(
      'DOWNLOAD_REFUSED',
      `${shownUrl(this.url)} has more than ${this.limit} bytes, the most that a download may have`,
    );
  }

  private tell(total: number | undefined): void {
    this.options.progress?.(shownUrl(this.url), this.done, total);
  }
}
