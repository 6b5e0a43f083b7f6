/** The library: everything that executors, the command line and other programs use. */
export {
  type ExplainedLaunch,
  type ExplainOptions,
  explainDigest,
  type Explanation,
  explanationJson,
  explanationText,
  isExplained,
} from './attestation/explain';
export {
  type ReferenceFormat,
  type ReferenceReport,
  type ReferenceRequest,
  writeReferenceValues,
} from './attestation/reference-values';
export type { StatementSigner } from './attestation/dsse';
export type { Check, CheckResult } from './attestation/checks';
export {
  evidenceJson,
  type EvidenceReport,
  evidenceText,
  type Verdict,
  verifyReport,
  type VerifyReportOptions,
} from './attestation/verify-report';
export { bootImage, type BootRequest, type BootResult } from './boot/boot-image';
export { exportImage } from './boot/pvh-export';
export { exportPvh, type GuestTables, type PvhExport, type PvhExportOptions } from './boot/pvh-export';
export { buildImage, type BuildRequest } from './builder/build-image';
export { buildManifest, type ManifestBuild } from './builder/build-manifest';
export { type KernelPack, packKernel } from './builder/pack-kernel';
export {
  type BuildReport,
  type BuiltFile,
  type BuiltMeasurement,
  type OutputKind,
  reportText,
} from './builder/build-report';
export { diffFiles } from './diff/diff-images';
export type { DigestDifference, GuestDifference, ImageDifference } from './diff/diff-images';
export { diffMarkdown, diffText } from './diff/diff-text';
export { type CorimListing, extractCorims } from './endorsement/corims';
export {
  addSnpIdBlock,
  type CorimSignatureSource,
  patchCorimSignature,
  signedPath,
  signImage,
  type SignRequest,
  type SnpIdBlockSource,
} from './endorsement/sign-image';
export { type ErrorWhere, IgvmError } from './errors/igvm-error';
export { imageFileNames, imageNameInWorkspace, lockPath, mapPath, siblingPath } from './manifest/image-files';
export { createOutputSet, type OutputSet } from './files/atomic-output';
export { crc32, sha256Hex, sha256OfFile } from './files/hashes';
export { type FileSource, openFileSource } from './files/file-source';
export {
  type OpenImage,
  readImage as readIgvm,
  rewriteImage,
  withImage,
  writeImage as writeIgvm,
} from './files/igvm-image';
export { mergeGuests } from './igvm/merge';
export type { IgvmFile } from './igvm/model';
export type { WriteReport } from './igvm/write-igvm';
export { extractImage, type ExtractReport, type ExtractRequest } from './inspect/extract-image';
export { inspectImage, type InspectFormat, type InspectRequest, pagePath } from './inspect/inspect-file';
export { lintImage, type LintFinding, type LintRequest, type LintRule, lintText } from './lint/lint-image';
export {
  changesBetweenRevisions,
  type LockChanges,
  lockChangesMarkdown,
  lockChangesText,
  lockFileChanges,
  parseRange,
} from './lock/lock-changes';
export { lockText, readLock } from './lock/lock-file';
export { lockOfImage } from './lock/lock-of-image';
export type { LockedDigest, LockedLaunch, LockedPlatform, LockedRegion, MeasurementLock } from './lock/lock-schema';
export { changedLock, type LockUpdate, updateLock } from './lock/update-lock';
export { verifyImage, type VerifyReport, type VerifyRequest, verifyText } from './lock/verify-image';
export { type LoadedManifest, type LoadOptions, loadManifest } from './manifest/load-manifest';
export { type ResolvedResource, type ResolveOptions, resolveResources } from './resources/resolve-resources';
export type { LaunchRequest } from './manifest/model';
export { type Launch, launchesOf } from './measurement/launches';
export {
  measure,
  measureLaunches,
  type Measurement,
  type MeasurementRefusal,
  type MeasurementReport,
  type MeasureOptions,
} from './measurement/measure';
export { measureFile, measureFileLaunches } from './measurement/measure';
export { measurementJson, measurementText } from './measurement/measure';
