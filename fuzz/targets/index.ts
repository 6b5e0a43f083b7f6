import type { Target } from '../engine/target';
import { archive, containerImage, containerLayer } from './archives';
import { arm64Image } from './arm64-image';
import { bzimage } from './bzimage';
import { cose } from './cose';
import { der } from './der';
import { elf } from './elf';
import { certificate, eventLog, snpReport, tdxQuote } from './evidence';
import { firmwareDll } from './firmware-dll';
import { firmwareVolumeTarget } from './firmware-volume';
import { idBlock } from './id-block';
import { igvmBoot } from './igvm-boot';
import { igvmDiff } from './igvm-diff';
import { igvmDump } from './igvm-dump';
import { igvmInspect } from './igvm-inspect';
import { igvmLock } from './igvm-lock';
import { igvmMeasure } from './igvm-measure';
import { igvmRead } from './igvm-read';
import { igvmRewrite } from './igvm-rewrite';
import { inference } from './inference';
import { initrd } from './initrd';
import { lock } from './lock';
import { manifestTarget } from './manifest';
import { mapFile } from './map-file';
import { ovmfFirmwareTarget, secureBootKeys } from './ovmf';
import { resources } from './resources';
import { staticExecutable } from './static-executable';
import { uki } from './uki';

/** All targets: every part of the product that reads untrusted bytes. */
export const TARGETS: readonly Target[] = [
  igvmRead,
  igvmRewrite,
  igvmDump,
  igvmMeasure,
  igvmDiff,
  igvmBoot,
  igvmInspect,
  igvmLock,
  elf,
  bzimage,
  arm64Image,
  firmwareVolumeTarget,
  firmwareDll,
  manifestTarget,
  resources,
  initrd,
  lock,
  cose,
  der,
  idBlock,
  mapFile,
  inference,
  staticExecutable,
  uki,
  ovmfFirmwareTarget,
  secureBootKeys,
  archive,
  containerImage,
  containerLayer,
  snpReport,
  tdxQuote,
  certificate,
  eventLog,
];
