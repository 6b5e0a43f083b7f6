/** Most rows and gaps of a map that fit on two printed pages together with the facts about the platform. */
export const MOST_ON_PAPER = 56;

/** The style sheet of the page. Each scheme defines its colours once; kinds of regions get theirs by class. Print is always light. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;
--bg:#f6f7f9;--card:#fff;--line:#dfe3ea;--text:#161b26;--muted:#55607a;--accent:#2456d6;--bad:#b3131f;--good:#0f6b43;--shade:#eef1f6;
--data:#2563eb;--empty:#7d8aa3;--unmeasured:#c2790a;--shared:#e0562b;--secrets:#a3128f;--cpuid:#8a3ffc;--parameters:#12855a;--vpContext:#0891b2;
--tint:11%;--link:9%}
@media screen and (prefers-color-scheme:dark){:root{
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
h3{font-size:15px;margin:26px 0 10px}.panel>h3:first-child{margin-top:0}.paper{display:none}
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
@media (min-width:641px){.cards>:only-child dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:6px 24px}.cards>:only-child dl div{display:block}}
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
.build{display:block;color:var(--muted);font-size:13px;line-height:1.4}
.facts dt{color:var(--muted);font-size:13.5px}.facts dd{margin:0;overflow-wrap:anywhere}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:12px 0;padding:0;list-style:none;font-size:13.5px}
.legend li{display:flex;align-items:center;gap:8px}.legend span{color:var(--muted);white-space:nowrap}
.swatch{width:12px;height:12px;border-radius:3px;background:var(--k);flex:none}
.guest{display:grid;grid-template-columns:minmax(0,1fr) 356px;gap:24px;align-items:start}
.side{position:sticky;top:58px;max-height:calc(100vh - 74px);overflow-y:auto}
.guest .panel{margin-top:0}.guest>.panel>p{margin:0 0 14px}
.card{display:none}.card:target{display:block}
.live .card{display:none}.live .card.shown{display:block}
@media screen{.guest:not(:has(.card:target)) .side,.live .guest:not(:has(.shown)) .side{display:none}.live .guest:has(.shown) .side{display:block}}
.close{display:none;position:absolute;right:8px;top:8px;font:inherit;line-height:1;padding:8px 10px;border:0;border-radius:7px;background:none;color:var(--muted);cursor:pointer}.close:hover{background:var(--shade)}
h4{margin:0 0 2px;font-size:16px;overflow-wrap:anywhere}
.kind{display:flex;gap:8px;align-items:center;color:var(--muted);font-size:13.5px;margin:0 0 10px}
.card dl{display:grid;grid-template-columns:auto 1fr;gap:3px 14px;margin:0}
.card dt{color:var(--muted);font-size:13.5px}.card dd{margin:0;overflow-wrap:anywhere;font-size:14px}.card dd.mono{font-size:13px}
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
.title{display:flex;align-items:baseline;gap:8px;min-width:0}.of-scale{font-style:normal}.of-rows{display:none}
.line{display:flex;align-items:baseline;gap:8px;min-width:0;font-size:13px;color:var(--muted)}
.name{font-weight:560;font-size:14px;color:var(--text);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.size,.measured{margin-left:auto;white-space:nowrap}.measured.no{font-style:italic;color:var(--text)}
.start{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px;white-space:nowrap}
.what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.chip{background:var(--text);color:var(--card);border-radius:9px;padding:0 7px;font:600 11.5px/17px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:nowrap}
@media screen{.region:hover,.region.shown,.region:focus-visible{border-color:var(--k)}}
details{margin:10px 0}summary{cursor:pointer;font-weight:560;padding:4px 0}
summary:focus-visible,a:focus-visible,button:focus-visible,.scroll:focus-visible,.side:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
footer{color:var(--muted);font-size:13px;padding-top:36px;padding-bottom:48px}
@media screen and (max-width:1080px){.guest{grid-template-columns:minmax(0,1fr)}.live .close{display:block}html:has(.shown){scroll-padding-bottom:48vh}
.side{position:sticky;top:auto;bottom:0;max-height:46vh}.side .panel{position:relative;margin:0 0 8px;box-shadow:0 -4px 18px #0003}.card h4{padding-right:36px}}
@media screen and (max-width:640px){header,main,footer{padding-left:14px;padding-right:14px}.panel{padding:14px}.copyable{align-items:flex-end}.tabs a{padding:9px 14px}
.map{grid-template-columns:minmax(0,1fr)}.scale,.of-scale,.end{display:none}.of-rows{display:inline}.region{padding:5px 8px}.name,.what{white-space:normal;overflow-wrap:anywhere}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@page{margin:12mm;@bottom-right{content:counter(page) " / " counter(pages);font-size:8pt}}
@media print{:root{--bg:#fff;--card:#fff;--shade:#f2f2f2;--text:#000;--muted:#444;--line:#bbb}
body{font-size:8.5pt;line-height:1.35;background:#fff}header,main,footer{max-width:none;padding:0}h1{font-size:17pt;margin-bottom:4px}h2{font-size:12pt;margin:10px 0 4px}h3{font-size:9.5pt;margin:8px 0 3px}h2,h3{break-after:avoid}
.tabs,.side,.skip,.copy,.scale,.of-scale,.on-screen,.processors,details,.live .copy{display:none}.paper{display:block}
.live .platform.closed{display:block}.tabs~.platform{break-before:page}.tabs~.platform>h2{margin-top:0}
.note,.panel{padding:5px 9px;margin:5px 0;border-radius:4px}.guest>.panel{border:0;padding:0}.note,.cards li,.digests li{break-inside:avoid}
.cards,.digests{margin:6px 0;gap:6px}.cards{grid-template-columns:repeat(3,1fr)}.cards>:only-child{grid-column:1/-1}.cards dl div{padding:1px 0}.cards dt{flex-basis:74px}.cards a{color:inherit;text-decoration:none}
.facts{gap:3px 14px;grid-template-columns:repeat(3,1fr)}.policy{grid-template-columns:repeat(4,1fr)}.facts dt,.build,.legend,.muted{font-size:8pt}.digests .panel{padding:4px 9px}.copyable{margin:0}.digest{font-size:7.5pt}
.guest,.map{display:block}.legend{margin:4px 0;gap:2px 14px}.swatch{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.region{display:grid;grid-template-columns:minmax(0,1fr) 17mm 44mm 33mm 21mm;gap:2mm;align-items:baseline;padding:.4mm 1.5mm;border-width:0 0 1px 5px;border-color:var(--line);border-left-color:var(--k);border-radius:0;background:none;break-inside:avoid}
.line{display:contents}.title{flex-wrap:wrap;gap:0 5px}.name,.start,.what,.size,.measured{font-size:8pt;line-height:1.3;white-space:normal;margin:0;overflow-wrap:anywhere}.size,.measured{text-align:right}.start{font-size:7.5pt}.chip{border:1px solid #777;background:none;color:#000;font-size:7pt;line-height:1.2;padding:0 4px}
.gap{font-size:7.5pt;line-height:1.3;padding:.3mm 0}.rows>:nth-child(n+${MOST_ON_PAPER + 1}){display:none}#file{break-inside:avoid}footer{padding:8px 0 0;font-size:8pt}}
`;
