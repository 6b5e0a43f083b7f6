import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { shownPath } from '../../files/file-failure';
import { logger } from '../../plugin/workspace-nx';
import { asTask } from '../as-task';
import type { VerifyReportExecutorSchema } from './schema';

/** Verifies the evidence of a running guest. */
export default async function verifyReportExecutor(
  { report, json = false, ...options }: VerifyReportExecutorSchema,
  context: Pick<ExecutorContext, 'root'>,
): Promise<{ success: boolean }> {
  const { root } = context;
  const { evidenceJson, evidenceText } =
    require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
  const { verifyReportOfOptions } =
    require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
  return asTask(context, async () => {
    const result = await verifyReportOfOptions(report, options, {
      at: (path) => resolve(root, path),
      display: (path) => shownPath(root, path),
      nameOf: (option) => option,
    });
    const success = result.verdict === 'ours' || result.verdict === 'genuine';
    if (json) process.stdout.write(evidenceJson(result));
    else logger[success ? 'info' : 'error'](evidenceText(result).trimEnd());
    return { success };
  });
}
