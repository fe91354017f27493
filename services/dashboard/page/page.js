"use strict";
// Shows the Book's overview. Money arrives as exact text and is only shortened for the eye, never computed with.
// An answer that does not come, or is older than STALE_MS, greys the page: nothing old is shown as if it were now.

const ASK_EVERY_MS = 700, STALE_MS = 3000, OLD_S = 10, DEAD_S = 10;
const $ = (id) => document.getElementById(id);
let newest = null, receivedAt = 0, trouble = "";

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") element.className = value; else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function short(amount, places = 2) {
  if (amount === null) return "–";
  const [whole, fraction = ""] = amount.split(".");
  const kept = (fraction + "0".repeat(places)).slice(0, Math.max(places, fraction.replace(/0+$/, "").length));
  return kept ? `${whole}.${kept}` : whole;
}
// Prices of the underlying, cut to cents for the eye; what is exact stands in the Book.
const cents = (price) => (price === null ? "–" : price.replace(/(\.\d{2})\d*$/, "$1"));
const isZero = (amount) => /^-?0*\.?0*$/.test(amount);
const sign = (amount) => (isZero(amount) ? "" : amount.startsWith("-") ? "loss" : "gain");
const signed = (amount) => (amount.startsWith("-") || isZero(amount) ? short(amount) : `+${short(amount)}`);
const clock = (iso) => new Date(iso).toISOString().slice(11, 23);
const serverNow = () => Date.parse(newest.read_at) + (performance.now() - receivedAt);

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  return s >= 60 ? `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` : `${s} s`;
}

function sparkline(points) {
  if (points.length < 2) return null;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const values = [0, ...points.map((point) => Number(point.net_pnl))];  // a picture, not arithmetic on money
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const y = (value) => 44 - ((value - low) / span) * 42;
  svg.setAttribute("viewBox", "0 0 100 46"); svg.setAttribute("preserveAspectRatio", "none");
  const add = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    svg.append(element);
  };
  add("line", { class: "zero", x1: 0, x2: 100, y1: y(0), y2: y(0) });
  add("polyline", { class: "spark", points: values.map((v, i) => `${(i * 100) / (values.length - 1)},${y(v)}`).join(" ") });
  return svg;
}

function account(each) {
  const stopped = each.breaker === "OPEN" ? `breaker OPEN: ${each.breaker_reason}` : each.halted ? "halted"
    : each.kill_switch !== "OFF" ? `kill switch ${each.kill_switch}` : "gate open";
  const lamp = stopped === "gate open" ? "lamp" : each.breaker === "OPEN" ? "lamp dead" : "lamp old";
  const figures = [["cash", each.cash], ["in positions", each.positions], ["reserved", each.reserved], ["to be paid", each.receivable],
    ["gross", each.gross_pnl], ["fees", each.fees], ["unrealised", each.unrealised_pnl], ["deposited", each.deposited]];
  return make("article", { class: "card account" },
    make("div", { class: "top" }, make("span", { class: "name" }, each.account), make("span", { class: `badge ${each.mode}` }, each.mode),
      make("span", { class: "quiet" }, each.strategies.join(", ")), make("span", { class: lamp }, stopped)),
    make("div", { class: `net ${sign(each.net_pnl)}` }, `${signed(each.net_pnl)} USDC`),
    make("div", { class: "quiet" }, `net profit, fees paid · ${each.wins} won, ${each.losses} lost · ${each.open_count} open`),
    sparkline(newest.pnl.filter((point) => point.account === each.account && point.mode === each.mode)),
    make("dl", {}, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, short(value))))));
}

function side(name, top, dead) {
  const old = !dead && (top.age_s === null || !top.continuous || Number(top.age_s) > OLD_S);
  return make("div", { class: `side ${name.toLowerCase()}${old ? " old" : ""}` }, make("small", {}, name),
    make("b", {}, top.bid === null && top.ask === null ? "–" : `${short(top.bid)} / ${short(top.ask)}`),
    make("small", {}, top.age_s === null ? "no book yet" : dead ? "" : top.continuous ? `${Number(top.age_s).toFixed(1)} s old` : "in doubt"));
}

