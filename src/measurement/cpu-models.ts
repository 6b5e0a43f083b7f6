import { IgvmError } from '../errors/igvm-error';

/** CR4 bits that not every processor model has (AMD64 manual, volume 2, section 3.1.3). */
const CR4 = { umip: 1n << 11n, pke: 1n << 22n, cet: 1n << 23n, pks: 1n << 24n, lam: 1n << 28n } as const;

/** What QEMU takes off CR4 for every model: none of them has CET, PKS or LAM. */
const DROPPED_BY_ALL = CR4.cet | CR4.pks | CR4.lam;

/** CR4 bits that every EPYC model of QEMU keeps: bits 0 to 10, FSGSBASE, OSXSAVE, SMEP, SMAP. */
const KEPT_BY_ALL = 0x7ffn | (1n << 16n) | (1n << 18n) | (1n << 20n) | (1n << 21n);

interface ModelFamily {
  /** CPUID leaf 1, EAX: the processor signature. The versions of a model (`-v2`) share it. */
  readonly signature: number;
  /** CR4 bits that QEMU drops besides {@link DROPPED_BY_ALL}. */
  readonly drops: bigint;
}

/**
 * QEMU's processor models that can run SEV-SNP guests (QEMU 10.2, target/i386/cpu.c: builtin_x86_defs; the dropped bits were
 * seen in runs).
 */
const MODELS: Readonly<Record<string, ModelFamily>> = {
  EPYC: { signature: 0x00800f12, drops: CR4.umip | CR4.pke },
  'EPYC-Rome': { signature: 0x00830f10, drops: CR4.pke },
  'EPYC-Milan': { signature: 0x00a00f11, drops: 0n },
  'EPYC-Genoa': { signature: 0x00a10f10, drops: 0n },
  'EPYC-Turin': { signature: 0x00b00f00, drops: 0n },
};

export const CPU_MODEL_NAMES: readonly string[] = Object.keys(MODELS);

/** A processor as QEMU presents it to the guest. */
export interface CpuModel {
  /** As the user named it. */
  readonly name: string;
  /** CPUID leaf 1, EAX; it is in RDX when a vCPU is reset. */
  readonly signature: number;
  /** CR4 bits that QEMU drops; undefined for a signature that is no model's. */
  readonly drops?: bigint;
}

/**
 * Reads a processor: a model of QEMU (`EPYC-Milan`, `EPYC-Genoa-v2`), a signature (`0x00a00f11`), or
 * `family/model/stepping`, each decimal or with 0x (`25/1/1`).
 * @throws IgvmError LAUNCH_INVALID
 */
export function parseCpu(text: string): CpuModel {
  const [, base = ''] = /^(EPYC(?:-[A-Z][a-z]+)?)(?:-v\d{1,2}|-IBPB)?$/.exec(text) ?? [];
  if (Object.hasOwn(MODELS, base)) {
    const { signature, drops } = MODELS[base]!;
    return { name: text, signature, drops: drops | DROPPED_BY_ALL };
  }
  const signature = signatureOf(text);
  if (signature === undefined) {
    const hint =
      text === 'host' || text === 'max'
        ? `; for -cpu ${text} give the processor's signature (CPUID leaf 1, EAX)`
        : '; give a model of QEMU, a signature such as 0x00a00f11, or family/model/stepping such as 25/1/1';
    throw new IgvmError('LAUNCH_INVALID', `"${text}" is not a processor (known: ${CPU_MODEL_NAMES.join(', ')})${hint}`);
  }
  const known = Object.values(MODELS).find((model) => model.signature === signature);
  return { name: text, signature, ...(known === undefined ? {} : { drops: known.drops | DROPPED_BY_ALL }) };
}

function signatureOf(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) return Number(text);
  const parts = text.split('/');
  if (parts.length !== 3 || !parts.every((part) => /^(?:\d{1,3}|0x[0-9a-f]{1,2})$/i.test(part))) return undefined;
  const [family = 0, model = 0, stepping = 0] = parts.map(Number);
  if (family < 15 || family > 15 + 255 || model > 255 || stepping > 15) return undefined;
  return processorSignature(family, model, stepping);
}

/** A processor's signature (AMD64 manual, volume 3, CPUID Fn0000_0001_EAX), of a family from 15 on: these use the extended fields. */
export const processorSignature = (family: number, model: number, stepping: number): number =>
  ((family - 15) << 20) | ((model >> 4) << 16) | (0xf << 8) | ((model & 0xf) << 4) | stepping;

/** CR4 bits whose fate depends on the model. */
export const dependsOnModel = (cr4: bigint): boolean => (cr4 & (CR4.umip | CR4.pke)) !== 0n;

/** CR4 bits of which it isn't known what QEMU makes of them. */
export const unknownCr4Bits = (cr4: bigint): bigint => cr4 & ~(KEPT_BY_ALL | CR4.umip | CR4.pke | DROPPED_BY_ALL);

/** CR4 as QEMU sets it for a model; without one only for values that don't depend on it. */
export const cr4OnModel = (cr4: bigint, cpu: CpuModel | undefined): bigint => cr4 & ~(cpu?.drops ?? DROPPED_BY_ALL);
