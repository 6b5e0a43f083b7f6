/** The page's style sheet. Colours are written once a scheme; kinds of regions get theirs by class. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;
--bg:#f6f7f9;--card:#fff;--line:#dfe3ea;--text:#161b26;--muted:#55607a;--accent:#2456d6;--bad:#b3131f;--good:#0f6b43;--shade:#eef1f6;
--data:#2563eb;--empty:#7d8aa3;--unmeasured:#c2790a;--shared:#e0562b;--secrets:#a3128f;--cpuid:#8a3ffc;--parameters:#12855a;--vpContext:#0891b2;
--tint:11%;--link:9%}
@media (prefers-color-scheme:dark){:root{
--bg:#0e121a;--card:#161c27;--line:#2b3445;--text:#e8ecf4;--muted:#a3afc5;--accent:#8fb2ff;--bad:#ff8b8b;--good:#63d6a2;--shade:#1d2533;
--data:#6b9bff;--empty:#8c9ab4;--unmeasured:#f0ad3d;--shared:#ff8a5c;--secrets:#ff7be8;--cpuid:#bd95ff;--parameters:#4bcf98;--vpContext:#45c8e6;
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
.note{border:1px solid var(--line);border-left:5px solid var(--muted);background:var(--card);border-radius:8px;padding:10px 16px;margin:18px 0 0;max-width:none}
.note.bad{border-left-color:var(--bad)}.note.good{border-left-color:var(--good)}.note ul{margin:6px 0 0;padding-left:20px;overflow-wrap:anywhere}
strong.bad,.bad>strong{color:var(--bad)}strong.good,.good>strong{color:var(--good)}
.panel{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 20px;margin:12px 0}
.cards,.digests{list-style:none;padding:0;margin:18px 0 0;display:grid;gap:12px}
.cards{grid-template-columns:repeat(auto-fit,minmax(min(270px,100%),1fr))}
.cards .panel,.digests .panel{margin:0}.cards h2,.digests h3{margin:0 0 6px}
.cards dl{margin:0}.cards dl div{display:flex;gap:10px;padding:3px 0}.cards dt{color:var(--muted);flex:0 0 100px}.cards dd{margin:0;min-width:0;overflow-wrap:anywhere}
.digests .panel{padding:12px 16px}.digests p{max-width:none}
.copyable{display:flex;gap:12px;align-items:center;justify-content:space-between;margin:4px 0 0;max-width:none}
.digest{overflow-wrap:anywhere;user-select:all;min-width:0}
.copy{display:none;flex:none;min-width:78px;font:inherit;font-size:13.5px;padding:4px 10px;border-radius:7px;border:1px solid var(--line);background:var(--shade);color:var(--text);cursor:pointer}
.live .copy{display:block}.copy:hover{border-color:var(--muted)}
.tabs{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:4px;margin:36px 0 0;background:var(--bg);border-bottom:1px solid var(--line)}
.tabs a{padding:9px 18px;text-decoration:none;color:var(--muted);border-bottom:3px solid transparent;font-weight:560}
.tabs a[aria-selected=true]{color:var(--text);border-bottom-color:var(--accent)}
.tabs~.platform>h2{margin-top:22px}
.live .platform.closed{display:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:6px 14px 6px 0;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:13px}
tbody tr:first-child>*{border-top:0}thead+tbody tr:first-child>*{border-top:1px solid var(--line)}
th[scope=row]{font-weight:560;white-space:nowrap}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:9px 24px;margin:0}
.policy{grid-template-columns:repeat(auto-fill,minmax(min(230px,100%),1fr))}
.facts dt{color:var(--muted);font-size:13.5px}.facts dd{margin:0;overflow-wrap:anywhere}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:12px 0;padding:0;list-style:none;font-size:13.5px}
.legend li{display:flex;align-items:center;gap:8px}.legend span{color:var(--muted);white-space:nowrap}
.swatch{width:12px;height:12px;border-radius:3px;background:var(--k);flex:none}
.guest{display:grid;grid-template-columns:minmax(0,1fr) 356px;gap:24px;align-items:start}
.side{position:sticky;top:58px;max-height:calc(100vh - 74px);overflow-y:auto}
.guest .panel{margin-top:0}.guest>.panel>p{margin:0 0 14px}
.card{display:none}.card:target{display:block}
.live .card{display:none}.live .card.shown{display:block}
.guest:has(.card:target) .hint,.live .guest:has(.shown) .hint{display:none}.live .guest:not(:has(.shown)) .hint{display:block}
h4{margin:0 0 2px;font-size:16px;overflow-wrap:anywhere}
.kind{display:flex;gap:8px;align-items:center;color:var(--muted);font-size:13.5px;margin:0 0 10px}
.card dl{display:grid;grid-template-columns:auto 1fr;gap:3px 14px;margin:0}
.card dt{color:var(--muted);font-size:13.5px}.card dd{margin:0;overflow-wrap:anywhere}
.parts{margin:10px 0 0;padding-left:26px}
pre{margin:12px 0 0;padding:10px 12px;background:var(--shade);border-radius:8px;overflow-x:auto;font-size:12.5px;line-height:1.55}
pre.text{white-space:pre-wrap;overflow-wrap:anywhere}
.map{display:grid;grid-template-columns:184px minmax(0,1fr)}
.scale{display:block;overflow:visible}
.scale .address{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--muted)}
.rail{fill:var(--shade);stroke:var(--line)}.mark{fill:var(--k)}
.link{fill:color-mix(in srgb,var(--k) var(--link),transparent)}
.break-ground{fill:var(--card)}.break{fill:none;stroke:var(--muted);stroke-width:1.3}
.gap{display:flex;align-items:center;gap:10px;margin:0;max-width:none;font-size:13px;color:var(--muted)}
.gap:before,.gap:after{content:"";flex:1;border-top:1.5px dashed var(--line)}
.region{display:flex;flex-direction:column;justify-content:center;gap:1px;overflow:hidden;color:var(--text);text-decoration:none;border:2px solid var(--card);border-left:6px solid var(--k);border-radius:7px;padding:0 12px;background:color-mix(in srgb,var(--k) var(--tint),var(--card));background-clip:padding-box}
.line{display:flex;align-items:baseline;gap:8px;min-width:0;font-size:13px;color:var(--muted)}
.name{font-weight:560;font-size:14px;color:var(--text);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.size,.measured{margin-left:auto;white-space:nowrap}.measured.no{font-style:italic;color:var(--text)}
.start{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px;white-space:nowrap}
.what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.chip{background:var(--text);color:var(--card);border-radius:9px;padding:0 7px;font:600 11.5px/17px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:nowrap}
.region:hover,.region.shown,.region:focus-visible{border-color:var(--k)}
details{margin:10px 0}summary{cursor:pointer;font-weight:560;padding:4px 0}
summary:focus-visible,a:focus-visible,button:focus-visible,.scroll:focus-visible,.side:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
footer{color:var(--muted);font-size:13px;padding-top:36px;padding-bottom:48px}
@media (max-width:1080px){.guest{grid-template-columns:minmax(0,1fr)}.side{position:sticky;top:auto;bottom:0;max-height:46vh}.side .panel{margin:0 0 8px;box-shadow:0 -4px 18px #0003}.guest:not(:has(.shown)) .side{position:static}}
@media (max-width:640px){header,main,footer{padding-left:14px;padding-right:14px}.panel{padding:14px}.map{grid-template-columns:minmax(0,1fr)}.scale{display:none}.end{display:none}.region{padding:0 8px}.copyable{align-items:flex-end}.tabs a{padding:9px 14px}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@page{margin:14mm 12mm;@bottom-right{content:counter(page) " / " counter(pages);font-size:9pt}}
@media print{:root{--bg:#fff;--card:#fff;--shade:#f2f2f2;--text:#000;--muted:#444;--line:#bbb}
body{font-size:9.5pt;background:#fff}header,main,footer{max-width:none;padding:0}h1{font-size:18pt}h2{margin:10px 0 6px}h3{margin:8px 0 4px}
.tabs,.side,.skip,.copy,.scale,details,.live .copy{display:none}
.platform,.live .platform.closed{display:block;break-before:page}#file{break-before:page}
.panel{padding:8px 10px;margin:6px 0;border-radius:4px;break-inside:auto}.facts{gap:3px 16px;grid-template-columns:1fr 1fr}.policy{grid-template-columns:1fr 1fr 1fr}
.guest,.map{display:block}.region{flex-direction:row;gap:10px;padding:1px 6px;border-width:0 0 1px 5px;border-color:var(--line);border-left-color:var(--k);border-radius:0;background:none;break-inside:avoid}
.line{font-size:8.5pt;gap:6px}.line:first-child{flex:1 1 50%}.line:last-child{flex:1 1 50%}.name{font-size:9pt}.start{font-size:8pt}.gap{font-size:8pt;padding:1px 0}
.legend{margin:4px 0}.digest{font-size:8pt}}
`;
