import { IgvmError } from '../errors/igvm-error';

/** A part of the firmware whose version is in a TCB. */
export type TcbPart = 'fmc' | 'bootloader' | 'tee' | 'snp' | 'microcode';

/** Under AMD's arc: versions of the parts in a certificate (VCEK specification, table 8). */
const SPL = '1.3.6.1.4.1.3704.1.3.';

/** Where the byte of a part is in a TCB of 8 bytes, and the object identifier of its extension in certificates. */
interface TcbByte {
  readonly part?: TcbPart;
  readonly extension: string;
  /** Whether certificates may lack it: a byte that is reserved. */
  readonly isReserved?: true;
}

/** Family 19h (Milan, Genoa): SEV-SNP firmware ABI 1.58, TCB_VERSION. */
const ZEN3: readonly TcbByte[] = [
  { part: 'bootloader', extension: `${SPL}1` },
  { part: 'tee', extension: `${SPL}2` },
  { extension: `${SPL}4`, isReserved: true },
  { extension: `${SPL}5`, isReserved: true },
  { extension: `${SPL}6`, isReserved: true },
  { extension: `${SPL}7`, isReserved: true },
  { part: 'snp', extension: `${SPL}3` },
  { part: 'microcode', extension: `${SPL}8` },
];

/** Family 1Ah (Turin), which has a part more: the FMC. */
const ZEN5: readonly TcbByte[] = [
  { part: 'fmc', extension: `${SPL}9` },
  { part: 'bootloader', extension: `${SPL}1` },
  { part: 'tee', extension: `${SPL}2` },
  { part: 'snp', extension: `${SPL}3` },
  { extension: `${SPL}5`, isReserved: true },
  { extension: `${SPL}6`, isReserved: true },
  { extension: `${SPL}7`, isReserved: true },
  { part: 'microcode', extension: `${SPL}8` },
];

export const TCB_LAYOUTS = { Milan: ZEN3, Genoa: ZEN3, Turin: ZEN5 } as const;

export type GenerationName = keyof typeof TCB_LAYOUTS;

/** Versions of the parts of a TCB. */
export const tcbParts = (tcb: Buffer, generation: GenerationName): ReadonlyMap<TcbPart, number> =>
  new Map(TCB_LAYOUTS[generation].flatMap(({ part }, index) => (part === undefined ? [] : [[part, tcb[index] ?? 0]])));

export const tcbText = (parts: ReadonlyMap<TcbPart, number>): string =>
  [...parts].map(([part, version]) => `${part}=${version}`).join(',');

/** The number in an extension: an INTEGER of DER below 256; undefined for anything else. */
function numberOf(value: Buffer | undefined): number | undefined {
  if (value?.[0] !== 0x02) return undefined;
  if (value.length === 3 && value[1] === 1 && value[2]! < 0x80) return value[2];
  if (value.length === 4 && value[1] === 2 && value[2] === 0 && value[3]! >= 0x80) return value[3];
  return undefined;
}

/**
 * Compares the TCB that a report states with that of the certificate that signs it.
 * @returns what differs, in words; none when they agree
 */
export function tcbDifferences(
  tcb: Buffer,
  extensions: ReadonlyMap<string, Buffer>,
  generation: GenerationName,
): string[] {
  return TCB_LAYOUTS[generation].flatMap(({ part, extension, isReserved }, index) => {
    const value = extensions.get(extension);
    const name = part ?? `byte ${index}`;
    if (value === undefined) return isReserved ? [] : [`the certificate has no version of ${name}`];
    const certified = numberOf(value);
    return certified === tcb[index]
      ? []
      : [`${name} is ${tcb[index]} in the report and ${certified} in the certificate`];
  });
}

/**
 * Reads the lowest TCB as an option states it: `bootloader=4,tee=0,snp=24,microcode=219`; what isn't named may be anything.
 * @throws IgvmError USAGE
 */
export function parseMinimumTcb(text: string): Map<TcbPart, number> {
  const parts = new Map<TcbPart, number>();
  for (const item of text.split(',')) {
    const [, part, version] = /^(fmc|bootloader|tee|snp|microcode)=(\d{1,3})$/.exec(item.trim()) ?? [];
    if (part === undefined || Number(version) > 255 || parts.has(part as TcbPart)) {
      throw new IgvmError(
        'USAGE',
        `"${text}" is not a minimum TCB such as bootloader=4,tee=0,snp=24,microcode=219 (Turin has fmc, too), each from 0 to 255`,
      );
    }
    parts.set(part as TcbPart, Number(version));
  }
  return parts;
}
