import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { formatPlaced } from '../errors/igvm-error';
import { dump, type Dump, type DumpRecord, fieldsText, platformNames } from '../igvm/dump';
import type { IgvmFile } from '../igvm/model';
import { DEFAULT_LAUNCH, launchLabel } from '../measurement/launches';
import { MEASURED_PLATFORMS, type MeasuredPlatform } from '../igvm/platforms';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { describeVpContext } from '../vp-context/decode';
import type { Agreement, DescribedPage } from './described-page';
import { guestSection } from './guest-section';
import { type GuestView, guestViews } from './guest-view';
import { kernelsOf } from './launch-facts';
import { countText, html, type Html, sizeText, trusted } from './html';
import { heightRules } from './map-picture';
import { PAGE_SCRIPT } from './page-script';
import { PAGE_STYLE } from './page-style';

/** Most rows in the table of directives. The text and JSON formats have all of them. */
const MOST_DIRECTIVES = 2000;

export interface InspectedImage {
  /** Its name in the title of the page. */
  name: string;
  file: IgvmFile;
  source: ByteSource;
  described: DescribedPage;
}

/** Where a verifier finds each launch digest (AMD SEV-SNP ABI, table 23; Intel TDX DCAP quote; openvmm's VBS report). */
const VERIFIED_AS: Record<MeasuredPlatform, string> = {
  snp: 'MEASUREMENT of an SNP attestation report',
  tdx: 'MRTD of a TDX quote',
  vbs: 'boot digest of a VBS report',
};

