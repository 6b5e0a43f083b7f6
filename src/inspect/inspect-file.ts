import type { IgvmFile } from '../igvm/model';
import { printable } from '../errors/printable';
import { ovmfMeasured, regionNames, ukiFacts } from '../image/ovmf-facts';
import { checkNotInputs, createOutputSet, textChunks } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { dump, dumpJson, dumpText } from '../igvm/dump';
import { describeVpContext } from '../vp-context/decode';
import { describePage, type PageLock } from './described-page';
import { inspectPage } from './page';

/** The format of the output: for people, for programs, or as a page for a browser. */
export type InspectFormat = 'text' | 'json' | 'html';

/** The image to show, and the form and place of the output. */
export interface InspectRequest {
  /** Path of an image, or of a firmware DLL with one inside. */
  image: string;
  format: InspectFormat;
  /** The image's name on the page. */
  name: string;
  /** A lock to compare the image with, for the page. */
  lock?: PageLock;
  /** How the page and messages name a path. Default: as given. */
  display?: (path: string) => string;
  /** Path of the file to write. Without it, `write` gets the text. */
  output?: string;
  write: (text: string) => void;
}

/** The default path of the page about an image. */
export const pagePath = (image: string): string => `${image.replace(/\.(igvm|dll|bin)$/i, '')}.html`;

/**
 * Shows the contents of an image. Only the page reads the whole image, for its digests. The map file beside the image
 * (`IMAGE.map`), if there is one, names the regions on the page.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with
 *   the file's path; LOCK_MISSING, LOCK_INVALID
 */
export async function inspectImage(request: InspectRequest): Promise<void> {
  const { image, output, write } = request;
  if (output === undefined) {
    await inspectFile(request, (pieces) => {
      for (const chunk of textChunks(pieces)) write(chunk);
    });
    return;
  }
  checkNotInputs([output], [image, ...(request.lock === undefined ? [] : [request.lock.path])]);
  const outputs = createOutputSet();
  try {
    const file = outputs.add(output);
    let size = 0;
    await inspectFile(request, async (pieces) => {
      for (const chunk of textChunks(pieces)) {
        const bytes = Buffer.from(chunk);
        await file.write(size, bytes);
        size += bytes.length;
      }
    });
    await outputs.commit();
  } finally {
    await outputs.abort();
  }
}

/** The text of a dump. For an OVMF image, facts about its programs follow. */
function* withMeasured(text: Iterable<string>, file: IgvmFile): Generator<string> {
  yield* text;
  const measured = ovmfMeasured(file);
  if (measured !== undefined) yield `\nOVMF: ${measured}\n`;
  for (const [what, value] of ukiFacts(file)) yield `${printable(`${what}: ${value}`)}\n`;
}

async function inspectFile(
  { image, format, name, lock, display }: Omit<InspectRequest, 'output' | 'write'>,
  write: (pieces: Iterable<string>) => void | Promise<void>,
): Promise<void> {
  await withImage(image, async ({ file, source }) => {
    if (format === 'html') {
      const described = await describePage({ file, source }, { image, map: regionNames(image, file), lock, display });
      await write([inspectPage({ file, source, name, described })]);
      return;
    }
    const contents = dump(file, source, (context) => describeVpContext(context, file.arch));
    await write(format === 'json' ? dumpJson(contents) : withMeasured(dumpText(contents), file));
  });
}
