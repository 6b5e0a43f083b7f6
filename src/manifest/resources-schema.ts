/** igvmfilegen's separate resources file. Source: `Resources` in openvmm vm/loader/igvmfilegen_config/src/lib.rs. */
import { isAbsolute } from 'node:path';
import type { z } from 'zod';
import { RESOURCE_DESCRIPTIONS } from './manifest-schema';
import { RESOURCE_NAMES, type ResourceName } from './model';
import { closedStruct, struct, text } from './schema-parts';

const absolutePath = text('').refine((value) => isAbsolute(value), { error: () => 'an absolute path' });

export const resourcesSchema = struct({
  $schema: text('The JSON Schema of this file, for editors.').optional(),
  resources: closedStruct(
    Object.fromEntries(
      RESOURCE_NAMES.map((name) => [
        name,
        absolutePath.optional().meta({ description: `${RESOURCE_DESCRIPTIONS[name]} An absolute path.` }),
      ]),
    ) as Record<ResourceName, z.ZodOptional<typeof absolutePath>>,
    'The files that images are made of.',
  ),
}).meta({ title: 'IGVM resources', description: "igvmfilegen's separate resources file." });
