import { IgvmError } from '../../src/errors/igvm-error';
import type { GuestArch } from '../../src/igvm/model';
import { GuestBuilder } from '../../src/loader/guest/guest-builder';
import type { ImageImporter } from '../../src/loader/guest/importer';
import { guestPlatform, type GuestSpec } from '../../src/loader/guest/guest-platform';
import { writeAndRead } from './written-image';

type Load = (importer: ImageImporter) => void;

/** Builds a guest from an input with a loader, and writes it: an accepted input must give a valid image. */
export async function buildGuest(arch: GuestArch, load: Load, spec: Partial<GuestSpec> = {}): Promise<void> {
  const builder = new GuestBuilder(guestPlatform({ arch, isolation: { type: 'none' }, maxVtl: 0, ...spec }));
  load(builder);
  const { file, observers } = builder.finish();
  await writeAndRead(file, observers);
}

/**
 * Runs all loaders, and throws the first refusal, because a loader may refuse input that another accepts. Anything other than a refusal
 * is a bug and is thrown at once.
 */
export async function buildGuests(...builds: (() => Promise<void>)[]): Promise<void> {
  const refusals: IgvmError[] = [];
  for (const build of builds) {
    await build().catch((error: unknown) => {
      if (!(error instanceof IgvmError)) throw error;
      refusals.push(error);
    });
  }
  if (refusals.length > 0) throw refusals[0];
}