function marketWindow(each) {
  const now = serverNow(), opens = Date.parse(each.opens_at), closes = Date.parse(each.closes_at);
  const over = each.state === "RESOLVED" || now >= closes;
  const left = each.winner ? `${each.winner} won` : now < opens ? `opens in ${duration(opens - now)}` : now < closes
    ? `${duration(closes - now)} left` : each.state === "UNRESOLVED" ? "UNRESOLVED" : "waiting for the result";
  const bar = make("i");
  bar.style.width = `${Math.min(100, Math.max(0, (100 * (now - opens)) / (closes - opens)))}%`;
  const result = each.winner === "UP" ? "gain" : each.winner === "DOWN" ? "loss" : "";
  return make("article", { class: `card window ${each.state}`, title: each.window_id },
    make("div", { class: "top" }, make("b", {}, `${each.instrument} ${clock(each.opens_at).slice(0, 8)}`), make("span", { class: `left ${result}` }, left)),
    make("div", { class: "slug" }, each.strike === null ? each.window_id : `to beat ${cents(each.strike)} · ${each.window_id}`),
    make("div", { class: "sides" }, side("UP", each.up, over || now < opens), side("DOWN", each.down, over || now < opens)),
    make("div", { class: "bar" }, bar));
}

function rows(id, lines, columns, empty) {
  const body = $(id).tBodies[0];
  body.replaceChildren(...lines);
  if (!lines.length) body.append(make("tr", {}, make("td", { class: "empty", colspan: columns }, empty)));
}

const cell = (text, kind = "") => make("td", { class: kind, title: text ?? "" }, text ?? "");
function position(each) {
  const over = ["CLOSED", "VOID"].includes(each.state);
  return make("tr", { class: over ? "over" : "" }, cell(each.account), cell(clock(each.window_opens_at).slice(0, 8)), cell(each.side, each.side === "UP" ? "gain" : "loss"),
    cell(each.exit_reason ? `${each.state} · ${each.exit_reason}` : each.state), cell(short(each.shares), "n"), cell(short(each.cost), "n"),
    cell(over ? "" : short(each.mark), "n"), cell(signed(each.net_pnl), `n ${sign(each.net_pnl)}`));
}
function order(each) {
  return make("tr", {}, cell(clock(each.claimed_at)), cell(each.account), cell(`${each.purpose} ${each.side} ${each.outcome}`),
    cell(each.reason ? `${each.state} · ${each.reason}` : each.state, each.state === "UNKNOWN" ? "loss" : ""), cell(short(each.limit_price), "n"),
    cell(short(each.shares), "n"), cell(short(each.fee), "n"), cell(each.signal_to_sent_ms === null ? "" : Number(each.signal_to_sent_ms).toFixed(1), "n"));
}
function event(each) {
  const details = Object.entries(each.details).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
  return make("li", {}, make("time", {}, clock(each.at)), make("span", { class: "who" }, each.account),
    make("b", {}, each.kind.replaceAll("_", " ")), make("span", { class: "details", title: details }, details));
}
function service(each) {
  const dead = Number(each.age_s) > DEAD_S;
  return make("li", {}, make("span", { class: `lamp${dead ? " dead" : each.healthy ? "" : " old"}` }, each.service),
    make("span", {}, dead ? `silent for ${duration(Number(each.age_s) * 1000)}` : each.healthy ? `${Number(each.age_s).toFixed(1)} s ago` : "not fit"));
}
// A share is a count by a count: money is not touched. "100 %" is said of what is whole, not of what rounds to it.
const percent = (share) => (share.expected ? `${Math.min(100, Math.floor((1000 * share.received) / share.expected) / 10)} %` : "–");
const quality = (share) => (share.received >= share.expected ? "" : share.received >= 0.95 * share.expected ? "part" : "poor");
function shareOf(each) {
  return make("i", { class: `${quality(each)}${each.tainted ? " tainted" : ""}`,
    title: `${each.window_id}: ${each.received} of ${each.expected}${each.tainted ? ", a silence fell into it" : ""}` });
}
function feed(each) {
  const age = Number(each.age_s), last = each.windows.at(-1);
  const count = (number) => cell(String(number), number ? "n warn" : "n");
  return make("tr", {}, cell(each.feed), cell(each.symbol), cell(cents(each.price), "n price"),
    cell(`${age.toFixed(1)} s`, each.stale || age > 5 ? "n loss" : age < 2 ? "n gain" : "n warn"),
    cell(each.per_second === null ? "–" : Number(each.per_second).toFixed(1), "n"),
    make("td", {}, make("div", { class: "shares" }, ...each.windows.map(shareOf))),
    last ? cell(percent(last), quality(last) ? "n warn" : "n") : cell("–", "n"),
    count(each.out_of_order), count(each.duplicates), count(each.malformed));
}

