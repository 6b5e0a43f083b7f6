import { hex, hexRange } from '../errors/hex';
import type { PageOverlap } from '../igvm/page-overlaps';
import type { DumpRecord } from '../igvm/dump';
import { fieldsText } from '../igvm/dump-text';
import { PAGE_SIZE } from '../memory/page';
import { type GuestRegion, REGION_KINDS, type RegionKind, regionName, regionSize } from '../regions/guest-regions';
import { type GuestView, type ProcessorView, regionAt } from './guest-view';
import { type Html, html } from './html';
import { mapPicture, regionId } from './map-picture';
import { previewOf } from './preview';
import { registerAddress, registerMeaning } from './register-meaning';
import { countText, sizeText } from './size-text';

/** The part of the page about one platform's guest. */
export function guestSection(view: GuestView): Html {
  const { index, platform, header, regions, regionCount, processors, doubled } = view;
  const joined = regionCount > regions.length;
  return html`<section id="guest-${index}" aria-labelledby="guest-${index}-title">
<h2 id="guest-${index}-title">Memory of the ${platform} guest</h2>
<p class="muted">Platform version ${header.platformVersion}, highest VTL ${header.highestVtl}${
    header.sharedGpaBoundary > 0n && html`, memory above <code>${hex(header.sharedGpaBoundary)}</code> is shared`
  }.</p>
${doubled.length > 0 && doubledNote(doubled)}
${shares(regions)}
${regions.length > 0 ? memoryMap(view) : html`<p>No page of memory is loaded for this guest.</p>`}
${joined && html`<p class="muted">${countText(regionCount)} regions, of which close neighbours are drawn as one.</p>`}
${processors.length > 0 && processorTables(view)}
</section>`;
}

/** Places that a note names. */
const MOST_DOUBLED = 8;

function doubledNote(doubled: readonly PageOverlap[]): Html {
  const places = doubled.slice(0, MOST_DOUBLED).map(({ gpa, end }) => hexRange(gpa, end));
  const hidden = doubled.length - places.length;
  return html`<p role="note"><strong>Pages over pages</strong> at <code>${places.join(', ')}</code>${
    hidden > 0 && ` and in ${countText(hidden)} more places`
  }: loaders differ in which of them the guest gets. Regions show the first.</p>`;
}

function memoryMap(view: GuestView): Html {
  const { index, platform, regions, layout } = view;
  const perPixel = sizeText(Math.round(layout.bytesPerUnit));
  return html`<div class="guest">
<div class="panel">${mapPicture(view)}
<p class="muted">To scale: one unit of height is ${perPixel}; waves stand for stretches without data that are left out, and nothing
is drawn thinner than one unit. On the right, each doubling of a region's size adds the same height, and the line at a region's foot is the part with data in the file.</p></div>
<aside class="side" aria-label="Region of the ${platform} guest" aria-live="polite" tabindex="0"><div class="panel">
<p class="hint muted">Point at a region, or move through the map with Tab and the arrow keys, to see what it holds.</p>
${regions.map((region, place) => regionCard(region, regionId(index, place), view.pointers.get(place) ?? []))}
</div></aside></div>`;
}

/** How much memory each kind of region takes. */
function shares(regions: readonly GuestRegion[]): Html {
  const sizes = new Map<RegionKind, number>();
  for (const region of regions) sizes.set(region.kind, (sizes.get(region.kind) ?? 0) + regionSize(region));
  const total = Math.max(
    1,
    [...sizes.values()].reduce((sum, size) => sum + size, 0),
  );
  const kinds = (Object.keys(REGION_KINDS) as RegionKind[]).filter((kind) => sizes.has(kind));
  let left = 0;
  const bars = kinds.map((kind) => {
    const width = (1000 * (sizes.get(kind) ?? 0)) / total;
    left += width;
    return html`<rect class="k-${kind}" x="${(left - width).toFixed(2)}" y="0" width="${Math.max(1.5, width).toFixed(2)}" height="14"/>`;
  });
  return html`<div class="panel">
<svg class="share" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>
<ul class="legend">${kinds.map(
    (kind) =>
      html`<li class="k-${kind}"><i class="swatch"></i>${REGION_KINDS[kind]} <span>${sizeText(sizes.get(kind) ?? 0)}</span></li>`,
  )}</ul></div>`;
}

