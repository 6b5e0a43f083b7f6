// The cost of starting: a whole short command, and the executor's addition to Nx.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure, median, paired } from './measure.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Rows of a Markdown table. `small` is a prepared image of 1 MiB, `upstream` igvmfilegen's path or undefined. */
export async function startUp({ rounds, node, cli, small, upstream }) {
  const outputFolder = join(dirname(small.output), 'executor');
  const own = [];
  const executor = async () => {
    const result = await node([join(here, 'executor.cjs'), small.manifest, small.resources, outputFolder]);
    own.push(result.own);
    return result;
  };
  const [empty, version, build, theirs] = await paired(
    rounds,
    () => node(['-e', '0']),
    () => node([cli, '--version']),
    () => node([cli, 'build', ...small.args]),
    ...(upstream ? [() => measure(upstream, small.upstreamArgs)] : []),
  );
  await paired(rounds, executor);
  const ms = (value) => (value * 1000).toFixed(0);
  const rows = [
    ['`node -e 0`', ms(empty.wall), ''],
    ['`nx-igvm --version`', ms(version.wall), `${(version.wall / empty.wall).toFixed(2)} x \`node -e 0\``],
    ['`nx-igvm build`, native, 1 MiB', ms(build.wall), `${ms(build.wall - empty.wall)} beyond \`node -e 0\``],
    ...(theirs ? [['igvmfilegen, the same', ms(theirs.wall), '']] : []),
    ["the executor's own, the same, on a cache miss", ms(median(own)), 'beyond loading Nx'],
  ];
  return ['| | wall ms | |', '| --- | --- | --- |', ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');
}