// One line of a list: a lamp (good, old, dead), what it is of, its figure, and what else there is to say.
function fact(lamp, name, figure, ...more) {
  return make("li", {}, make("span", { class: `lamp ${lamp}` }, name), make("span", {}, figure), ...more.map((each) => make("small", {}, each)));
}
const titled = (title, ...lines) => [make("li", {}, make("span", { class: "title" }, title)), ...lines];

function drawCapture(capture) {
  const waiting = capture.waiting, settled = capture.settled, tokens = capture.tokens;
  const day = capture.gaps_of_day ? `${capture.gaps_of_day} in a day, the longest ${duration(Number(capture.longest_gap_s) * 1000)}` : "none in a day";
  const lost = waiting && (waiting.dropped || waiting.put_aside);
  $("whole").replaceChildren(...titled("recording",
    fact(capture.gaps.length ? "dead" : "", "gaps", capture.gaps.length ? `${capture.gaps.length} open` : "none open", day),
    ...capture.gaps.map((each) => fact("dead", `${each.feed} ${each.symbol}`, `silent for ${duration(Number(each.lasts_s) * 1000)}`)),
    ...capture.snapshots.map((each) => fact(Number(each.per_second) < 0.9 * each.wanted ? "old" : "", `books of ${each.symbol}`,
      each.per_second === null ? "–" : `${Number(each.per_second).toFixed(1)} of ${each.wanted} lines a second`)),
    fact(waiting === null ? "dead" : lost ? "old" : "", "not stored", waiting === null ? "no collector beats" : `${waiting.queued} wait`,
      ...(lost ? [`${waiting.dropped} dropped, ${waiting.put_aside} batches put aside`] : []))));
  const told = settled.agreed + settled.differed;
  const unsure = [[settled.undecided, "undecided"], [settled.unjudged, "not judged"], [settled.unresolved, "UNRESOLVED"]].filter(([number]) => number);
  $("judged").replaceChildren(...titled("windows, last day",
    fact(settled.differed ? "dead" : settled.unresolved ? "old" : "", "settled as we would", `${settled.agreed} of ${told}`,
      ...(unsure.length ? [unsure.map(([number, word]) => `${number} ${word}`).join(", ")] : []), ...settled.differing),
    fact(capture.tainted_of_day ? "old" : "", "tainted by a silence", `${capture.tainted_of_day} of ${capture.windows_of_day}`,
      ...capture.tainted_by.map((each) => `${each.windows} by ${each.feed}`)),
    fact(capture.without_ids.length ? "dead" : "", "without condition id", capture.without_ids.length ? String(capture.without_ids.length) : "none", ...capture.without_ids),
    fact(tokens.differing.length ? "dead" : tokens.validated < tokens.due ? "old" : "", "token ids validated",
      `${tokens.validated} of ${tokens.due}${tokens.oldest_s === null ? "" : ` · ${Number(tokens.oldest_s).toFixed(0)} s ago`}`, ...tokens.differing)));
  $("clocks").replaceChildren(...titled("clocks, against the database's", ...capture.clocks.map((each) =>
    fact(each.off ? "dead" : Number(each.age_s) > 30 ? "old" : "", each.source, `${Number(each.offset_ms).toFixed(0)} ± ${Number(each.error_ms).toFixed(0)} ms`))));
  const full = (used, size) => (used > 0.8 * size ? "dead" : "");
  $("pools").replaceChildren(...titled("database connections in use", ...capture.pools.map((each) =>
    fact(full(each.used, each.size), each.service === each.instance ? each.service : `${each.service} ${each.instance}`, `${each.used} of ${each.size}`)),
    fact(full(capture.server_used, capture.server_size), "the server", `${capture.server_used} of ${capture.server_size}`)));
}

