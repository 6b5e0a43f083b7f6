import type { TargetConfiguration } from '@nx/devkit';

/**
 * What the options say of one kind of target: another name; `false` for none; or an object that extends it, where
 * `"..."` in a list stands for what is inferred.
 */
export type TargetOption = string | false | ({ name?: string } & Partial<TargetConfiguration>);

/**
 * The kinds of inferred targets, which are also their names unless the options say otherwise. (`initrd` is called `build`
 * in a project without an image.)
 */
export const TARGET_KINDS = ['build', 'inspect', 'measure', 'verify', 'sign', 'boot', 'initrd'] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

/** Options of the plugin in nx.json. */
export type PluginOptions = Partial<Record<TargetKind, TargetOption>>;
