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

/** Runs all of them, and throws the first failure: one loader may refuse what another accepts. */
export async function buildGuests(...builds: (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const build of builds) await build().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
