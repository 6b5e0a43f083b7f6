/** The plugin's options in nx.json, for their JSON Schema and reference. Nx itself validates no options of plugins. */
import { z } from 'zod';
import { TARGET_KINDS, type TargetKind } from '../plugin/configuration';

const KINDS: Record<TargetKind, string> = {
  build: 'Builds an image from its manifest: `igvm.json` or `NAME.igvm.json`.',
  fetch: 'Downloads the resources that an image names by URL. Only images with such resources have this target.',
  inspect: 'Shows the content of a built image.',
  measure: 'Computes the launch digests of a built image.',
  verify: 'Checks a built image against its lock, `igvm.lock.json`.',
  sign: 'Signs a built image.',
  boot: 'Boots a built image on this machine.',
  'boot-test':
    'Boots a built image and checks its output, as `boot_test` in its manifest says. With a name or an object here, every image that can boot on this machine has this target.',
  initrd: 'Packs an initramfs as an `initrd.json` says. It is called `build` in a project without an image.',
};

const list = (description: string) => z.array(z.unknown()).optional().meta({ description });
const record = (description: string) => z.record(z.string(), z.unknown()).optional().meta({ description });

const extension = z
  .looseObject({
    name: z.string().min(1).optional().meta({ description: 'Another name for the target.' }),
    options: record('Options of the executor, in addition to the inferred ones.'),
    configurations: record('Configurations of the target.'),
    inputs: list('Inputs; `"..."` stands for the inferred ones.'),
    outputs: list('Outputs; `"..."` stands for the inferred ones.'),
    dependsOn: list('Targets that run before; `"..."` stands for the inferred ones.'),
    cache: z.boolean().optional().meta({ description: 'Whether the outputs are cached.' }),
  })
  .meta({ description: 'Changes to the target: any key of a target in project.json, and `name`.' });

const targetOption = (description: string) =>
  z
    .union([
      z.string().min(1).meta({ description: 'Another name for the target.' }),
      z.literal(false).meta({ description: 'No such target.' }),
      extension,
    ])
    .optional()
    .meta({ description });

const kinds = Object.fromEntries(TARGET_KINDS.map((kind) => [kind, targetOption(KINDS[kind])])) as Record<
  TargetKind,
  ReturnType<typeof targetOption>
>;

const resourceTargets = z.array(z.string().min(1)).optional().meta({
  description:
    'Targets that Nx does not cache, but that resources of manifests may use: `project:target`, or `target` for any project. They must be listed here because a manifest does not look like code, but makes these targets run.',
});

export const pluginOptionsSchema = z.strictObject({ ...kinds, resourceTargets }).meta({
  title: 'Options of nx-igvm',
  description:
    'The `options` of the plugin in nx.json: one key for each kind of inferred target, and the targets that resources may run.',
});
