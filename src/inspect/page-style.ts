/** The page's style sheet. Colours are written once a scheme; kinds of regions get theirs by class. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;
--bg:#f6f7f9;--card:#fff;--line:#dfe3ea;--text:#161b26;--muted:#55607a;--accent:#2456d6;--shade:#eef1f6;
--data:#2563eb;--empty:#7d8aa3;--unmeasured:#c2790a;--shared:#e0562b;--secrets:#c81e5b;--cpuid:#8a3ffc;--parameters:#12855a;--vpContext:#0891b2;
--tint:11%;--link:9%}
@media (prefers-color-scheme:dark){:root{
--bg:#0e121a;--card:#161c27;--line:#2b3445;--text:#e8ecf4;--muted:#a3afc5;--accent:#8fb2ff;--shade:#1d2533;
--data:#6b9bff;--empty:#8c9ab4;--unmeasured:#f0ad3d;--shared:#ff8a5c;--secrets:#ff6d9d;--cpuid:#bd95ff;--parameters:#4bcf98;--vpContext:#45c8e6;
--tint:20%;--link:14%}}
.k-data{--k:var(--data)}.k-empty{--k:var(--empty)}.k-unmeasured{--k:var(--unmeasured)}.k-shared{--k:var(--shared)}
.k-secrets{--k:var(--secrets)}.k-cpuid{--k:var(--cpuid)}.k-parameters{--k:var(--parameters)}.k-vpContext{--k:var(--vpContext)}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
code,.mono,td.mono,pre{font-family:ui-monospace,SFMono-Regular,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:1rem;background:var(--card);padding:.5rem 1rem;z-index:2;border-radius:6px}
header,main,footer{max-width:1240px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:30px;line-height:1.2;margin:0 0 10px;letter-spacing:-.02em;overflow-wrap:anywhere}
h2{font-size:20px;margin:44px 0 14px;letter-spacing:-.01em}
h3{font-size:15px;margin:26px 0 10px}.panel>h3{margin-top:0}
p{margin:.4em 0;max-width:78ch}
.muted{color:var(--muted)}
a{color:var(--accent)}
nav{margin:18px 0 0;display:flex;flex-wrap:wrap;gap:4px 18px}
.badges{display:flex;flex-wrap:wrap;gap:6px;margin:0;padding:0;list-style:none}
.badges li{border:1px solid var(--line);background:var(--card);border-radius:99px;padding:2px 11px;font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:22px 0 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile dt{color:var(--muted);font-size:13px}.tile dd{margin:2px 0 0;font-size:22px;font-weight:620;letter-spacing:-.01em}
.tile dd small{display:block;font-size:12.5px;font-weight:400;color:var(--muted);letter-spacing:0}
.panel{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin:12px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:6px 14px 6px 0;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:13px}
tbody tr:first-child>*{border-top:0}thead+tbody tr:first-child>*{border-top:1px solid var(--line)}
th[scope=row]{font-weight:560;white-space:nowrap}
.digest{overflow-wrap:anywhere;user-select:all}
.legend{display:grid;grid-template-columns:repeat(auto-fill,minmax(235px,1fr));gap:4px 18px;margin:12px 0 0;padding:0;list-style:none;font-size:13.5px}
.legend li{display:flex;align-items:center;gap:8px}.legend span{color:var(--muted);white-space:nowrap}
.swatch{width:12px;height:12px;border-radius:3px;background:var(--k);flex:none}
.share{display:block;width:100%;height:14px;border-radius:7px}
.share rect{fill:var(--k)}
.guest{display:grid;grid-template-columns:minmax(0,1fr) 356px;gap:24px;align-items:start}
.side{position:sticky;top:16px;max-height:calc(100vh - 32px);overflow-y:auto}
.guest .panel{margin-top:0}
.card{display:none}.card:target{display:block}
.guest.live .card{display:none}.guest.live .card.shown{display:block}
.guest:has(.card:target) .hint{display:none}.guest.live:has(.shown) .hint{display:none}.guest.live:not(:has(.shown)) .hint{display:block}
.card>h3{margin:0 0 2px;font-size:16px;overflow-wrap:anywhere}
.kind{display:flex;gap:8px;align-items:center;color:var(--muted);font-size:13.5px;margin:0 0 10px}
.card dl,.facts{display:grid;grid-template-columns:auto 1fr;gap:3px 14px;margin:0}
.facts{grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:8px 20px}.facts dt,.facts dd{display:block}.card dt,.facts dt{color:var(--muted);font-size:13.5px}.card dd,.facts dd{margin:0;overflow-wrap:anywhere}
pre{margin:12px 0 0;padding:10px 12px;background:var(--shade);border-radius:8px;overflow-x:auto;font-size:12.5px;line-height:1.55}
pre.text{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px}
.map{display:block;width:100%;height:auto;font-family:inherit;overflow:visible}
.map text{font-size:13px;fill:var(--text)}
.map .column{font-size:12px;fill:var(--muted)}
.map .address,.map .start{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11.5px;fill:var(--muted)}
.map .start{font-size:12px}
.map .size{font-size:12.5px;fill:var(--muted)}
.map .name{font-weight:560}
.rail{fill:var(--shade);stroke:var(--line)}
.mark{fill:var(--k)}
.link{fill:color-mix(in srgb,var(--k) var(--link),transparent)}
.gap{stroke:var(--muted);stroke-opacity:.55;stroke-width:1.2;stroke-dasharray:3 4;fill:none}
.map .gap-size{font-size:12px;fill:var(--muted)}
.break-ground{fill:var(--card)}.break{fill:none;stroke:var(--muted);stroke-width:1.3}
.overlay path{fill:none;stroke:var(--muted);stroke-width:1.5}.map .overlay text{font-size:11.5px;fill:var(--muted)}
.overlay .hit{fill:transparent}
.overlay:focus{outline:none}.overlay:focus-visible path{stroke:var(--accent);stroke-width:3}
.block{fill:color-mix(in srgb,var(--k) var(--tint),var(--card));stroke:color-mix(in srgb,var(--k) 45%,var(--card));stroke-width:1}
.stripe{fill:var(--k)}.stored{fill:color-mix(in srgb,var(--k) 65%,transparent)}
.chip{fill:var(--text)}.map .chip-text{fill:var(--card);font-size:11px;font-weight:600;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.region{outline:none;cursor:pointer}
.region:hover .block{fill:color-mix(in srgb,var(--k) calc(var(--tint)*1.7),var(--card))}
.region:focus-visible .block,.region.shown .block{stroke:var(--k);stroke-width:2.5}
.region:focus-visible .block{stroke:var(--text)}
details{margin:10px 0}summary{cursor:pointer;font-weight:560;padding:4px 0}
summary:focus-visible,a:focus-visible,.scroll:focus-visible,.side:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
footer{color:var(--muted);font-size:13px;padding-top:36px;padding-bottom:48px}
@media (max-width:980px){.guest{grid-template-columns:minmax(0,1fr)}.side{position:static;max-height:none;order:-1}.guest>.panel{overflow-x:auto}.map{min-width:680px}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media print{.side{position:static;max-height:none}.card{display:block;break-inside:avoid}body{background:#fff}}
`;