function regionCard(region: GuestRegion, id: string, pointers: readonly string[]): Html {
  const { gpa, end, kind, emptyPages, spans, parameters } = region;
  const pages = (end - gpa) / PAGE_SIZE;
  const preview = previewOf(region);
  return html`<div class="card k-${kind}" id="${id}">
<h3>${regionName(region)}</h3>
<p class="kind"><i class="swatch"></i>${REGION_KINDS[kind]}</p>
<dl><dt>From</dt><dd class="mono">${hex(gpa)}</dd>
<dt>To</dt><dd class="mono">${hex(end)}</dd>
<dt>Size</dt><dd>${sizeText(end - gpa)}, ${countText(pages)} ${pages === 1 ? 'page' : 'pages'}</dd>
${spans.length > 0 && html`<dt>In the file</dt><dd>${countText(pages - emptyPages)} with data, ${countText(emptyPages)} empty</dd>`}
${parameters.length > 0 && html`<dt>Holds</dt><dd>${parameters.join(', ')}</dd>`}
${pointers.length > 0 && html`<dt>Registers</dt><dd class="mono">${pointers.join(', ')}</dd>`}
</dl>
${preview?.text !== undefined && html`<pre class="text">${preview.text}</pre>`}
${preview !== undefined && html`<pre aria-hidden="true">${preview.rows.map(({ hex, characters }) => html`${hex}  ${characters}${NEWLINE}`)}</pre>`}
</div>`;
}

const NEWLINE = html`
`;

function processorTables(view: GuestView): Html {
  const { processors, processorCount } = view;
  const [first, ...more] = processors;
  const hidden = processorCount - processors.length;
  return html`<h3>Processors start with</h3>
${first !== undefined && html`<div class="panel">${processorTable(first, view)}</div>`}
${more.map(
  (processor) => html`<details><summary>VP ${processor.index}</summary>
<div class="panel">${processorTable(processor, view)}</div></details>`,
)}
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more processors.</p>`}`;
}

function processorTable({ index, format, registers }: ProcessorView, { platform, regions }: GuestView): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Registers of VP ${index} of the ${platform} guest"><table>
<thead><tr><th scope="col">VP ${index}, ${format}</th><th scope="col">Value</th><th scope="col">Meaning</th></tr></thead>
<tbody>${registers.map((register) => {
    const { name = '', meaning: _, ...fields } = register;
    const meaning = [registerMeaning(register), whereText(register, regions)].filter((text) => text !== '');
    return html`<tr><th scope="row" class="mono">${valueText({ name })}</th><td class="mono">${valueText(fields)}</td>
<td>${meaning.join('; ')}</td></tr>`;
  })}</tbody></table></div>
${format === 'native' && html`<p class="muted">PAT and the MTRRs are set by the VMM: a native context has no place for them.</p>`}`;
}

/** A value alone, without its field's name. */
function valueText(fields: DumpRecord): string {
  const [only, ...more] = Object.values(fields);
  return only === undefined || more.length > 0 ? fieldsText(fields) : fieldsText({ name: only });
}

/** Where in the map a register points to. */
function whereText(register: DumpRecord, regions: readonly GuestRegion[]): string {
  const address = registerAddress(register);
  const region = address === undefined ? undefined : regions[regionAt(regions, address)];
  if (address === undefined || region === undefined) return '';
  const offset = address - region.gpa;
  return `${regionName(region)}${offset === 0 ? '' : ` + ${hex(offset)}`}`;
}
