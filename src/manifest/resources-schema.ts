/** igvmfilegen's separate resources file. Source: `Resources` in openvmm vm/loader/igvmfilegen_config/src/lib.rs. */
import { isAbsolute } from 'node:path';
import * as z from 'zod/mini';
import { RESOURCE_DESCRIPTIONS } from './manifest-schema';
import { RESOURCE_NAMES, type ResourceName } from './model';
import { closedStruct, optional, struct, text, textThat } from './schema-parts';

const absolutePath = textThat((value) => isAbsolute(value), 'an absolute path', '');

export const resourcesSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  resources: closedStruct(
    Object.fromEntries(
      RESOURCE_NAMES.map((name) => [
        name,
        optional(absolutePath).register(z.globalRegistry, {
          description: `${RESOURCE_DESCRIPTIONS[name]} An absolute path.`,
        }),
      ]),
    ) as Record<ResourceName, z.ZodMiniOptional<typeof absolutePath>>,
    'The files that images are made of.',
  ),
}).register(z.globalRegistry, { title: 'IGVM resources', description: "igvmfilegen's separate resources file." });
