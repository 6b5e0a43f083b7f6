import { hex } from '../errors/printable';
import { fieldsText } from '../igvm/dump';
import { isCommandLine, regionName, textOfRegion } from '../regions/guest-regions';
import { firstProcessorMeaning, type GuestView, rowAt, type StatedRange } from './guest-view';
import { capitalized, countText, html, type Html, sizeText } from './html';

/** What the fields of a policy mean when they are set and when they aren't (sources: src/image/policy.ts). */
const POLICY_WORDS: Readonly<Record<string, readonly [name: string, set: string, clear: string]>> = {
  debug: ['Debugging by the host', 'ALLOWED', 'not allowed'],
  smt: ['Simultaneous multithreading', 'allowed', 'not allowed'],
  migrationAgent: ['Migration agent', 'allowed', 'not allowed'],
  singleSocket: ['Single socket', 'required', 'not required'],
  cxl: ['CXL memory', 'allowed', 'not allowed'],
  memoryAes256Xts: ['AES-256-XTS for memory', 'required', 'not required'],
  raplDisabled: ['RAPL turned off', 'required', 'not required'],
  ciphertextHiding: ['Ciphertext hiding', 'required', 'not required'],
  pageSwapDisabled: ['Page swapping turned off', 'required', 'not required'],
  septVeDisable: ['#VE on pages that are not accepted', 'off', 'on'],
  migratable: ['Migration', 'allowed', 'not allowed'],
};

/** How a guest is launched and what it starts. */
export function launchFacts(view: GuestView): Html {
  const { header, policy, kernels, platform, registers, processorCount } = view;
  const features = firstProcessorMeaning(view, 'sevFeatures');
  const fact = (name: string, value: Html | string): Html => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const mono = (value: string): Html => html`<code>${value}</code>`;
  const facts = [
    ...(platform === undefined ? [] : documentFacts(view, fact)),
    ...(view.measured === undefined ? [] : [fact('OVMF', view.measured)]),
    ...Array.from(view.uki, ([name, value]) => fact(name, mono(value))),
    ...commandLines(view).map(({ name, text }) => fact(`Command line (${name})`, mono(text))),
    ...kernelsOf(view).map(({ name, release, build }) =>
      fact(
        `Kernel${name === undefined ? '' : ` (${name})`}`,
        html`${release}${build !== '' && html` <span class="build">${build}</span>`}`,
      ),
    ),
    ...(kernels.length === 0 ? [fact('Kernel', 'no version found: compressed as a whole, or not Linux')] : []),
    ...(features === undefined ? [] : [fact('SEV features', fieldsText({ name: features }))]),
    fact('Platform version', String(header.platformVersion)),
    fact('Highest VTL', String(header.highestVtl)),
    ...(header.sharedGpaBoundary > 0n
      ? [fact('Shared with the host', html`memory above ${mono(hex(header.sharedGpaBoundary))}`)]
      : []),
    fact(
      'Processor states',
      registers.size === 0 ? 'none in the file: processors start at the reset vector' : countText(processorCount),
    ),
    ...view.ranges.map((range) => fact(range.label, rangeText(range))),
    ...(view.rangeCount > view.ranges.length
      ? [fact('More ranges', countText(view.rangeCount - view.ranges.length))]
      : []),
  ];
  return html`<div class="panel"><dl class="facts">${facts}</dl></div>
${
  policy !== undefined &&
  html`<div class="panel"><h3>Guest ${policy.name} <code>${String(policy.fields['value'])}</code></h3><dl class="facts policy">${Object.entries(
    policy.fields,
  )
    .filter(([name]) => name !== 'value')
    .map(([name, value]) => {
      if (typeof value === 'string') return fact(name === 'abi' ? 'Firmware ABI, at least' : name, value);
      const [words, set, clear] = POLICY_WORDS[name] ?? [name, 'yes', 'no'];
      const text = value ? set : clear;
      return fact(words, name === 'debug' && value ? html`<strong class="bad">${text}</strong>` : text);
    })}</dl></div>`
}`;
}

/** An address alone doesn't explain why 512 MiB in a manifest are 511 MiB here. */
function rangeText({ gpa, end, label }: StatedRange): Html {
  const range = html`${sizeText(end - gpa)}, <code>${hex(gpa)}–${hex(end)}</code>`;
  if (!label.startsWith('Required memory')) return range;
  return html`${range}: the host must provide it before the guest starts${
    gpa > 0 && gpa <= 2 ** 24 && `. It ends at ${sizeText(end)}; the ${sizeText(gpa)} below it is not counted`
  }`;
}

/** Facts about the documents, which are read and checked, not just listed. */
function documentFacts(
  { headers, claims, complaints, signers, platform }: GuestView,
  fact: (name: string, value: Html | string) => Html,
): Html[] {
  const has = (type: string): boolean =>
    [...headers.keys()].some((what) => what === type || what.startsWith(`${type} `));
  const signer = (start: string): string | undefined => signers.find((each) => each.startsWith(start));
  const wrong = (name: string): string | undefined => complaints.find((each) => each.includes(name));
  const state = (isThere: boolean, start: string, right: string): Html | string => {
    if (!isThere) return 'not in the image';
    const why = wrong(`${start} in the image`);
    if (why !== undefined) return html`<strong class="bad">${capitalized(why)}</strong>`;
    const signed = signer(start === 'SNP ID block' ? 'ID block' : 'CoRIM');
    return `in the image, ${right}; ${signed ?? 'not signed'}`;
  };
  const { guestSvn, identity } = claims;
  const svn = guestSvn === undefined ? '' : `, SVN ${guestSvn}`;
  const others = complaints.filter((each) => !each.includes('in the image'));
  return [
    fact('CoRIM', state(has('corimDocument'), `${platform} CoRIM`, `endorses this launch digest${svn}`)),
    ...(platform === 'snp'
      ? [
          fact('ID block', state(has('snpIdBlock'), 'SNP ID block', `names this launch digest${svn}`)),
          ...(identity === undefined
            ? []
            : [fact('Family ID', idText(identity.familyId)), fact('Image ID', idText(identity.imageId))]),
        ]
      : []),
    ...others.map((each) => fact('Document', html`<strong class="bad">${capitalized(each)}</strong>`)),
  ];
}

/** An ID in hexadecimal, and as text if it is text. */
function idText(id: Uint8Array): Html {
  const bytes = Buffer.from(id);
  const text = /^([\x20-\x7e]+)\0*$/.exec(bytes.toString('latin1'))?.[1];
  return html`<code>${bytes.toString('hex')}</code>${text !== undefined && ` “${text}”`}`;
}

/** Most command lines that a page shows. */
const MOST_COMMAND_LINES = 4;

/** The command lines in guest memory: regions with such a name in the map file that begin with text. */
function commandLines({ rows }: GuestView): { name: string; text: string }[] {
  return rows
    .filter(isCommandLine)
    .slice(0, MOST_COMMAND_LINES)
    .flatMap((row) => {
      const text = textOfRegion(row);
      return text === undefined ? [] : [{ name: regionName(row), text }];
    });
}

/** The kernels of a guest, each release once per region. A kernel has several version strings, one of them without a build number. */
export function kernelsOf({ kernels, rows }: GuestView): { name?: string; release: string; build: string }[] {
  const found = new Map<string, { name?: string; release: string; build: string }>();
  for (const { gpa, release, build } of kernels) {
    const row = rows[rowAt(rows, gpa)];
    const name = row && regionName(row);
    const key = `${release} ${name ?? ''}`;
    if (!/#\d/.test(found.get(key)?.build ?? '')) found.set(key, { name, release, build });
  }
  return [...found.values()];
}
