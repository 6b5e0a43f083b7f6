// The figures as Markdown: a row for each image and size, and the largest size compared with 256 MiB.
const MIB = 1024 * 1024;

/** The size with which others are compared. */
const USUAL_MIB = 256;

const seconds = (value) => value.toFixed(2);
const inMib = (bytes) => (bytes / MIB).toFixed(0);

/**
 * The figures of one image with one size of initrd, from the medians of its runs.
 * @param {{ image: string, size: number, outputSize: number, start: object, our: object, cp: object, hashing: number, node: object, their?: object }} measured
 * `size` is in MiB, `outputSize` in bytes, `hashing` in seconds. `start` is our run with a small kernel and an initrd of one page,
 * and `node` is an empty run of Node
 */
export function figures({ outputSize, start, our, cp, hashing, ...rest }) {
  const perMib = (value) => (value * 1000) / (outputSize / MIB);
  return {
    ...rest,
    outputSize,
    our,
    cp,
    hashing,
    net: Math.max(0, our.wall - start.wall),
    cpuPerMib: perMib(our.cpu - start.cpu),
    userPerMib: perMib(our.user - start.user),
    cpCpuPerMib: perMib(cp.cpu),
    timesLimit: (our.wall - start.wall) / Math.max(cp.wall, hashing),
    timesCp: our.wall / cp.wall,
  };
}

/** @param {Record<string, unknown>[]} rows with the same keys, which become the header */
function table(rows) {
  const columns = Object.keys(rows[0]);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(Object.values(row)))].join('\n');
}

/** A row for each of {@link figures}. */
export function sizesTable(measured) {
  return table(
    measured.map((each) => {
      const { their, node } = each;
      return {
        image: each.image,
        'initrd MiB': each.size,
        'output MiB': inMib(each.outputSize),
        'wall s': seconds(each.our.wall),
        'less start-up s': seconds(each.net),
        'cpu s': seconds(each.our.cpu),
        'cpu ms/MiB': each.cpuPerMib.toFixed(2),
        'user ms/MiB': each.userPerMib.toFixed(2),
        'peak MiB': inMib(each.our.peak),
        'cp s': seconds(each.cp.wall),
        'cp cpu ms/MiB': each.cpCpuPerMib.toFixed(2),
        'hash s': seconds(each.hashing),
        'x limit': each.timesLimit.toFixed(2),
        'x cp': each.timesCp.toFixed(2),
        'igvmfilegen s': their ? seconds(their.wall) : '-',
        'igvmfilegen MiB': their ? inMib(their.peak) : '-',
        'times faster': their ? (their.wall / each.our.wall).toFixed(2) : '-',
        'x (igvmfilegen + node)': their ? (each.our.wall / (their.wall + node.wall)).toFixed(2) : '-',
      };
    }),
  );
}

/** The cost of a MiB in the largest image, relative to one of 256 MiB; undefined without either. */
export function growthTable(measured) {
  const largest = Math.max(...measured.map(({ size }) => size));
  const pairs = measured.flatMap((large) => {
    const usual = measured.find(({ image, size }) => image === large.image && size === USUAL_MIB);
    return large.size === largest && largest > USUAL_MIB && usual !== undefined ? [{ usual, large }] : [];
  });
  if (pairs.length === 0) return undefined;
  return table(
    pairs.map(({ usual, large }) => {
      const growth = (name) =>
        `${usual[name].toFixed(2)}, ${large[name].toFixed(2)}: x ${(large[name] / usual[name]).toFixed(2)}`;
      return {
        [`${USUAL_MIB} MiB, ${largest} MiB`]: usual.image,
        'cpu ms/MiB': growth('cpuPerMib'),
        'user ms/MiB': growth('userPerMib'),
        "cp's cpu ms/MiB": growth('cpCpuPerMib'),
        'x cp': growth('timesCp'),
      };
    }),
  );
}
