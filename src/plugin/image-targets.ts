import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { bootTarget, bootTestTarget } from './boot-target';
import { buildTarget } from './build-target';
import { type InferredImage, targetName } from './inferred-image';
import { inspectTarget } from './inspect-target';
import { measureTarget, verifyTarget } from './lock-targets';
import { mergeTarget } from './merge-target';
import { type PluginOptions, TARGET_KINDS, type TargetKind } from './plugin-options';
import { signTarget } from './sign-target';

/** A kind of target of images. */
interface TargetRow {
  /** Gives nothing for an image that can't have such a target. @param name of the target */
  create: (image: InferredImage, name: string) => TargetConfiguration | undefined;
  /** What one target that runs those of all images of a project does; none for kinds that aren't run together. */
  together?: string;
}

const ROWS: Partial<Record<TargetKind, TargetRow>> = {
  build: { create: buildTarget, together: 'Builds all IGVM images of the project' },
  inspect: { create: inspectTarget, together: 'Shows what is in all IGVM images of the project' },
  measure: { create: measureTarget, together: 'Computes the launch digests of all IGVM images of the project' },
  verify: { create: verifyTarget, together: 'Checks all IGVM images of the project against their measurement locks' },
  sign: { create: signTarget },
  boot: { create: bootTarget },
  'boot-test': { create: bootTestTarget, together: 'Boots all IGVM images of the project that have a boot test' },
};

/** The targets of one image by their names. */
export function imageTargets(image: InferredImage): Record<string, TargetConfiguration> {
  const { options } = image.project;
  const targets: Record<string, TargetConfiguration> = {};
  for (const kind of TARGET_KINDS) {
    const row = ROWS[kind];
    const name = targetName(kind, options);
    if (row === undefined || name === undefined) continue;
    const target = row.create(image, `${name}${image.suffix}`);
    if (target !== undefined) targets[`${name}${image.suffix}`] = mergeTarget(target, options[kind]);
  }
  return targets;
}

/**
 * For a project with several images: the targets that run those of all images.
 * @param tested the suffixes of the images with a boot test
 */
export function togetherTargets(
  suffixes: readonly string[],
  tested: readonly string[],
  options: PluginOptions,
): Record<string, TargetConfiguration> {
  const targets: Record<string, TargetConfiguration> = {};
  for (const kind of TARGET_KINDS) {
    const name = targetName(kind, options);
    const description = ROWS[kind]?.together;
    const members = kind === 'boot-test' ? tested : suffixes;
    if (name === undefined || description === undefined || members.length === 0) continue;
    targets[name] = {
      executor: 'nx:noop',
      dependsOn: members.map((suffix) => `${name}${suffix}`),
      metadata: { technologies: ['igvm'], description, help: { command: `npx nx-igvm ${kind} --help`, example: {} } },
    };
  }
  return targets;
}
