/** Reads archives in tests. cpio-newc.ts describes the format. */

export interface ReadMember {
  path: string;
  serial: number;
  /** File type and permissions. */
  mode: number;
  owner: number;
  group: number;
  links: number;
  time: number;
  content: Buffer;
}

/** All members of an archive except its trailer. */
export function cpioMembers(archive: Buffer): ReadMember[] {
  const members: ReadMember[] = [];
  for (let at = 0; ; ) {
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    if (archive.toString('latin1', at, at + 6) !== '070701') throw new Error(`no member begins at ${at}`);
    const [serial, mode, owner, group, links, time, size] = [0, 1, 2, 3, 4, 5, 6].map(field) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const nameEnd = at + 110 + field(11);
    const path = archive.toString('utf8', at + 110, nameEnd - 1);
    if (path === 'TRAILER!!!') return members;
    const start = Math.ceil(nameEnd / 4) * 4;
    members.push({ path, serial, mode, owner, group, links, time, content: archive.subarray(start, start + size) });
    at = Math.ceil((start + size) / 4) * 4;
  }
}