/** A self-contained page about an image: no script, style, font or picture from elsewhere. */
export function inspectPage(image: InspectedImage): string {
  const { file, source, described } = image;
  const contents = dump(file, source, (context) => describeVpContext(context, file.arch));
  const views = guestViews(file, described.guests);
  const title = basename(image.name);
  const style = `${PAGE_STYLE}${heightRules(views)}`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy(style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${title} · IGVM image</title>
<style>${trusted(style)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the contents</a>
<header>
<h1>${title}</h1>
<p class="muted">IGVM image, format ${file.version}, ${file.arch}</p>
</header>
<main id="content">
${described.agreement !== undefined && agreementNote(described.agreement)}
${views.length > 0 && html`<ul class="cards">${views.map((view) => overviewCard(view, described.agreement))}</ul>`}
${digestSection(views)}
${views.length > 1 && html`<nav class="tabs" aria-label="Platforms">${views.map(({ index, label }) => html`<a href="#guest-${index}">${label}</a>`)}</nav>`}
${views.map(guestSection)}
${fileSection(image, contents)}
</main>
<footer>Made by nx-igvm from the image and the files beside it: its map, which names the regions, and its documents.
<span class="paper">Registers, headers and the contents of regions are shown on the screen only.</span></footer>
<script>${trusted(PAGE_SCRIPT)}</script>
</body>
</html>
`.text;
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing is loaded, and only this page's own script runs: a name that slipped through as markup would be inert. */
const contentSecurityPolicy = (style: string): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${hashOf(PAGE_SCRIPT)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');

/** The facts about a platform that people look for first. The cards are side by side. */
function overviewCard(view: GuestView, agreement: Agreement | undefined): Html {
  const { index, label, platform, claims, complaints, headers } = view;
  const has = (type: string): boolean => [...headers.keys()].some((what) => what.startsWith(type));
  const documents = [
    ...(has('corimDocument') ? ['CoRIM'] : []),
    ...(has('corimSignature') ? ['CoRIM signature'] : []),
    ...(has('snpIdBlock') ? ['ID block'] : []),
  ];
  const row = (name: string, value: Html | string): Html => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const kernels = [...new Set(kernelsOf(view).map(({ release }) => release))];
  return html`<li class="panel"><h2><a href="#guest-${index}">${label}</a></h2><dl>
${platform === undefined ? row('Isolation', 'none: the host can read and change the guest') : row('Debugging', debugText(view))}
${platform !== undefined && row('SVN', claims.guestSvn === undefined ? 'not stated' : String(claims.guestSvn))}
${platform !== undefined && row('Endorsed by', documents.length === 0 ? 'nothing in the image' : documents.join(', '))}
${kernels.length > 0 && row('Kernel', kernels.join(', '))}
${complaints.length > 0 && row('Documents', html`<strong class="bad">${complaints.length === 1 ? 'one is' : `${complaints.length} are`} wrong</strong>`)}
${agreement !== undefined && row('Lock', lockText(view, agreement))}</dl></li>`;
}

function debugText({ policy, claims }: GuestView): Html | string {
  const isAllowed = policy?.debug ?? claims.debugEnabled;
  if (isAllowed === undefined) return 'not stated';
  return isAllowed ? html`<strong class="bad">ALLOWED: the host can read the guest</strong>` : 'not allowed';
}

function lockText({ name }: GuestView, { impossible, platforms, differences }: Agreement): Html | string {
  if (impossible !== undefined) return html`<strong class="bad">not compared</strong>`;
  if (differences.some(({ platform }) => platform === name)) return html`<strong class="bad">differs</strong>`;
  return platforms.includes(name) ? html`<strong class="good">agrees</strong>` : 'nothing to compare';
}

/** Most changes of a platform that a note lists. */
const MOST_CHANGES = 12;

function agreementNote({ lock, impossible, platforms, differences, complaints }: Agreement): Html {
  if (impossible !== undefined) {
    return html`<p class="note bad" role="note"><strong>Not compared with ${lock}:</strong> ${impossible}</p>`;
  }
  if (differences.length === 0 && complaints.length === 0) {
    return platforms.length === 0
      ? html`<p class="note" role="note">Nothing to compare with a lock: no guest of the image is isolated.</p>`
      : html`<p class="note good" role="note"><strong>Agrees with ${lock}</strong> in everything that the lock says.</p>`;
  }
  const lines = differences.flatMap(({ platform = 'file', missingIn, digests, changes }) => [
    ...(missingIn === undefined ? [] : [`${platform}: missing in the ${missingIn}`]),
    ...digests.map(({ launch }) => `${platform}: another launch digest${launch === '' ? '' : ` (${launch})`}`),
    ...changes.slice(0, MOST_CHANGES).map((change) => `${platform}: ${change}`),
    ...(changes.length > MOST_CHANGES ? [`${platform}: ${countText(changes.length - MOST_CHANGES)} more changes`] : []),
  ]);
  return html`<div class="note bad" role="note"><strong>Differs from ${lock}</strong>
<ul>${[...lines, ...complaints].map((line) => html`<li>${line}</li>`)}</ul></div>`;
}

function digestSection(views: readonly GuestView[]): Html | undefined {
  const rows = views.flatMap(({ label, platform, digests, impossible, refusals }) => {
    if (platform === undefined) return [];
    const { algorithm, dependsOnVmm } = MEASURED_PLATFORMS[platform];
    const item = (whose: string, value: Html): Html =>
      html`<li class="panel"><h3>${label} <span class="muted">${algorithm}</span></h3>
<p class="muted">${VERIFIED_AS[platform]}; ${whose}</p>${value}</li>`;
    return [
      ...digests.map(({ launch, digest }) => {
        const whose = dependsOnVmm ? `launched by ${launchLabel(launch ?? DEFAULT_LAUNCH)}` : 'the same for every VMM';
        return item(whose, copyable(digest.toLowerCase(), `${label} launch digest`));
      }),
      ...[
        ...(impossible === undefined ? [] : [formatPlaced(impossible.message, { gpa: impossible.where.gpa })]),
        ...refusals,
      ].map((why) => item('no digest', html`<p><strong class="bad">${why}</strong></p>`)),
    ];
  });
  if (rows.length === 0) return undefined;
  return html`<section id="digests" aria-labelledby="digests-title"><h2 id="digests-title">Launch digests</h2>
<ul class="digests">${rows}</ul></section>`;
}

const copyable = (digest: string, what: string): Html =>
  html`<p class="copyable"><code class="digest">${digest}</code> <button type="button" class="copy" aria-label="Copy: ${what}">Copy</button></p>`;

function fileSection(image: InspectedImage, contents: Dump): Html {
  const names = platformNames(contents);
  const directives: Html[] = [];
  let hidden = 0;
  for (const directive of contents.directives) {
    if (directives.length < MOST_DIRECTIVES) directives.push(headerRow(directive, names));
    else hidden++;
  }
  return html`<section id="file" aria-labelledby="file-title"><h2 id="file-title">File</h2>
${fileFacts(image)}
<details><summary>Headers</summary>
<div class="panel"><h3>Fixed header</h3><dl class="facts">${Object.entries(contents.fixedHeader).map(
    ([name, value]) =>
      html`<div><dt>${name}</dt><dd class="mono">${fieldsText({ [name]: value }).slice(name.length + 1)}</dd></div>`,
  )}</dl></div>
${headerTable(
  'Platforms',
  contents.platforms.map((record) => headerRow(record, new Map())),
)}
${
  contents.initializations.length > 0 &&
  headerTable(
    'Initialization',
    contents.initializations.map((record) => headerRow(record, names)),
  )
}</details>
<details><summary>Directives</summary>
${headerTable(`${countText(directives.length + hidden)} in the order of the file, adjacent pages as one`, directives)}
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more: nx-igvm dump shows all of them.</p>`}
</details></section>`;
}

/** Facts about the file as a whole. Memory is shown per platform, because a host loads only one of them. */
function fileFacts({ file, source, described }: InspectedImage): Html {
  const perPlatform = file.platforms.length > 1;
  let pages = 0;
  let stored = 0;
  for (const directive of file.directives) {
    if (directive.type !== 'pageData') continue;
    pages += directive.pageCount;
    stored += Math.ceil(directive.content.size / PAGE_SIZE);
  }
  const fact = (name: string, value: Html | string): Html => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<div class="panel"><dl class="facts">
${fact('Size', `${sizeText(source.size)}, ${countText(source.size)} bytes`)}
${fact('Pages', `${countText(pages)}${perPlatform ? ' for all platforms together' : ''}, ${stored === pages ? 'all' : countText(stored)} with data`)}
</dl><h3>SHA-256 of the file</h3>${copyable(described.sha256, 'SHA-256 of the file')}</div>`;
}

const headerTable = (title: string, rows: readonly Html[]): Html =>
  html`<div class="panel scroll" tabindex="0" role="region" aria-label="${title}"><table>
<thead><tr><th scope="col" colspan="2">${title}</th></tr></thead><tbody>${rows}</tbody></table></div>`;

/** One header. The registers of a context have a table of their own. */
function headerRow(record: DumpRecord, names: ReadonlyMap<number, string>): Html {
  const { type, registers: _, ...fields } = record;
  const { platformType, ...rest } = fields;
  const name = type ?? platformType ?? '';
  return html`<tr><th scope="row">${fieldsText({ name })}</th><td class="mono">${fieldsText(type === undefined ? rest : fields, names)}</td></tr>`;
}
