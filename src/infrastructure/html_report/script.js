(() => {
'use strict';
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = id => document.getElementById(id);

// The findings: a row is shown when its severity, its rule and all words of the text fit.
const filter = one('filter');
if (filter) {
  const rows = all('#list > tr').map(row => ({ row, text: row.textContent.toLowerCase() }));
  const field = filter.elements;
  const apply = () => {
    const words = field.text.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const { row, text } of rows) {
      const severity = field[row.dataset.severity];
      const fits = !(severity && severity.type === 'checkbox' && !severity.checked)
        && !(row.className && field.acknowledged && !field.acknowledged.checked)
        && (field.rule.value === '' || field.rule.value === row.dataset.rule)
        && words.every(word => text.includes(word));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    one('shown').textContent = shown + ' of ' + rows.length + ' shown';
  };
  filter.addEventListener('input', apply);
  filter.addEventListener('submit', event => event.preventDefault());
  for (const link of all('a[data-rule]'))
    link.addEventListener('click', () => { filter.reset(); field.rule.value = link.dataset.rule; apply(); });
  filter.hidden = false;
  apply();
}

const table = one('series-table');
window.addEventListener('beforeprint', () => all('details').forEach(part => { part.open = true; }));

// The heat map: one canvas of the size of the box, drawn anew for the part that is scrolled into it.
const source = one('heat-data');
if (!source) return;
const { rows, kinds, sessions } = JSON.parse(source.textContent);
if (!sessions.length) return;
const heat = one('heat'), tip = one('tip'), form = heat.querySelector('form');
const box = heat.querySelector('.box'), space = box.firstElementChild, canvas = space.firstElementChild;
const pen = canvas.getContext('2d');
const REASONS = ['', 'not asked', 'no trade', 'quarantined', 'not entitled'];
const FOUND = ['', 'an info', 'a warning', 'an error'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const dayNumber = date => { const [y, m, d] = date.split('-').map(Number); return Date.UTC(y, m - 1, d) / 864e5; };
const year = date => date.slice(0, -6), month = date => Number(date.slice(-5, -3)), dayOf = date => Number(date.slice(-2));
const keyOf = {
  session: date => date,
  week: date => Math.floor((dayNumber(date) + 3) / 7),
  month: date => date.slice(0, -3),
};
const cells = rows.map(([, runs]) => {
  const row = new Int32Array(sessions.length).fill(-1);
  let at = 0;
  for (const run of runs.split(' ')) {
    const [kind, times] = run.split('*'), end = at + (times ? parseInt(times, 36) : 1);
    if (kind !== '-') row.fill(parseInt(kind, 36), at, end);
    at = end;
  }
  return row;
});

// What every label begins with is said once, in the corner.
let shared = rows.length > 1 ? rows[0][0].slice(0, rows[0][0].lastIndexOf(' ') + 1) : '';
if (!rows.every(([label]) => label.startsWith(shared))) shared = '';
const names = rows.map(([label]) => label.slice(shared.length));

// The columns: one session each, or the sessions of a week or a month together.
let columns, sums;
const countOf = unit => new Set(sessions.map(keyOf[unit])).size;
const counts = { session: sessions.length, week: countOf('week'), month: countOf('month') };
const group = unit => {
  columns = [];
  let last;
  sessions.forEach((date, index) => {
    const key = keyOf[unit](date);
    if (key !== last) columns.push({ from: index, to: index });
    columns[columns.length - 1].to = index;
    last = key;
  });
  sums = new Map();
};
const sumOf = (row, from, to) => {
  const sum = { sessions: 0, present: 0, expected: 0, worst: 0, reason: 0, gaps: 0 }, missing = [0, 0, 0, 0, 0];
  for (let i = from; i <= to; i++) {
    if (row[i] < 0) continue;
    const [present, expected, worst, reason] = kinds[row[i]];
    sum.sessions++;
    sum.present += present;
    sum.expected += expected;
    sum.worst = Math.max(sum.worst, worst);
    if (present < expected) { sum.gaps++; missing[reason] += expected - present; }
  }
  sum.reason = missing.indexOf(Math.max(...missing));
  return sum.sessions ? sum : null;
};
// Only what comes into sight is summed up, once; cells of one session have few distinct contents.
const contents = kinds.map((_, kind) => sumOf([kind], 0, 0));
const cellOf = (place, column) => {
  const row = order[place], { from, to } = columns[column];
  if (from === to) return contents[cells[row][from]] || null;
  const key = row * columns.length + column;
  if (!sums.has(key)) sums.set(key, sumOf(cells[row], from, to));
  return sums.get(key);
};
const missingOf = row => cells[row].reduce((sum, kind) =>
  sum + (kind < 0 ? 0 : Math.max(0, kinds[kind][1] - kinds[kind][0])), 0);
const missingMinutes = rows.map((_, row) => missingOf(row));
const step = (present, expected) => {
  if (present >= expected) return 7;
  const share = present / expected;
  return share === 0 ? 0 : 1 + [0.5, 0.75, 0.9, 0.95, 0.99].filter(least => share >= least).length;
};

let chosen = '', unit = '', left, top, cellWidth, rowHeight, order, picked = null;
const font = () => '12.5px ' + getComputedStyle(document.body).fontFamily;
const layout = () => {
  pen.font = font();
  order = names.map((_, row) => row);
  if (form.elements.worst.checked) order.sort((a, b) => missingMinutes[b] - missingMinutes[a] || a - b);
  rowHeight = rows.length > 60 ? 15 : 19;
  const widest = Math.max(...names.map(name => pen.measureText(name).width), Math.min(pen.measureText(shared).width, 150));
  left = Math.ceil(Math.min(widest + 22, heat.clientWidth * 0.4, 240));
  const room = heat.clientWidth - (box.offsetWidth - box.clientWidth) - left - 8;
  const fitting = ['session', 'week', 'month'].find(name => room / counts[name] >= 2.4) || 'month';
  const wanted = chosen || fitting;
  if (wanted !== unit) { unit = form.elements.unit.value = wanted; picked = null; group(unit); }
  const fit = room / columns.length;
  cellWidth = fit >= 2.4 ? Math.min(fit, 26) : 4;
  top = cellWidth >= 17 && unit === 'session' ? 58 : 42;
  space.style.height = top + rows.length * rowHeight + 8 + 'px';
  const whole = Math.ceil(left + columns.length * cellWidth) + 7;
  space.style.width = whole + 'px';
  box.style.maxWidth = whole + 60 + 'px';
  const width = box.clientWidth, height = Math.min(box.clientHeight, space.offsetHeight);
  const dense = window.devicePixelRatio || 1;
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  // A new size resets the pen.
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.font = font();
  draw();
};
const clipped = (text, width) => {
  if (pen.measureText(text).width <= width) return text;
  // The end of a series' name tells more than its beginning.
  while (text.length > 1 && pen.measureText('\u2026' + text).width > width) text = text.slice(1);
  return '\u2026' + text;
};
const draw = () => {
  const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue('--' + name).trim();
  const share = [0, 1, 2, 3, 4, 5, 6, 7].map(index => colour('c' + index));
  const why = [0, 1, 2, 3, 4].map(index => colour('r' + index));
  const byReason = form.elements.colour.value === 'reason';
  const card = colour('card'), ink = colour('ink'), soft = colour('soft'), line = colour('line');
  const marks = [null, null, colour('warning-mark'), colour('error-mark')];
  const width = canvas.clientWidth, height = canvas.clientHeight, dx = box.scrollLeft, dy = box.scrollTop;
  const x = column => left + Math.round(column * cellWidth) - dx;
  const firstColumn = Math.max(0, Math.floor(dx / cellWidth));
  const lastColumn = Math.min(columns.length - 1, Math.floor((dx + width - left) / cellWidth));
  const firstRow = Math.max(0, Math.floor(dy / rowHeight));
  const lastRow = Math.min(rows.length - 1, Math.floor((dy + height - top) / rowHeight));
  pen.fillStyle = card;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = 'middle';
  const gap = cellWidth >= 6 ? 1 : 0;
  for (let place = firstRow; place <= lastRow; place++) {
    const y = top + place * rowHeight - dy, tall = rowHeight - 2;
    for (let column = firstColumn; column <= lastColumn; column++) {
      const cell = cellOf(place, column);
      if (!cell) continue;
      const from = x(column), wide = Math.max(1, x(column + 1) - from - gap);
      if (cell.expected === 0 && cell.present === 0) {
        pen.fillStyle = line;
        pen.fillRect(from, y + tall / 2, wide, 1);
      } else if (byReason) {
        const lacks = Math.max(0, 1 - cell.present / cell.expected);
        pen.fillStyle = share[7];
        pen.fillRect(from, y, wide, tall);
        pen.fillStyle = why[cell.reason];
        if (lacks > 0) pen.fillRect(from, y, wide, Math.max(3, Math.round(lacks * tall)));
      } else {
        pen.fillStyle = share[step(cell.present, cell.expected)];
        pen.fillRect(from, y, wide, tall);
      }
      if (cell.worst > 1) {
        const high = cell.worst > 2 ? 6 : 3;
        pen.fillStyle = card;
        pen.fillRect(from, y + tall - high - 1, wide, high + 1);
        pen.fillStyle = marks[cell.worst];
        pen.fillRect(from, y + tall - high, wide, high);
      }
    }
  }
  if (picked) {
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    pen.strokeRect(x(picked.column) - 1, top + picked.place * rowHeight - dy - 1, Math.max(3, cellWidth - gap) + 2, rowHeight);
  }
  // Over what was scrolled under them: the row labels, the dates, the corner.
  pen.fillStyle = card;
  pen.fillRect(0, 0, left - 1, height);
  pen.fillRect(0, 0, width, top - 2);
  for (let place = firstRow; place <= lastRow; place++) {
    pen.fillStyle = picked && picked.place === place ? ink : soft;
    pen.fillText(clipped(names[order[place]], left - 20), 12, top + place * rowHeight - dy + rowHeight / 2 - 1);
  }
  pen.fillStyle = card;
  pen.fillRect(0, 0, width, top - 2);
  const dates = (y, key, words, room, rule) => {
    for (let column = firstColumn, end; column <= lastColumn; column = end) {
      const value = key(sessions[columns[column].from]);
      for (end = column + 1; end < columns.length && key(sessions[columns[end].from]) === value; end++);
      let start = column;
      while (start > 0 && key(sessions[columns[start - 1].from]) === value) start--;
      const from = Math.max(x(start), left), to = x(end);
      if (rule && x(start) >= left) { pen.fillStyle = line; pen.fillRect(x(start), y - 8, 1, 17); }
      const wide = pen.measureText(words(sessions[columns[column].from])).width;
      pen.fillStyle = soft;
      if (to - from >= Math.min(room, wide + 4)) pen.fillText(words(sessions[columns[column].from]), from + (rule ? 5 : 1), y);
    }
  };
  pen.save();
  pen.beginPath();
  pen.rect(left - 1, 0, width, top);
  pen.clip();
  dates(13, year, year, 40, true);
  const monthRoom = cellWidth * columns.length / counts.month;
  const every = [1, 2, 3, 6].find(months => monthRoom * months >= 30);
  if (every) dates(31, date => year(date) + Math.floor((month(date) - 1) / every), date => MONTHS[month(date) - 1] || '', 18, true);
  if (top > 50) dates(48, date => date, date => String(dayOf(date)), 16, false);
  pen.restore();
  pen.fillStyle = soft;
  if (shared) pen.fillText(clipped(shared.trim(), left - 20), 12, 13);
};
const describe = ({ place, column }) => {
  const number = value => value.toLocaleString('en-US');
  let text = rows[order[place]][0] + '\n';
  if (column < 0) return text + number(missingMinutes[order[place]]) + ' minutes missing in all';
  const cell = cellOf(place, column), { from, to } = columns[column], first = sessions[from], last = sessions[to];
  text += from === to ? (WEEKDAYS[(dayNumber(first) + 4) % 7] || '') + ' ' + first : first + ' to ' + last;
  if (!cell) return text + ': no entry';
  const missing = cell.expected - cell.present;
  text += ': ' + number(cell.present) + ' of ' + number(cell.expected) + ' minutes';
  if (cell.expected > 0) text += ' (' + (Math.floor(Math.min(1, cell.present / cell.expected) * 1e4) / 100).toFixed(2) + '\u00a0%)';
  if (missing > 0) text += ', ' + number(missing) + ' missing' + (cell.reason ? ', mostly ' + REASONS[cell.reason] : '');
  if (missing > 0 && from < to) text += ', in ' + cell.gaps + ' of ' + cell.sessions + ' sessions';
  if (cell.worst) text += '. Worst finding: ' + FOUND[cell.worst];
  return text;
};
const say = (cell, x, y) => {
  tip.hidden = !cell;
  if (!cell) return;
  const text = describe(cell);
  if (tip.textContent !== text) tip.textContent = text;
  const width = tip.offsetWidth, height = tip.offsetHeight, right = document.documentElement.clientWidth;
  tip.style.left = Math.max(8, Math.min(x + 14, right - width - 8)) + 'px';
  tip.style.top = (y + 18 + height < window.innerHeight ? y + 18 : Math.max(8, y - height - 12)) + 'px';
};
const cellAt = event => {
  if (event.offsetY < top) return null;
  // Over a row's label, which may be cut short, the answer is about the whole row.
  const column = event.offsetX < left ? -1 : Math.floor((event.offsetX - left + box.scrollLeft) / cellWidth);
  const place = Math.floor((event.offsetY - top + box.scrollTop) / rowHeight);
  return column < columns.length && place < rows.length ? { place, column } : null;
};
const pick = cell => {
  picked = cell;
  const x = cell.column * cellWidth, y = cell.place * rowHeight;
  const wide = box.clientWidth - left, tall = box.clientHeight - top;
  if (x < box.scrollLeft || x + cellWidth > box.scrollLeft + wide) box.scrollLeft = x - wide / 2;
  if (y < box.scrollTop || y + rowHeight > box.scrollTop + tall) box.scrollTop = y - tall / 2;
  draw();
  const at = canvas.getBoundingClientRect();
  say(cell, at.left + left + x + cellWidth - box.scrollLeft, at.top + top + y - box.scrollTop);
};
for (const kind of ['pointermove', 'pointerdown'])
  canvas.addEventListener(kind, event => say(cellAt(event), event.clientX, event.clientY));
canvas.addEventListener('pointerleave', () => say(null));
canvas.addEventListener('focus', () => {
  if (canvas.matches(':focus-visible')) pick(picked || { place: 0, column: columns.length - 1 });
});
canvas.addEventListener('blur', () => { picked = null; say(null); draw(); });
canvas.addEventListener('keydown', event => {
  const { place, column } = picked || { place: 0, column: columns.length - 1 };
  const page = Math.max(1, Math.floor((box.clientHeight - top) / rowHeight) - 1);
  const to = {
    ArrowLeft: [place, column - 1], ArrowRight: [place, column + 1], Home: [place, 0], End: [place, columns.length - 1],
    ArrowUp: [place - 1, column], ArrowDown: [place + 1, column], PageUp: [place - page, column], PageDown: [place + page, column],
  }[event.key];
  if (event.key === 'Escape') say(null);
  if (!to) return;
  event.preventDefault();
  const within = (value, count) => Math.max(0, Math.min(count - 1, value));
  pick({ place: within(to[0], rows.length), column: within(to[1], columns.length) });
});
box.addEventListener('scroll', () => { if (!picked) say(null); draw(); });
form.addEventListener('submit', event => event.preventDefault());
form.addEventListener('input', event => {
  if (event.target.name === 'unit') chosen = event.target.value;
  layout();
  for (const part of all('[data-for]', heat)) part.hidden = part.dataset.for !== form.elements.colour.value;
});
window.addEventListener('resize', layout);
// Paper cannot be scrolled: the box opens to the whole height.
window.addEventListener('beforeprint', () => { box.style.maxHeight = 'none'; layout(); });
window.addEventListener('afterprint', () => { box.style.maxHeight = ''; layout(); });
for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', draw);
heat.hidden = false;
table.open = false;
layout();
box.scrollLeft = space.offsetWidth;
})();
