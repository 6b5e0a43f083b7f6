import type { EvidenceOptions } from '../../attestation/verify-report';

/** Options of `nx-igvm:verify-report`; schema.json describes them. Paths are relative to the workspace. */
export interface VerifyReportExecutorSchema extends EvidenceOptions {
  report: string;
  json?: boolean;
}
