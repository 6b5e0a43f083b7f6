import { IgvmError } from '../errors/igvm-error';
import type { DumpRecord } from '../igvm/dump';
import type { GuestArch, VpContextDirective } from '../igvm/model';
import { decodeNativeContext, unnamedInNative } from './native';
import { type SegmentRegister, type TableRegister, unnamedBytes, withoutNamed } from './vp-register';
import { decodeVbsContext, unnamedInVbs } from './vbs';
import { decodeVmsa, unnamedInVmsa } from './vmsa';

/** The 64-bit fields of an AArch64 CCA context, in order (igvm_defs: IgvmVpContextAArch64Cca). */
const CCA_FIELDS = ['x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'pc', 'flags'] as const;

/**
 * A stored VP context as records for a dump: the registers that are set, then all other bytes that are not zero. For a
 * context that can't be decoded, one record gives the reason. Different contexts have different records.
 */
export function describeVpContext(context: VpContextDirective, arch: GuestArch): DumpRecord[] {
  try {
    return decoders[context.format](context.data, arch);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return [{ name: 'undecodable', reason: error.message, value: context.data }];
  }
}

const decoders: Record<VpContextDirective['format'], (data: Uint8Array, arch: GuestArch) => DumpRecord[]> = {
  native(data) {
    const { idtr, gdtr, code, data: dataSegment, ...values } = decodeNativeContext(data);
    return [
      ...Object.entries(values)
        .filter(([, value]) => value !== 0n)
        .map(([name, value]) => ({ name, value })),
      ...[table('gdtr', gdtr), table('idtr', idtr), segment('cs', code), segment('data segments', dataSegment)].filter(
        isSet,
      ),
      ...unnamedBytes(unnamedInNative(data)),
    ];
  },
  vbs(data, arch) {
    const fields = decodeVbsContext(data, arch);
    const described = fields.registers.map((register) => {
      if ('table' in register) return table(register.name, register.table);
      return 'segment' in register
        ? segment(register.name, register.segment)
        : { name: register.name, value: register.value };
    });
    return [{ name: 'vtl', value: fields.vtl }, ...described, ...unnamedBytes(unnamedInVbs(data, fields))];
  },
  snp(data) {
    const { selectors, fields, sevFeatures } = decodeVmsa(data);
    return [
      ...selectors.map(({ name, ...rest }) => segment(name, rest)),
      ...fields.map(
        ({ name, value }): DumpRecord =>
          name === 'sevFeatures' ? { name, value, meaning: sevFeatures } : { name, value },
      ),
      ...unnamedBytes(unnamedInVmsa(data)),
    ];
  },
  cca(data) {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    return [
      ...CCA_FIELDS.map((name, index) => ({ name, value: view.getBigUint64(8 * index, true) })),
      ...unnamedBytes(withoutNamed(data, [[0, 8 * CCA_FIELDS.length]])),
    ];
  },
  tdx: unnamedBytes,
};

const table = (name: string, { base, limit }: TableRegister): DumpRecord => ({ name, base, limit });

const segment = (name: string, { base, limit, selector, attributes }: SegmentRegister): DumpRecord => ({
  name,
  selector,
  base,
  limit,
  attributes,
});

const isSet = (record: DumpRecord): boolean =>
  Object.entries(record).some(([field, value]) => field !== 'name' && Number(value) !== 0);
