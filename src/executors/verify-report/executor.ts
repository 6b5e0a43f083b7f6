import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { shownPath } from '../../files/file-failure';
import { logger } from '../../plugin/workspace-nx';
import type { VerifyReportExecutorSchema } from './schema';

/** Verifies the evidence of a running guest. What the user can put right is logged and fails the task; anything else is a bug and throws. */
export default async function verifyReportExecutor(
  { report, json = false, ...options }: VerifyReportExecutorSchema,
  { root }: Pick<ExecutorContext, 'root'>,
): Promise<{ success: boolean }> {
  const { evidenceJson, evidenceText } =
    require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
  const { verifyReportOfOptions } =
    require('../../attestation/evidence-options') as typeof import('../../attestation/evidence-options');
  try {
    const result = await verifyReportOfOptions(report, options, {
      at: (path) => resolve(root, path),
      display: (path) => shownPath(root, path),
      nameOf: (option) => option,
    });
    const success = result.verdict === 'ours' || result.verdict === 'genuine';
    if (json) process.stdout.write(evidenceJson(result));
    else logger[success ? 'info' : 'error'](evidenceText(result).trimEnd());
    return { success };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format((file) => shownPath(root, file)));
    return { success: false };
  }
}
