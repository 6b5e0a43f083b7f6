import { bytesSource } from '../../src/memory/byte-source';
import { describeOvmfTable, wrapFirmware } from '../../src/loader/ovmf/wrap';
import { readOwnKeys, SECURE_BOOT_VARIABLES } from '../../src/loader/ovmf/own-keys';
import { ovmfFirmware, SEV_REGIONS, variableStore } from '../../src/loader/ovmf/ovmf-firmware.fixture';
import { secureBootVariables } from '../../src/loader/ovmf/secure-boot';
import { encodeSignatureLists, unsignedUpdate } from '../../src/loader/ovmf/signature-lists';
import type { Target } from '../engine/target';
import { eachReader } from './each-reader';
import { expectPlainText } from './plain-text';
import { pem, RSA_CERTIFICATE } from './signed-samples';
import { writeAndRead } from './written-image';

const VARS = variableStore();

export const ovmfFirmwareTarget: Target = {
  name: 'ovmf-firmware',
  about: 'OVMF: the metadata at its end, and the image with it',
  format: 'binary',
  dictionary: ['IGVM', 'ASEV', Uint8Array.of(0x10, 0, 0, 0), Uint8Array.of(0, 0, 0x80, 0)],
  seeds: () => [
    ovmfFirmware({ size: 0x1000 }),
    ovmfFirmware({ size: 0x2000, sev: SEV_REGIONS }),
    ovmfFirmware({ size: 0x1000, igvm: [] }),
  ],
  async run(input) {
    const firmware = input.source();
    for (const line of describeOvmfTable(firmware)) expectPlainText(line);
    for (const snp of [true, false]) {
      const vars = snp ? bytesSource(VARS) : undefined;
      const options = { native: true, snp, parameters: true, bootMode: 'flat32' as const };
      await writeAndRead(wrapFirmware({ firmware, ...(vars && { vars }), ...options }));
    }
  },
};

const OWNER = new Uint8Array(16).fill(0x11);

export const secureBootKeys: Target = {
  name: 'secure-boot-keys',
  about: 'keys for Secure Boot: certificates, signature lists (.esl) and updates of variables (.auth)',
  format: 'binary',
  dictionary: [
    Uint8Array.of(0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72),
    Uint8Array.of(0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28),
    Uint8Array.of(0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7),
  ],
  seeds: () => {
    const lists = encodeSignatureLists([
      { kind: 'x509', entries: [{ owner: OWNER, data: RSA_CERTIFICATE }] },
      { kind: 'sha256', entries: [1, 2].map((each) => ({ owner: OWNER, data: new Uint8Array(32).fill(each) })) },
    ]);
    return [RSA_CERTIFICATE, pem('CERTIFICATE', RSA_CERTIFICATE), lists, unsignedUpdate({ time: new Date(0), lists })];
  },
  run(input) {
    eachReader(
      ...SECURE_BOOT_VARIABLES.map((variable) => () => {
        const keys = readOwnKeys(input.source(), variable, OWNER);
        const variables = secureBootVariables({ profile: 'none', hashes: [], arch: 'x64', own: { [variable]: keys } });
        if (Buffer.from(variables[variable]).indexOf(keys.lists) < 0) throw new Error('keys are not in their variable');
      }),
    );
  },
};