function draw() {
  const age = newest === null ? Infinity : performance.now() - receivedAt;
  document.body.dataset.state = newest === null ? (trouble ? "stale" : "loading") : age > STALE_MS ? "stale" : "live";
  $("trouble").hidden = !trouble;
  $("trouble").textContent = trouble;
  if (newest === null) { $("age").textContent = trouble ? "no data" : "asking the Book …"; return; }
  $("age").textContent = age > STALE_MS ? `STALE: as of ${duration(age)} ago` : `live · ${clock(new Date(serverNow()).toISOString()).slice(0, 8)} UTC`;
  if (age > STALE_MS) return;
  $("modes").replaceChildren(...[...new Set(newest.accounts.map((each) => each.mode))].map((mode) => make("span", { class: `badge ${mode}` }, mode)));
  const executor = newest.executor;
  $("executor").textContent = executor === null ? "nobody trades: no executor yet"
    : `trader: ${executor.instance}, epoch ${executor.epoch}${executor.reconciled ? "" : ", comparing with the venue"}`;
  $("accounts").replaceChildren(...newest.accounts.map(account));
  if (!newest.accounts.length) $("accounts").append(make("p", { class: "empty" }, "no account has money yet"));
  $("windows").replaceChildren(...newest.windows.map(marketWindow));
  if (!newest.windows.length) $("windows").append(make("p", { class: "empty" }, "no window is known yet"));
  rows("positions", newest.positions.map(position), 8, "none yet");
  rows("orders", newest.orders.map(order), 8, "none yet");
  rows("feeds", newest.feeds.filter((each) => each.age_s !== null).map(feed), 10, "no feed has spoken yet");
  drawCapture(newest.capture);
  $("events").replaceChildren(...newest.events.map(event));
  $("services").replaceChildren(...newest.services.map(service));
  $("signals").replaceChildren(...Object.entries(newest.signals).map(([what, times]) => make("li", {}, make("span", {}, what.replaceAll("_", " ").toLowerCase()), make("span", {}, String(times)))));
  $("alerting").hidden = !newest.alerts.length;
  $("alerts").replaceChildren(...newest.alerts.map((each) => make("li", {}, make("span", { class: `lamp ${["ERROR", "CRITICAL"].includes(each.severity) ? "dead" : "old"}` },
    `${each.kind.replaceAll("_", " ")}${each.account ? ` · ${each.account}` : ""}`), make("span", {}, `${clock(each.raised_at).slice(0, 8)}${each.repeats ? ` ×${each.repeats + 1}` : ""}`))));
}

async function ask() {
  try {
    const answer = await fetch("/api/overview", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (!answer.ok) throw new Error((await answer.json()).error ?? `status ${answer.status}`);
    newest = await answer.json();
    receivedAt = performance.now();
    trouble = "";
  } catch (error) {
    trouble = error instanceof TypeError ? "The dashboard does not answer." : `${error.message}.`;
  }
  draw();
  setTimeout(ask, ASK_EVERY_MS);
}

setInterval(draw, 250);
ask();
