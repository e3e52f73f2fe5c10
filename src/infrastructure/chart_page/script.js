
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("bars").textContent);
  const box = document.getElementById("chart");
  const legend = document.getElementById("legend");
  const nav = document.getElementById("frames");
  const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, CrosshairMode } = LightweightCharts;
  const two = (number) => String(number).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const grouped = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 0 });

  // Times are the exchange's clock written as if it were UTC.
  const dateOf = (seconds) => {
    const at = new Date(seconds * 1000);
    return `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
  };
  const clockOf = (seconds) => {
    const at = new Date(seconds * 1000);
    return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  };
  let shown = data.frames.find((frame) => frame.name === data.shown);
  const isDaily = () => shown.name === "1d";
  const timeOf = (seconds) => (isDaily() ? dateOf(seconds) : `${dateOf(seconds)} ${clockOf(seconds)}`);
  const tickOf = (seconds, kind) => {
    const at = new Date(seconds * 1000);
    const day = `${months[at.getUTCMonth()]} ${at.getUTCDate()}`;
    if (kind === 0) return `${day} ${at.getUTCFullYear()}`;
    // The first day of a month is a day as well.
    return kind <= 2 || isDaily() ? day : clockOf(seconds);
  };

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), soft: of("--soft"), line: of("--line"), card: of("--card"),
      up: of("--up"), down: of("--down"), gap: of("--gap") };
  };
  // Bands of neighbouring buckets overlap a little: they are of one opaque colour, or stripes would show.
  const mixed = (front, back, share) => {
    const part = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
    const full = (hex) => (hex.length === 4 ? "#" + [...hex.slice(1)].map((digit) => digit + digit).join("") : hex);
    return "#" + [1, 3, 5].map((at) => two(Math.round(part(full(front), at) * share
      + part(full(back), at) * (1 - share)).toString(16))).join("");
  };
  const faded = (hex, alpha) => hex + two(Math.round(alpha * 255).toString(16));

  const chart = createChart(box, {
    autoSize: true,
    layout: { attributionLogo: false, panes: { enableResize: true } },
    crosshair: { mode: CrosshairMode.Normal },
    localization: { timeFormatter: timeOf, locale: "en-US" },
    timeScale: { timeVisible: true, secondsVisible: false, tickMarkFormatter: tickOf, minBarSpacing: 0.05, rightOffset: 1,
      // The price axis takes its width after the bars were fitted into all of it.
      lockVisibleTimeRangeOnResize: true },
    handleScale: { axisPressedMouseMove: { time: true, price: true } },
  });
  // Behind the candles: a band over the whole height where there is no bar.
  const gaps = chart.addSeries(HistogramSeries, {
    priceScaleId: "gaps", priceLineVisible: false, lastValueVisible: false, base: 0,
    autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
  });
  gaps.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
  const candles = chart.addSeries(CandlestickSeries, { priceLineVisible: false });
  const volumes = chart.addSeries(HistogramSeries, {
    priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false,
  }, 1);
  volumes.priceScale().applyOptions({ scaleMargins: { top: 0.25, bottom: 0 } });
  const marks = createSeriesMarkers(gaps, []);

  const points = new Map();
  const draw = () => {
    const c = colours();
    chart.applyOptions({
      layout: { background: { color: c.card }, textColor: c.soft, panes: { separatorColor: c.line } },
      grid: { vertLines: { color: c.line }, horzLines: { color: c.line } },
      rightPriceScale: { borderColor: c.line }, timeScale: { borderColor: c.line },
    });
    candles.applyOptions({ upColor: c.up, wickUpColor: c.up, borderUpColor: c.up,
      downColor: c.down, wickDownColor: c.down, borderDownColor: c.down, priceFormat: priceFormat() });
    const bars = [], heights = [], bands = [], found = [];
    points.clear();
    let isOpen = false;
    for (const point of shown.points) {
      const time = point[0];
      points.set(time, point);
      if (point.length === 7) {
        const [, open, high, low, close, value, missing] = point;
        const whole = close < open ? c.down : c.up;
        const colour = missing > 0 ? faded(whole, 0.5) : whole;
        bars.push({ time, open, high, low, close, color: colour, wickColor: colour, borderColor: colour });
        heights.push({ time, value, color: faded(whole, missing > 0 ? 0.3 : 0.55) });
        isOpen = false;
        continue;
      }
      const [, missing, sessions] = point;
      bars.push({ time });
      heights.push({ time });
      if (missing > 0) {
        bands.push({ time, value: 1, color: mixed(c.gap, c.card, sessions > 0 ? 0.55 : 0.3) });
        if (!isOpen) found.push({ times: [], minutes: 0 });
        found[found.length - 1].times.push(time);
        found[found.length - 1].minutes += missing;
      }
      isOpen = missing > 0;
    }
    gaps.setData(bands);
    candles.setData(bars);
    volumes.setData(heights);
    // The longest stretches have a mark; all of them would hide the candles.
    const longest = found.slice().sort((a, b) => b.minutes - a.minutes).slice(0, 12).filter((gap) => gap.minutes >= 5);
    longest.sort((a, b) => a.times[0] - b.times[0]);
    marks.setMarkers(longest.map(({ times, minutes }) => ({
      time: times[times.length >> 1], position: "atPriceMiddle", price: 0.97, shape: "square", size: 0, color: c.ink, text: `${grouped(minutes)} min missing`,
    })));
  };
  const decimals = () => {
    let most = 2;
    for (const point of shown.points.slice(0, 500)) {
      if (point.length === 7) most = Math.max(most, (String(point[4]).split(".")[1] || "").length);
    }
    return Math.min(most, 8);
  };
  const priceFormat = () => ({ type: "price", precision: decimals(), minMove: 1 / 10 ** decimals() });

  const bold = (text, kind) => {
    const element = document.createElement("b");
    element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const tell = (point) => {
    legend.replaceChildren();
    if (!point) return;
    legend.append(bold(timeOf(point[0])));
    if (point.length === 4) {
      legend.append(point[1] > 0 ? `  no bar; minutes missing: ${point[3].split(": ").pop()}` : "  no bar");
      return;
    }
    const [, open, high, low, close, volume, missing] = point;
    const kind = close < open ? "down" : "up";
    for (const [name, value] of [["open", open], ["high", high], ["low", low], ["close", close]]) {
      legend.append(`  ${name} `, bold(String(value), kind));
    }
    legend.append("  volume ", bold(grouped(volume)));
    if (missing > 0) legend.append(`  made without ${missing} missing ${missing === 1 ? "minute" : "minutes"}`);
  };
  const last = () => shown.points.findLast((point) => point.length === 7);
  chart.subscribeCrosshairMove((event) => tell(points.get(event.time) || last()));

  const show = (frame) => {
    shown = frame;
    for (const button of nav.children) button.setAttribute("aria-pressed", String(button.textContent === shown.name));
    draw();
    chart.timeScale().fitContent();
    tell(last());
  };
  if (data.frames.length > 1) {
    for (const frame of data.frames) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = frame.name;
      button.addEventListener("click", () => show(frame));
      nav.append(button);
    }
  }
  const panes = chart.panes();
  if (panes.length > 1) panes[1].setStretchFactor(0.3);
  show(shown);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
