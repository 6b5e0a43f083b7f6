import { formatPlaced, IgvmError, unreachable } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { type DirectiveObserver, streamDirectives } from '../igvm/stream';
import { digestHex } from './digest-hex';
import type { LaunchDigests } from './launch-digest';
import { DEFAULT_LAUNCH } from './launches';
import { launchDigests, measurablePlatforms } from './measure';
import { MEASURED_PLATFORMS, type MeasuredPlatform, platformHeader } from './measured-platform';
import type { Vmm } from '../manifest/launch-request';

/** A launch digest of an image, or why there is none. */
export interface ImageDigest {
  platform: MeasuredPlatform;
  /** Where the digest depends on what launches the guest. */
  vmm?: Vmm;
  /** Upper-case hexadecimal. */
  digest?: string;
  /** One sentence, with the place in the guest. */
  reason?: string;
}

/**
 * All launch digests of an image in one pass over its pages: of each platform, and for SEV-SNP as the VMM launches it that its
 * documents endorse. One that is impossible doesn't keep the others from being told.
 * @param platforms default: all of the file that have a launch measurement
 * @throws IgvmError MEASUREMENT_UNAVAILABLE for a platform that the file doesn't have; FILE_CHANGED, FILE_UNREADABLE from its sources
 */
export async function imageDigests(
  file: IgvmFile,
  platforms: readonly MeasuredPlatform[] = [...new Set(measurablePlatforms(file))],
): Promise<ImageDigest[]> {
  for (const platform of platforms) platformHeader(file, platform);
  const attempts = platforms.map((platform) => new Attempt(file, platform));
  try {
    if (attempts.length > 0) await streamDirectives(file, attempts);
    const digests: ImageDigest[] = [];
    for (const attempt of attempts) digests.push(await attempt.result());
    return digests;
  } finally {
    await Promise.all(attempts.map((attempt) => attempt.close()));
  }
}

/** A measurement that may turn out to be impossible without ending the pass for the others. */
class Attempt implements DirectiveObserver {
  readonly pagesOverlap: boolean;
  private readonly measurement: LaunchDigests | undefined;
  private impossible: IgvmError | undefined;

  constructor(
    file: IgvmFile,
    private readonly platform: MeasuredPlatform,
  ) {
    this.measurement = this.unlessImpossible(() => launchDigests(file, platform));
    this.pagesOverlap = this.measurement?.pagesOverlap ?? false;
  }

  directive(...args: Parameters<NonNullable<DirectiveObserver['directive']>>): void | Promise<void> {
    return this.step(() => this.measurement?.directive?.(...args));
  }

  pages(...args: Parameters<NonNullable<DirectiveObserver['pages']>>): void | Promise<void> {
    return this.step(() => this.measurement?.pages?.(...args));
  }

  async result(): Promise<ImageDigest> {
    const { platform } = this;
    const base = MEASURED_PLATFORMS[platform].dependsOnVmm ? { platform, vmm: DEFAULT_LAUNCH.vmm } : { platform };
    let digest: Uint8Array | undefined;
    await this.step(async () => {
      digest = (await this.measurement?.results())?.[0]?.digest;
    });
    if (digest !== undefined) return { ...base, digest: digestHex(digest) };
    const { message, where } = this.impossible ?? unreachable('a platform without a digest');
    return { ...base, reason: formatPlaced(message, { gpa: where.gpa }) };
  }

  async close(): Promise<void> {
    await this.measurement?.close();
  }

  private step(step: () => void | Promise<void>): void | Promise<void> {
    if (this.impossible !== undefined) return;
    const pending = this.unlessImpossible(step);
    return pending?.catch((error: unknown) => this.keep(error));
  }

  private unlessImpossible<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      this.keep(error);
      return undefined;
    }
  }

  /** @throws anything that says more than that the platform can't launch the file */
  private keep(error: unknown): void {
    if (!(error instanceof IgvmError) || error.code !== 'MEASUREMENT_IMPOSSIBLE') throw error;
    this.impossible ??= error;
  }
}
