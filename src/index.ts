/** What Nx loads on every command: keep it light. The library is `nx-igvm/api`: `import { readIgvm } from 'nx-igvm/api'`. */
export { createDependencies } from './plugin/output-references';
export { createNodes, createNodesV2 } from './plugin/create-nodes';
export type { PluginOptions, TargetKind, TargetOption } from './plugin/inferred-image';
