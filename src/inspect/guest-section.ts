import { hex, hexRange } from '../errors/printable';
import { type DumpRecord, fieldsText, hexOf } from '../igvm/dump';
import type { PageOverlap } from '../igvm/page-overlaps';
import { PAGE_SIZE } from '../memory/page';
import {
  firstBytes,
  type GuestRegion,
  REGION_KINDS,
  type RegionKind,
  regionName,
  regionSize,
  textAtStart,
} from '../regions/guest-regions';
import { type GuestView, type MapRow, type ProcessorView, rowAt } from './guest-view';
import { countText, html, type Html, sizeText } from './html';
import { launchFacts } from './launch-facts';
import { measuredText, memoryMap } from './map-picture';
import { MOST_ON_PAPER } from './page-style';
import { registerAddress, registerMeaning } from './register-meaning';

/** The part of the page about one platform's guest. */
export function guestSection(view: GuestView): Html {
  const { index, label, rows, processors, overlaps } = view;
  return html`<section class="platform" id="guest-${index}" aria-labelledby="guest-${index}-title">
<h2 id="guest-${index}-title">${label}</h2>
${launchFacts(view)}
${overlaps.length > 0 && overlapNote(overlaps)}
<h3>Memory</h3>
${shares(view)}
${rows.length > 0 ? memoryWithCards(view) : html`<p>No page of memory is loaded for this guest.</p>`}
${processors.length > 0 && processorTables(view)}
</section>`;
}

/** Most places that a note names. */
const MOST_OVERLAPS = 8;

function overlapNote(overlaps: readonly PageOverlap[]): Html {
  const places = overlaps.slice(0, MOST_OVERLAPS).map(({ gpa, end }) => hexRange(gpa, end));
  const hidden = overlaps.length - places.length;
  return html`<p role="note"><strong>Overlapping pages</strong> at <code>${places.join(', ')}</code>${
    hidden > 0 && ` and in ${countText(hidden)} more places`
  }: loaders differ in which of them the guest gets. Regions show the first.</p>`;
}

function memoryWithCards(view: GuestView): Html {
  const { label, rows, regions, layout, pointers, platform } = view;
  const folded = rows.length < regions.length;
  const items = layout.regions.length + layout.gaps.length;
  return html`<div class="guest">
<div class="panel">
<p class="muted"><span class="of-scale">Left: to scale, one pixel is ${sizeText(Math.round(layout.bytesPerUnit))}; waves mark what is left out.
Right: heights on a log scale. </span><span class="of-rows">Heights are on a log scale. </span>${
    folded && `${countText(regions.length)} regions; neighbours with the same name and kind are one row. `
  }<span class="on-screen">Choose a region to see what it holds; the address in the browser then links to it.</span></p>
${memoryMap(view)}
${
  items > MOST_ON_PAPER &&
  html`<p class="paper">Of ${countText(items)} rows and gaps, only the first ${countText(MOST_ON_PAPER)} are printed. The screen shows all of them.</p>`
}</div>
<aside class="side" aria-label="Region of the ${label} guest" aria-live="polite" tabindex="0"><div class="panel">
<button type="button" class="close" aria-label="Close the region">✕</button>
${rows.map((row, place) => rowCard(row, pointers.get(place) ?? [], platform !== undefined))}
</div></aside></div>`;
}

/** How much memory each kind of region takes. */
function shares({ rows }: GuestView): Html {
  const sizes = new Map<RegionKind, number>();
  for (const { kind, parts } of rows) {
    const size = parts.reduce((sum, part) => sum + regionSize(part), 0);
    sizes.set(kind, (sizes.get(kind) ?? 0) + size);
  }
  const kinds = (Object.keys(REGION_KINDS) as RegionKind[]).filter((kind) => sizes.has(kind));
  return html`<ul class="legend">${kinds.map(
    (kind) =>
      html`<li class="k-${kind}"><i class="swatch"></i>${REGION_KINDS[kind]} <span>${sizeText(sizes.get(kind) ?? 0)}</span></li>`,
  )}</ul>`;
}

/** Most parts that a card lists. */
const MOST_PARTS = 64;

/** The description of a row of the map. */
function rowCard(row: MapRow, pointers: readonly string[], isMeasurable: boolean): Html {
  const { gpa, end, kind, id, emptyPages, spans, parameters, parts, marks, isMeasured } = row;
  const [only] = parts;
  const pages = parts.reduce((sum, part) => sum + (part.end - part.gpa) / PAGE_SIZE, 0);
  const preview = previewOf(row);
  return html`<div class="card k-${kind}" id="${id}">
<h4>${regionName(row)}</h4>
<p class="kind"><i class="swatch"></i>${REGION_KINDS[kind]}${marks.length > 0 && `, ${marks.join(' ')}`}</p>
<dl>${isMeasurable && html`<dt>Launch digest</dt><dd>${measuredMeaning(isMeasured)}</dd>`}
<dt>From</dt><dd class="mono">${hex(gpa)}</dd>
<dt>To</dt><dd class="mono">${hex(end)}</dd>
<dt>Size</dt><dd>${sizeText(pages * PAGE_SIZE)}, ${countText(pages)} ${pages === 1 ? 'page' : 'pages'}</dd>
${spans.length > 0 && html`<dt>In the file</dt><dd>${countText(pages - emptyPages)} with data, ${countText(emptyPages)} empty</dd>`}
${parameters.length > 0 && html`<dt>Holds</dt><dd>${parameters.join(', ')}</dd>`}
${pointers.length > 0 && html`<dt>Registers</dt><dd class="mono">${pointers.join(', ')}</dd>`}
${parts.length === 1 && only?.sha256 !== undefined && html`<dt>SHA-256</dt><dd class="mono">${only.sha256}</dd>`}
</dl>
${parts.length > 1 && partsTable(row)}
${preview?.text !== undefined && html`<pre class="text">${preview.text}</pre>`}
${
  preview !== undefined &&
  preview.text === undefined &&
  html`<details><summary>First bytes</summary><pre>${preview.rows.map(({ hex, characters }) => html`${hex}  ${characters}${NEWLINE}`)}</pre></details>`
}
</div>`;
}

