import { IgvmError } from '../errors/igvm-error';
import { sha256OfSource } from '../files/sha256';
import type { IgvmFile } from '../igvm/model';
import { putIn } from '../loader/ovmf/put-in';
import { type ByteSource, regionSource } from '../memory/byte-source';
import { guestMemory } from '../regions/guest-memory';
import { isUki, readUki, ukiText } from '../uki/uki';
import { FactList, type Facts } from './guest-facts';

/**
 * What the sections of the UKIs in an image of OVMF hold: a text, or how many bytes with which SHA-256. Nothing for an image without, and for
 * one that is damaged: its pages are compared and shown all the same. Reads the programs.
 * @throws IgvmError FILE_CHANGED, FILE_UNREADABLE from the file's sources
 */
export function ukiFacts(file: IgvmFile): Facts {
  const list = new FactList();
  for (const { name, content } of programsIn(file)) {
    if (!isUki(content)) continue;
    const uki = readable(() => readUki(content));
    for (const section of uki?.sections ?? []) {
      const text = ukiText(content, section);
      const part = regionSource(content, section.offset, section.size);
      const value = text === undefined || text === '' ? `${section.size} bytes, SHA-256 ${sha256OfSource(part)}` : text;
      list.add(`${name === 'shim' ? 'shim ' : ''}UKI ${section.name}`, value);
    }
    if (uki !== undefined && uki.profiles > 0) list.add('UKI further profiles', String(uki.profiles));
  }
  return list.facts;
}

/** The programs that an update put in, as they are in memory. */
function programsIn(file: IgvmFile): { name: 'shim' | 'kernel'; content: ByteSource }[] {
  const mask = file.platforms[0]?.compatibilityMask ?? 0;
  const items = readable(() => putIn(file).items) ?? [];
  return items.flatMap(({ name, address, size }) =>
    name === 'shim' || name === 'kernel' ? [{ name, content: guestMemory(file, mask, address, size) }] : [],
  );
}

/** What can't be told of an image isn't told; that its file can't be read is an error. */
function readable<T>(tell: () => T): T | undefined {
  try {
    return tell();
  } catch (error) {
    if (error instanceof IgvmError && !error.code.startsWith('FILE_')) return undefined;
    throw error;
  }
}
