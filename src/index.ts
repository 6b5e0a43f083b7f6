/** Nx loads this for every command, so keep it light. The library is `nx-igvm/api`: `import { readIgvm } from 'nx-igvm/api'`. */
export { createDependencies } from './plugin/output-references';
export { createNodes, createNodesV2 } from './plugin/create-nodes';
export type { PluginOptions, TargetKind, TargetOption } from './plugin/configuration';

/** Fails with a hint if the library is imported from here, instead of "Named export not found". */
const inApi = (name: string) => (): never => {
  throw new Error(`nx-igvm is the plugin for Nx; the library is nx-igvm/api, which has ${name}`);
};
/** @deprecated The library is `nx-igvm/api`. */
export const readIgvm = inApi('readIgvm');
/** @deprecated The library is `nx-igvm/api`. */
export const measure = inApi('measure');
/** @deprecated The library is `nx-igvm/api`. */
export const buildManifest = inApi('buildManifest');
/** @deprecated The library is `nx-igvm/api`. */
export const packKernel = inApi('packKernel');
/** @deprecated The library is `nx-igvm/api`. */
export const verifyImage = inApi('verifyImage');