function measuredMeaning(isMeasured: boolean | undefined): string {
  const text = measuredText(isMeasured);
  if (isMeasured === true) return `${text}: the launch digest covers the contents`;
  return `${text}: the host can change what the digest doesn’t cover, unless the guest checks it`;
}

function partsTable({ parts }: MapRow): Html {
  const hidden = parts.length - MOST_PARTS;
  return html`<ol class="parts mono">${parts
    .slice(0, MOST_PARTS)
    .map(({ gpa, end }) => html`<li>${hexRange(gpa, end)} ${sizeText(end - gpa)}</li>`)}</ol>
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more.</p>`}`;
}

const NEWLINE = html`
`;

/** The first bytes of a region. */
interface Preview {
  /** Rows of 8 bytes, in hexadecimal and as characters where they are printable. */
  rows: { hex: string; characters: string }[];
  /** The text at the start of the region, if there is one: a command line, for example. */
  text?: string;
}

const ROW = 8;
const PREVIEW_BYTES = 64;

/** A preview of a region; undefined if it contains only zeros or no data. */
function previewOf(region: Pick<GuestRegion, 'spans'>): Preview | undefined {
  const bytes = firstBytes(region);
  if (bytes === undefined) return undefined;
  const rows = Array.from({ length: PREVIEW_BYTES / ROW }, (_, index) =>
    rowOf(bytes.subarray(ROW * index, ROW * (index + 1))),
  );
  const text = textAtStart(bytes);
  return { rows, ...(text === undefined ? {} : { text }) };
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

function rowOf(bytes: Uint8Array): Preview['rows'][number] {
  const hex = hexOf(bytes).replaceAll(/../g, '$& ').trimEnd();
  const characters = Array.from(bytes, (byte) => (isPrintable(byte) ? String.fromCharCode(byte) : '·')).join('');
  return { hex, characters };
}

function processorTables(view: GuestView): Html {
  const { processors, processorCount } = view;
  const hidden = processorCount - processors.length;
  return html`<section class="processors"><h3>Initial registers of processors</h3>
${processors.map(
  (
    processor,
  ) => html`<details><summary>VP ${processor.index}: ${countText(processor.registers.length)} registers</summary>
<div class="panel">${processorTable(processor, view)}</div></details>`,
)}
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more processors.</p>`}</section>`;
}

function processorTable({ index, format, registers }: ProcessorView, { label, rows }: GuestView): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Registers of VP ${index} of the ${label} guest"><table>
<thead><tr><th scope="col">VP ${index}, ${format}</th><th scope="col">Value</th><th scope="col">Meaning</th></tr></thead>
<tbody>${registers.map((register) => {
    const { name = '', meaning: _, ...fields } = register;
    const meaning = [registerMeaning(register), whereText(register, rows)].filter((text) => text !== '');
    return html`<tr><th scope="row" class="mono">${valueText({ name })}</th><td class="mono">${valueText(fields)}</td>
<td>${meaning.join('; ')}</td></tr>`;
  })}</tbody></table></div>
${format === 'native' && html`<p class="muted">PAT and the MTRRs are set by the VMM: a native context has no place for them.</p>`}`;
}

/** A value without the name of its field. */
function valueText(fields: DumpRecord): string {
  const [only, ...more] = Object.values(fields);
  return only === undefined || more.length > 0 ? fieldsText(fields) : fieldsText({ name: only });
}

/** Registers that hold the address of data for a kernel. */
const HANDED_ON: ReadonlySet<unknown> = new Set(['rsi', 'x0']);

/** The region that a register points to. */
function whereText(register: DumpRecord, rows: readonly MapRow[]): string {
  const { name, value } = register;
  const handedOn =
    HANDED_ON.has(name) && typeof value === 'bigint' && value > 0n && value < 2n ** 52n ? Number(value) : undefined;
  const address = registerAddress(register) ?? handedOn;
  const row = address === undefined ? undefined : rows[rowAt(rows, address)];
  if (address === undefined || row === undefined) return '';
  const offset = address - row.gpa;
  return `${regionName(row)}${offset === 0 ? '' : ` + ${hex(offset)}`}`;
}
