//! How the page looks: on a screen, dark or light, narrow or wide, and on A4 paper.

/// The style sheet. Contrast of text is 4.5 : 1 or more in both schemes; no state is told by
/// colour alone.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1a1c1e;--soft:#565b61;--line:#d5d9de;--head:#f3f5f7;
--good:#0b6b2e;--good-bg:#e3f5e8;--bad:#a3161b;--bad-bg:#fde8e8;--open:#7a4b00;--open-bg:#fdf1d8;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--bg:#15181b;--fg:#e7e9ec;--soft:#a9b0b8;--line:#383e45;--head:#20252a;
--good:#7ddc9a;--good-bg:#12321d;--bad:#ff9a96;--bad-bg:#411a1b;--open:#f3c66b;--open-bg:#3a2b0c;--link:#8cc2ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:62rem;background:var(--bg);color:var(--fg);
font:1rem/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\",sans-serif;overflow-wrap:anywhere}
header{display:flex;gap:1.25rem;align-items:center;flex-wrap:wrap;border-bottom:1px solid var(--line);padding-bottom:1.25rem}
header img{width:6rem;height:6rem;object-fit:contain;flex:none}
header>div{flex:1 1 15rem;min-width:0}
h1{font-size:1.75rem;line-height:1.2;margin:0}
h2{font-size:1.25rem;margin:2.25rem 0 .5rem;padding-bottom:.25rem;border-bottom:2px solid var(--line)}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
p{margin:.4rem 0}
.soft,small{color:var(--soft)}
small{font-size:.8125rem;display:block}
table{border-collapse:collapse;width:100%;table-layout:fixed;margin:.25rem 0 1rem}
caption{text-align:left;color:var(--soft);padding:0 0 .25rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line)}
th{font-weight:600;background:var(--head)}
table.facts th{width:30%}
th.state,td.state{width:8.5rem}
code,pre{font:.875em/1.45 ui-monospace,\"SF Mono\",Menlo,Consolas,\"DejaVu Sans Mono\",monospace}
pre{white-space:pre-wrap;background:var(--head);padding:.6rem;border:1px solid var(--line);border-radius:.3rem;margin:.3rem 0 1rem}
.badge{display:inline-block;padding:.05rem .5rem;border:1px solid currentColor;border-radius:1rem;font-size:.8125rem;font-weight:600;white-space:normal}
.good{color:var(--good);background:var(--good-bg)}
.bad{color:var(--bad);background:var(--bad-bg)}
.open{color:var(--open);background:var(--open-bg)}
.glance{list-style:none;margin:1rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.5rem}
.glance li{border:1px solid var(--line);border-radius:.4rem;padding:.3rem .6rem}
.esc{color:var(--bad);border-bottom:1px dotted}
.cut{color:var(--soft)}
ul.plain{list-style:none;margin:0;padding:0}
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.75rem;color:var(--soft);font-size:.875rem}
@media (max-width:30rem){body{padding:1rem .75rem 2rem}header img{width:4rem;height:4rem}h1{font-size:1.4rem}
th,td{padding:.35rem .4rem}table.facts th{width:36%}th.state,td.state{width:6rem}}
@page{size:A4;margin:16mm 14mm}
@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--soft:#444;--line:#bbb;--head:#f2f2f2;--good:#0b6b2e;--good-bg:#fff;
--bad:#a3161b;--bad-bg:#fff;--open:#7a4b00;--open-bg:#fff}
body{max-width:none;padding:0;font-size:10pt}h2,h3{break-after:avoid}tr,header,.glance li{break-inside:avoid}thead{display:table-header-group}}
";
