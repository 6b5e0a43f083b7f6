import type { PluginOptions } from './plugin-options';

const TOKEN = '{imageName}';

/** A value of JSON with the token replaced in every text below it. */
function replaced<T>(value: T, name: string): T {
  if (typeof value === 'string') return value.replaceAll(TOKEN, name) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => replaced(item, name)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, name)])) as T;
}

/**
 * The plugin's options for one image: `{imageName}` stands for its name, as Nx has `{projectName}` for the project's. Names of
 * targets are left alone: those of several images differ by what is behind them.
 */
export function withImageName(options: PluginOptions, name: string): PluginOptions {
  return Object.fromEntries(
    Object.entries(options).map(([kind, option]) => [
      kind,
      typeof option === 'object' ? { ...replaced(option, name), ...(option.name && { name: option.name }) } : option,
    ]),
  );
}
