import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { ComparedImage } from '../diff/diff-images';
import { type Dump, type DumpRecord, dump } from '../igvm/dump';
import { fieldsText, platformNames } from '../igvm/dump-text';
import { MEASURED_PLATFORMS } from '../measurement/measured-platform';
import { PAGE_SIZE } from '../memory/page';
import { describeVpContext } from '../vp-context/decode';
import { guestSection } from './guest-section';
import { type GuestView, guestViews } from './guest-view';
import { type Html, html, trusted } from './html';
import type { ImageDigest } from '../measurement/image-digests';
import { PAGE_SCRIPT } from './page-script';
import { PAGE_STYLE } from './page-style';
import { countText, sizeText } from './size-text';

/** Rows of the table of directives; whoever wants all of more takes text or JSON. */
const MOST_DIRECTIVES = 2000;

export interface InspectedImage extends ComparedImage {
  /** As the page's title names it. */
  name: string;
  /** SHA-256 of the file, hexadecimal. */
  sha256: string;
  digests: readonly ImageDigest[];
}

/** A page about an image that needs nothing but itself: no script, style, font or picture of elsewhere. */
export function inspectPage(image: InspectedImage): string {
  const { file, source } = image;
  const contents = dump(file, source, (context) => describeVpContext(context, file.arch));
  const guests = guestViews(image);
  const title = basename(image.name);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${title} · IGVM image</title>
<style>${trusted(PAGE_STYLE)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the contents</a>
<header>
<h1>${title}</h1>
${badges(image, guests)}
${tiles(image, guests)}
<nav aria-label="Sections"><a href="#digests">Digests</a>${guests.map(
    ({ index, platform }) => html`<a href="#guest-${index}">Memory of the ${platform} guest</a>`,
  )}<a href="#headers">Headers</a></nav>
</header>
<main id="content">
${digestSection(image)}
${guests.map(guestSection)}
${headerSection(contents)}
</main>
<footer>Made by nx-igvm from the image alone${image.map !== undefined && ' and its map file, which names the regions'}.</footer>
<script>${trusted(PAGE_SCRIPT)}</script>
</body>
</html>
`.text;
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing is loaded, and nothing runs but what is in this page: a name that slipped through as markup would be inert. */
const contentSecurityPolicy = (): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(PAGE_STYLE)}`,
    `script-src ${hashOf(PAGE_SCRIPT)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');

function badges({ file }: InspectedImage, guests: readonly GuestView[]): Html {
  const labels = [`IGVM format ${file.version}`, file.arch, ...guests.map(({ platform }) => platform)];
  return html`<ul class="badges" aria-label="Kind of image">${labels.map((label) => html`<li>${label}</li>`)}</ul>`;
}

function tiles({ file, source }: InspectedImage, guests: readonly GuestView[]): Html {
  let pages = 0;
  let stored = 0;
  let required = 0;
  for (const directive of file.directives) {
    if (directive.type === 'requiredMemory') required += directive.size;
    if (directive.type !== 'pageData') continue;
    pages += directive.pageCount;
    stored += Math.ceil(directive.content.size / PAGE_SIZE);
  }
  const regions = guests.reduce((sum, { regionCount }) => sum + regionCount, 0);
  const processors = guests.reduce((sum, { processorCount }) => sum + processorCount, 0);
  const tile = (name: string, value: string, more: string): Html =>
    html`<div class="tile"><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`;
  return html`<dl class="tiles">
${tile('File', sizeText(source.size), `${countText(source.size)} bytes`)}
${tile('Pages loaded', countText(pages), `${sizeText(pages * PAGE_SIZE)} of guest memory`)}
${tile('With data', countText(stored), `${countText(pages - stored)} are empty`)}
${tile('Regions', countText(regions), `${countText(guests.length)} ${guests.length === 1 ? 'guest' : 'guests'}`)}
${tile('Required memory', required === 0 ? 'none' : sizeText(required), `${countText(processors)} processor ${processors === 1 ? 'state' : 'states'}`)}
</dl>`;
}

function digestSection({ digests, sha256 }: InspectedImage): Html {
  return html`<section id="digests" aria-labelledby="digests-title"><h2 id="digests-title">Digests</h2>
<div class="panel scroll" tabindex="0" role="region" aria-label="Table of digests"><table>
<thead><tr><th scope="col">Of</th><th scope="col">Algorithm</th><th scope="col">Digest</th></tr></thead>
<tbody>${digests.map(
    ({ platform, vmm, digest, reason }) => html`<tr>
<th scope="row">${MEASURED_PLATFORMS[platform].label} launch${vmm !== undefined && ` (${vmm})`}</th>
<td>${MEASURED_PLATFORMS[platform].algorithm}</td>
<td class="${digest === undefined ? '' : 'mono digest'}">${digest ?? reason}</td></tr>`,
  )}
<tr><th scope="row">the file</th><td>SHA-256</td><td class="mono digest">${sha256.toUpperCase()}</td></tr>
</tbody></table></div></section>`;
}

function headerSection(contents: Dump): Html {
  const names = platformNames(contents);
  const directives: Html[] = [];
  let hidden = 0;
  for (const directive of contents.directives) {
    if (directives.length < MOST_DIRECTIVES) directives.push(headerRow(directive, names));
    else hidden++;
  }
  return html`<section id="headers" aria-labelledby="headers-title"><h2 id="headers-title">Headers</h2>
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
}
<details><summary>Directives</summary>
${headerTable(`${countText(directives.length + hidden)} in the order of the file, adjacent pages as one`, directives)}
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more: nx-igvm dump shows them all.</p>`}
</details></section>`;
}

const headerTable = (title: string, rows: readonly Html[]): Html =>
  html`<div class="panel scroll" tabindex="0" role="region" aria-label="${title}"><table>
<thead><tr><th scope="col" colspan="2">${title}</th></tr></thead><tbody>${rows}</tbody></table></div>`;

/** One header; the registers of a context have a table of their own. */
function headerRow(record: DumpRecord, names: ReadonlyMap<number, string>): Html {
  const { type, registers: _, ...fields } = record;
  const { platformType, ...rest } = fields;
  const name = type ?? platformType ?? '';
  return html`<tr><th scope="row">${fieldsText({ name })}</th><td class="mono">${fieldsText(type === undefined ? rest : fields, names)}</td></tr>`;
}
